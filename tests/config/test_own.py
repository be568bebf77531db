"""benchmark.yaml, the description of one's own data: each fault is one line that names the key."""

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.own_data import init, make_collection

from dmtl.__main__ import main


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of own images as `dmtl init` writes it."""
    folder = tmp_path_factory.mktemp("own")
    init(folder / "boxes", "--data", make_collection(folder / "data"))
    return folder / "boxes"


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("fitt", "pad", "unknown key; did you mean 'fit'?"),
        ("fit", "squeeze", "fit"),
        ("name", "../up", "name"),
        ("size", [96], "size"),
        ("size", [16, 96], "size"),
        ("tasks.semseg.kind", "clases", "kind"),
        ("tasks.semseg.classes", {}, "a task of kind classes lists its classes"),
        ("tasks.depth.classes", {"a": "#000000", "b": "#ffffff"}, "a task of kind classes lists its classes"),
        ("tasks.semseg.classes", {"class_0": "red", "class_7": "#ffffff"}, "class_0"),
        ("tasks.flow.channels", None, "a task of kind regression says its channels"),
        ("tasks.flow.channels", 0, "channels"),
        ("tasks.extra", {"kind": "depth", "title": "Extra"}, "tasks.extra: no collection has labels of it"),
        ("collections.data.tasks.semsegg", {"folder": "semseg"}, "no such task; did you mean 'semseg'?"),
        ("collections.data.tasks.semseg.labels", {0: "class_0", 7: "class_8"}, "no class 'class_8'; did you mean 'class_7'?"),
        ("collections.data.tasks.semseg.ignore", [7], "7 stands in labels and in ignore"),
        ("collections.data.tasks.depth.folder", "../depth", "folder"),
        ("collections.data.tasks.depth.folder", "/etc", "folder"),
        ("collections.data.tasks.depth.scale", 0, "scale is 0"),
        ("collections.data.tasks.depth.scale", float("nan"), "scale"),
        ("collections.data.tasks.depth.range", [5, 1], "range"),
        ("collections.data.tasks.depth.scal", 2.0, "unknown key; did you mean 'scale'?"),
        ("collections.data.splits", "folder", "splits"),
        ("collections.data.splits", {"val": 1.5}, "splits"),
        ("collections", {}, "collections"),
        ("tasks", {}, "tasks"),
    ],
)
def test_a_fault_of_benchmark_yaml_is_one_line_that_names_the_key(
    key: str,
    value: object,
    said: str,
    boxes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = Path(shutil.copytree(boxes, tmp_path / "boxes"))
    content = yaml.safe_load((folder / "benchmark.yaml").read_text())
    *parents, last = key.split(".")
    block = content
    for parent in parents:
        block = block[parent]
    block[last] = value
    (folder / "benchmark.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit) as ended:
        main(["cells"])
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.strip().splitlines()
    assert "benchmark.yaml" in line
    assert said in line
