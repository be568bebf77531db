"""params.yaml, grid.yaml, benchmark.yaml and command lines, each with one thing that nobody can mean."""

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.hostile import CELL, MODEL, Edit, copied, refused, with_bytes, with_value
from helpers.own_data import make_collection

PARAMS, GRID = "params.yaml", "grid.yaml"
RECIPE = "scales.demo.train.pascal"
CELLS = f"cells.{CELL}"
NAN, INFINITY = float("nan"), float("inf")


def _bomb(levels: int, width: int) -> bytes:
    """Lists of aliases of lists: a few hundred bytes that stand for `width` to the power of `levels` values."""
    lines = ["a0: &a0 [x]"] + [f"a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * width)}]" for k in range(1, levels)]
    return "\n".join(lines).encode()


NOT_YAML: dict[str, bytes] = {
    "empty": b"",
    "a list": b"- 1",
    "a text": b"demo",
    "binary": b"\x00\x01\xff",
    "no UTF-8": "scale: é".encode("latin-1"),
    "a key twice": b"scale: demo\nscale: paper\n",
    "two documents": b"a: 1\n---\nb: 2\n",
    "a bomb of aliases": _bomb(12, 10),
    "an alias within itself": b"a: &a [*a]",
    "an alias of nothing": b"a: *b",
    "an object of Python": b"a: !!python/object/apply:os.system [id]",
    "deep": b"a: " + b"[" * 20_000,
    "deep and closed": b"a: " + b"[" * 100 + b"]" * 100,
    "5 MiB": b"a: " + b"x" * (5 << 20),
    "a number of 5000 digits": b"seed: " + b"9" * 5000,
    "a tab": b"a:\n\t- 1",
    "open": b"a: {",
    "a date that is none": b"a: 2001-99-99",
}
VALUES: dict[str, tuple[str, object]] = {
    "scale a path": ("scale", "/tmp/x"),
    "scale upwards": ("scale", "../demo"),
    "scale with a command": ("scale", "demo; touch x"),
    "scale unknown": ("scale", "dmo"),
    "scale a number": ("scale", 1),
    "scale of nothing": ("scale", None),
    "scale of 41 letters": ("scale", "a" * 41),
    "seed -1": ("seed", -1),
    "seed true": ("seed", True),
    "seed 0.5": ("seed", 0.5),
    "seed 1e20": ("seed", 10**20),
    "seed of text": ("seed", "0"),
    "seed NaN": ("seed", NAN),
    "scales a list": ("scales", []),
    "plain a list": ("plain", []),
    "plain of nothing": ("plain", None),
    "thresholds a list": ("plain.teacher_control.thresholds", [1]),
    "a threshold of a path": ("plain.teacher_control.thresholds.pascal", {"../semseg": 0.5}),
    "a threshold of 2": ("plain.teacher_control.threshold", 2.0),
    "decoder_blocks 1e8": ("plain.decoder_blocks", 10**8),
    "decoder_blocks 1.0": ("plain.decoder_blocks", 1.0),
    "images unknown": ("plain.single_task.images.demo", "al"),
    "optim a text": ("optim", "fixed"),
    "balance unknown": ("optim.balance", "fixd"),
    "cagrad NaN": ("optim.cagrad.c", NAN),
    "dibs 1e9": ("optim.dibs.iterations", 10**9),
    "a further key of optim": ("optim.blance", "fixed"),
}
RECIPES: dict[str, object] = {
    "width 0": 0, "width -8": -8, "width 1e7": 10**7, "width true": True, "width 8.0": 8.0, "width NaN": NAN,
    "epochs 0": 0, "epochs 1e9": 10**9, "epochs of text": "1",
    "batch 0": 0, "batch 1e6": 10**6,
    "learning_rate NaN": NAN, "learning_rate inf": INFINITY, "learning_rate -1": -1.0, "learning_rate 0": 0.0,
    "learning_rate true": True, "learning_rate 1e30": 1e30, "learning_rate of text": "fast", "learning_rate 10**400": 10**99,
    "weight_decay NaN": NAN, "weight_decay -1": -1.0, "clip 0": 0.0, "clip inf": INFINITY, "poly_power NaN": NAN,
    "precision 16": "16-true", "workers -1": -1, "workers 1e6": 10**6, "threads 0": 0, "threads 1e6": 10**6,
    "devices 0": 0, "devices 1e4": 10**4, "strategy unknown": "dp", "compile 1": 1, "pretrained yes": "yes",
    "task_weights a list": [], "augmentation unknown": {"kind": "crop"},
    "augmentation without kind": {"flip": True},
    "task_weights NaN": {"semseg": NAN, "human_parts": 1.0, "saliency": 1.0, "normals": 1.0, "boundary": 1.0},
    "task_weights -1": {"semseg": -1.0, "human_parts": 1.0, "saliency": 1.0, "normals": 1.0, "boundary": 1.0},
    "task_weights of fewer": {"semseg": 1.0},
    "task_weights of a further": dict.fromkeys(("semseg", "human_parts", "saliency", "normals", "boundary", "depth"), 1.0),
    "task_weights of a path": {"../x": 1.0},
    "lerning_rate 1": 1.0,
}  # fmt: skip
AUGMENTATION: dict[str, tuple[str, object]] = {
    "scales NaN": ("scales", [NAN, 1.0]),
    "scales 0": ("scales", [0.0, 1.0]),
    "scales falling": ("scales", [2.0, 1.0]),
    "scales 1e6": ("scales", [1.0, 1e6]),
    "scales of one": ("scales", [1.0]),
    "cat_max_ratio 0": ("cat_max_ratio", 0.0),
    "cat_max_ratio 2": ("cat_max_ratio", 2.0),
    "flip 1": ("flip", 1),
}
CELL_FIELDS: dict[str, tuple[str, object]] = {
    "benchmark a path": ("benchmark", "../x"),
    "benchmark with a command": ("benchmark", "pascal; touch x"),
    "benchmark another": ("benchmark", "nyud"),
    "setting unknown": ("setting", "onelable"),
    "method a path": ("method", "../../evil"),
    "method with a command": ("method", "$(touch x)"),
    "family unknown": ("family", "plan"),
    "params_block another": ("params_block", "diffusion"),
    "backbone a path": ("backbone", "../resnet18"),
    "backbone of the hub": ("backbone", "hf_hub:x/y"),
    "steps 0": ("steps", 0),
    "steps 1e9": ("steps", 10**9),
    "steps true": ("steps", True),
    "seed -1": ("seed", -1),
    "seed 1": ("seed", 1),
    "scratch 1": ("scratch", 1),
    "a further key": ("stepps", 3),
}
TRAINED: dict[str, Edit] = {
    **{f"params.yaml {name}": with_bytes(PARAMS, content) for name, content in NOT_YAML.items()},
    **{f"grid.yaml {name}": with_bytes(GRID, content) for name, content in NOT_YAML.items()},
    **{name: with_value(PARAMS, key, value) for name, (key, value) in VALUES.items()},
    **{name: with_value(PARAMS, f"{RECIPE}.{name.split()[0]}", value) for name, value in RECIPES.items()},
    **{name: with_value(PARAMS, f"{RECIPE}.augmentation.{key}", value) for name, (key, value) in AUGMENTATION.items()},
    **{f"cell: {name}": with_value(GRID, f"{CELLS}.{key}", value) for name, (key, value) in CELL_FIELDS.items()},
    "no params.yaml": lambda folder: (folder / PARAMS).unlink(),
    "params.yaml a folder": lambda folder: (folder / PARAMS).unlink() or (folder / PARAMS).mkdir(),
    "cells a list": with_value(GRID, "cells", [CELL]),
    "a cell a text": with_value(GRID, CELLS, "x"),
}


