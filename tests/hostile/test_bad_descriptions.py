"""benchmark.yaml, lists of images and local.yaml, each with one thing that nobody can mean."""

import shutil
from pathlib import Path

import pytest
import yaml
from helpers.hostile import CELL, NOT_YAML, Edit, bomb, copied, refused, with_bytes, with_value
from helpers.own_data import make_collection

PARAMS, GRID = "params.yaml", "grid.yaml"
RECIPE = "scales.demo.train.pascal"
CELLS = f"cells.{CELL}"
NAN, INFINITY = float("nan"), float("inf")


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
    "local.yaml of a bomb": with_bytes("local.yaml", bomb(12, 10)),
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
