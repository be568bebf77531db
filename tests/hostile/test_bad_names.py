"""Names and keys that are no plain text, wherever they come from."""

from pathlib import Path

import pytest
from helpers.hostile import CELL, MODEL, copied, refused, with_value

PARAMS, GRID = "params.yaml", "grid.yaml"
RECIPE = "scales.demo.train.pascal"
CELLS = f"cells.{CELL}"
NAN, INFINITY = float("nan"), float("inf")


ODD = {"a newline": "a\nb", "an escape": "a\x1b[31mb", "no UTF-8": "a\udce9b", "a separator": "a\u2028b"}
NAMED: tuple[tuple[str, ...], ...] = (
    ("stages/train.py", "{}"),
    ("stages/train.py", CELL, "--project", "{}"),
    ("stages/shards.py", "{}"),
    ("evaluate", "{}", "--benchmark", "pascal"),
    ("evaluate", MODEL, "--{}"),
    ("scores", "{}.npz"),
    ("mapping", "{}.pth"),
    ("odsf", "{}", "{}"),
    ("predict", "{}.png", "--model", MODEL, "--out", "out", "--processes", "0"),
)


@pytest.mark.parametrize("word", ODD.values(), ids=ODD)
@pytest.mark.parametrize("command", NAMED, ids=[" ".join(command) for command in NAMED])
def test_a_name_that_is_no_plain_text_is_told_in_one_line(
    whole: Path, tmp_path: Path, word: str, command: tuple[str, ...]
) -> None:
    folder = copied(whole, tmp_path / "project")
    for ending in ("png", "pth", "npz"):
        (folder / f"{word}.{ending}").write_bytes(b"x")
    line = refused(folder, *(part.format(word, word) for part in command))
    assert "\x1b" not in line


KEYS: dict[str, tuple[str, str, object, str]] = {
    "a key of params.yaml": (PARAMS, "optim.{}", 1, "stages/train.py"),
    "a value of params.yaml": (PARAMS, "optim.balance", "{}", "stages/train.py"),
    "the scale": (PARAMS, "scale", "{}", "stages/train.py"),
    "a key of a cell": (GRID, CELLS + ".{}", 1, "stages/train.py"),
    "a method": (GRID, "methods.{}", {"title": "x", "cell": {}}, "stages/report.py"),
    "the method of model.json": (f"{MODEL}/model.json", "network.method", "{}", "stages/evaluate.py"),
    "an option of model.json": (f"{MODEL}/model.json", "network.options.{}", 1, "stages/evaluate.py"),
}


@pytest.mark.parametrize("word", [ODD["a newline"], ODD["an escape"]], ids=["a newline", "an escape"])
@pytest.mark.parametrize(("file", "key", "value", "stage"), KEYS.values(), ids=KEYS)
def test_a_key_that_is_no_plain_text(
    whole: Path, tmp_path: Path, word: str, file: str, key: str, value: object, stage: str
) -> None:
    folder = copied(whole, tmp_path / "project")
    with_value(file, key.format(word), value.format(word) if isinstance(value, str) else value)(folder)
    assert "\x1b" not in refused(folder, stage, *([] if "report" in stage else [CELL]))