@pytest.mark.parametrize("edit", TRAINED.values(), ids=TRAINED)
def test_training(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/train.py", CELL)


REPORTED: dict[str, Edit] = {
    "a benchmark twice": with_value(GRID, "benchmarks", ["pascal", "pascal"]),
    "no benchmarks": with_value(GRID, "benchmarks", []),
    "a benchmark a path": with_value(GRID, "benchmarks", ["pascal", "../x"]),
    "benchmarks a text": with_value(GRID, "benchmarks", "pascal"),
    "a method a path": with_value(GRID, "methods.a/b", {"title": "x", "cell": {}}),
    "a method of another name": with_value(GRID, "methods.xtc.cell.method", "xct"),
    "an extra cell that is none": with_value(GRID, "extra", {"pascal-full-mtl_baselin": "x"}),
    "a cell under another name": with_value(GRID, "cells", {"x; touch y": {}}),
    "a further key": with_value(GRID, "cels", {}),
    "steps of text": with_value(PARAMS, "diffusion.steps", "many"),
    "diffusion a list": with_value(PARAMS, "diffusion", []),
}


@pytest.mark.parametrize("edit", REPORTED.values(), ids=REPORTED)
def test_report(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/report.py")


PREDICTS = (
    ("--task", "nothing"), ("--task", "../x"), ("--alpha", "nan"), ("--batch", "0"), ("--device", "junk"), ("--device", "meta"),
    ("--device", "cuda:99"),
)  # fmt: skip
COMMANDS: tuple[tuple[str, ...], ...] = (
    (),
    ("trian",),
    ("evaluate", MODEL, "--benchmark", "pascl"),
    ("evaluate", MODEL, "--benchmark", "../pascal"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--share", "0/1"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--share", "1/999999999"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--share", "a/b"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--processes", "-1"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--processes", "1000000"),
    ("evaluate", MODEL, "--benchmark", "pascal", "--precision", "16"),
    ("evaluate", MODEL, "--benchmrk", "pascal"),
    ("evaluate", "nowhere", "--benchmark", "pascal"),
    ("compare", CELL, CELL, "--draws", "0"),
    ("compare", CELL, CELL, "--draws", "-5"),
    ("compare", CELL, CELL, "--draws", "1000000000"),
    ("compare", CELL, CELL, "--draws", "1e3"),
    ("compare", CELL, CELL, "--level", "nan"),
    ("compare", CELL, CELL, "--level", "100"),
    ("compare", CELL, CELL, "--level", "inf"),
    ("compare", CELL, CELL, "--seed", "-1"),
    ("compare", CELL, CELL, "--seed", "9" * 5000),
    ("compare", CELL, CELL),
    ("compare", CELL, "nowhere"),
    ("hardware", "--minutes", "nan"),
    ("hardware", "--seconds", "inf"),
    ("hardware", "--seconds", "0"),
    ("hardware", "--scale", "../x"),
    ("hardware", "--rows", "nothing"),
    ("page",),
    ("completion", "xsh"),
    ("data", "--get", "../x"),
    ("cost", "--throughput", "nan"),
    ("cost", "--throughput", "0"),
    ("cost", "--throughput", "-1e13"),
    ("cost", "--json", "--throughput", "1e13"),
    ("cells", "--table", "7"),
    ("cells", "--stage", "report"),
    ("cells", "--project", "nowhere"),
    ("data", "--get", "nyd"),
    ("launch", "--workers", "0"),
    ("launch", "--cells-per-gpu", "-1"),
    ("launch", "--gpus-per-cell", "nan"),
    ("launch", "--gpus-per-cell", "1"),
    ("launch", CELL, CELL),
    ("launch", "-S", "scale"),
    ("launch", "-S", "scale=../x"),
    ("launch", "-S", "optim.cagrad.c=nan"),
    ("launch", "-S", "optm.balance=fixed"),
    ("launch", "-S", f"optim.balance={'[' * 5000}"),
    ("odsf", "a", "b"),
    ("odsf", "a", "b", "--workers", "0"),
    ("odsf", "a", "b", "--max-dist", "nan"),
    ("odsf", "a", "b", "--max-dist", "0"),
    ("odsf", "a", "b", "--max-dist", "1e9"),
    ("predict", "params.yaml", "--model", "nowhere", "--out", "out"),
    ("predict", "x.png", "--model", MODEL),
    *(("predict", "x.png", "--model", MODEL, "--out", "out", *more) for more in PREDICTS),
    ("predict", "x.png", "--model", MODEL, "--out", "out", "--processes", "1.5"),
    ("scores",),
    ("scores", "nowhere.npz"),
    ("scores", MODEL),
    ("scores", f"results/demo/{CELL}.npz", f"results/demo/{CELL}.npz"),
    ("mapping", "nowhere.pth"),
    ("mapping", "params.yaml"),
    ("import-official", "nowhere.pth", "--out", "out"),
    ("import-official", "params.yaml", "--out", "out"),
    ("init", "a/b", "--data", "nowhere"),
    ("init", "mine", "--data"),
    ("init", "nowhere"),
    ("stages/train.py",),
    ("stages/train.py", "../../x"),
    ("stages/train.py", CELL, "further"),
    ("stages/train.py", CELL, "--projct", "x"),
    ("stages/train.py", "x" * 5000),
    ("stages/evaluate.py", "../x"),
    ("stages/evaluate.py", "nowhere"),
    ("stages/shards.py", "pascl"),
    ("stages/shards.py", "../pascal"),
    ("stages/download.py", "$(touch x)"),
    ("stages/report.py", "further"),
)


@pytest.mark.parametrize("command", COMMANDS, ids=[" ".join(command)[:60] for command in COMMANDS])
def test_commands(whole: Path, tmp_path: Path, command: tuple[str, ...]) -> None:
    refused(copied(whole, tmp_path / "project"), *(command or ("--unknown",)))


OWN = {
    "name": "mine", "title": "Mine", "size": [32, 64], "fit": "resize",
    "tasks": {
        "semseg": {"kind": "classes", "title": "Classes", "classes": {"ground": "#000000", "box": "#ffffff"}},
        "depth": {"kind": "depth", "title": "Depth"},
    },
    "collections": {"here": {"splits": "folders", "tasks": {
        "semseg": {"folder": "semseg", "labels": {0: "ground", 7: "box"}}, "depth": {"folder": "depth", "scale": 0.001},
    }}},
}  # fmt: skip
FILES = "collections.here.tasks"
BENCHMARKS: dict[str, tuple[str, object]] = {
    "name a path": ("name", "../x"),
    "name with a command": ("name", "a;b"),
    "name of the package": ("name", "nyud"),
    "size 8": ("size", [8, 64]),
    "size 1e6": ("size", [10**6, 64]),
    "size NaN": ("size", [NAN, 64]),
    "fit unknown": ("fit", "crop"),
    "no tasks": ("tasks", {}),
    "a task a path": ("tasks", {"../x": {"kind": "depth", "title": "x"}}),
    "kind unknown": ("tasks.depth.kind", "dept"),
    "kind a path": ("tasks.depth.kind", "../depth"),
    "one class": ("tasks.semseg.classes", {"ground": "#000000"}),
    "a colour of none": ("tasks.semseg.classes.box", "white"),
    "high inf": ("tasks.depth.high", INFINITY),
    "high 0": ("tasks.depth.high", 0.0),
    "a folder upwards": (f"{FILES}.depth.folder", ".."),
    "a folder a path": (f"{FILES}.depth.folder", "a/b"),
    "a label unknown": (f"{FILES}.semseg.labels", {0: "grund"}),
    "a label in ignore too": (f"{FILES}.semseg.ignore", [7]),
    "ignore twice": (f"{FILES}.semseg.ignore", [9, 9]),
    "scale NaN": (f"{FILES}.depth.scale", NAN),
    "scale 0": (f"{FILES}.depth.scale", 0.0),
    "scale 1e300": (f"{FILES}.depth.scale", 1e300),
    "range empty": (f"{FILES}.depth.range", [2.0, 1.0]),
    "range NaN": (f"{FILES}.depth.range", [NAN, 1.0]),
    "invalid twice": (f"{FILES}.depth.invalid", [0.0, 0.0]),
    "signs 2": (f"{FILES}.depth.signs", [2, 1, 1]),
    "splits unknown": ("collections.here.splits", "folder"),
    "splits 1.0": ("collections.here.splits", {"val": 1.0}),
    "splits a path": ("collections.here.splits", {"train": "../a", "val": "b"}),
    "skip twice": ("collections.here.skip", ["a", "a"]),
    "a collection a path": ("collections", {"../x": OWN["collections"]["here"]}),  # type: ignore[index]
    "a task without labels": ("collections.here.tasks", {"depth": {"folder": "depth", "scale": 0.001}}),
    "a further key": ("titel", "x"),
}
OWN_EDITS: dict[str, Edit] = {
    **{name: with_value("benchmark.yaml", key, value) for name, (key, value) in BENCHMARKS.items()},
    **{f"benchmark.yaml {name}": with_bytes("benchmark.yaml", content) for name, content in NOT_YAML.items() if content},
    "local.yaml of a bomb": with_bytes("local.yaml", _bomb(12, 10)),
    "local.yaml of a folder that is not there": with_bytes("local.yaml", b"here: /nowhere/at/all"),
}


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of one's own images."""
    folder = tmp_path_factory.mktemp("own")
    make_collection(folder / "images", ("semseg", "depth"), train=2, val=1)
    params = {"scale": "own", "seed": 0, "scales": {"own": {}}}
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    (folder / "grid.yaml").write_text(yaml.safe_dump({"benchmarks": ["mine"], "methods": {}, "cells": {}, "extra": {}}))
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(OWN, sort_keys=False))
    (folder / "local.yaml").write_text(f"here: {folder / 'images'}\n")
    return folder


@pytest.mark.parametrize("edit", OWN_EDITS.values(), ids=OWN_EDITS)
def test_own_benchmark(own: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(own, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/download.py", "mine")


def _listed(content: bytes | None) -> Edit:
    """The collection as one folder of images with a list of each split, of which that of the training images is `content`."""

    def edit(folder: Path) -> None:
        root = folder / "images"
        for split in ("train", "val"):
            for path in [path for path in (root / split).rglob("*") if path.is_file()]:
                there = root / path.parent.name / f"{split[0]}{path.name}"
                there.parent.mkdir(exist_ok=True)
                path.rename(there)
        with_value("benchmark.yaml", "collections.here.splits", {"train": "a.txt", "val": "b.txt"})(folder)
        (root / "b.txt").write_text("v2\n")
        if content is not None:
            (root / "a.txt").write_bytes(content)

    return edit


LISTS: dict[str, bytes | None] = {
    "missing": None,
    "empty": b"",
    "no UTF-8": "café\n".encode("latin-1"),
    "NUL": b"a\0b\n",
    "upwards": b"../x\n",
    "an image twice": b"t0\nt0\n",
    "an image of the other split": b"t0\nv2\n",
    "an unknown image": b"t9\n",
    "60 million letters in a line": b"x" * (60 << 20),
    "more than 64 MiB": b"x\n" * (40 << 20),
    "every byte": bytes(range(256)),
    "an escape": b"\x1b[2J\n",
}


@pytest.mark.parametrize("content", LISTS.values(), ids=LISTS)
def test_lists_of_images(own: Path, tmp_path: Path, content: bytes | None) -> None:
    folder = copied(own, tmp_path / "project")
    shutil.copytree(own / "images", folder / "images", dirs_exist_ok=True)
    (folder / "local.yaml").write_text("here: images\n")
    _listed(content)(folder)
    refused(folder, "stages/download.py", "mine")


LOCAL: dict[str, bytes] = {
    "a list": b"here: [1, 2]",
    "a number": b"here: 5",
    "NUL": b'here: "a\\0b"',
    "a newline": b'here: "a\\nb"',
    "an escape": b'here: "a\\eb"',
    "a file": b"here: params.yaml",
    "a folder of something else": b"here: /proc",
}


@pytest.mark.parametrize("content", LOCAL.values(), ids=LOCAL)
def test_local_yaml(own: Path, tmp_path: Path, content: bytes) -> None:
    folder = copied(own, tmp_path / "project")
    (folder / "local.yaml").write_bytes(content)
    refused(folder, "stages/download.py", "mine")


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
