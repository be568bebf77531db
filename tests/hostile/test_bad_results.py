"""What an evaluation wrote, each file with one thing changed."""

import functools
import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.hostile import CELL, MODEL, NOT_JSON, Edit, copied, refused, with_bytes, with_npz, with_value, without

JSON, WEIGHTS, HISTORY = f"{MODEL}/model.json", f"{MODEL}/model.safetensors", f"{MODEL}/history.json"
RESULT = f"results/demo/{CELL}.json"
STATISTICS, GALLERY = f"results/demo/{CELL}.npz", f"results/demo/{CELL}.gallery.npz"
EVALUATE = ("evaluate", MODEL, "--benchmark", "pascal")


def _header(change: Callable[[dict], object]) -> Edit:
    def edit(arrays: dict[str, np.ndarray]) -> None:
        header = json.loads(str(arrays["header"]))
        change(header)
        arrays["header"] = np.array(json.dumps(header))

    return with_npz(STATISTICS, edit)


def _array(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Edit:
    return with_npz(STATISTICS, lambda arrays: arrays.__setitem__(name, change(arrays[name])))


def _zip(*members: tuple[str, bytes]) -> bytes:
    file = io.BytesIO()
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members:
            packed.writestr(f"{name}.npy", content)
    return file.getvalue()


def _claims(shape: tuple[int, ...], kind: str) -> bytes:
    """The head of an array without its values."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": kind, "fortran_order": False, "shape": shape})
    return file.getvalue()


def _lying(content: bytes) -> bytes:
    """A zip whose list says 1 byte of its last member."""
    at = content.rindex(b"PK\x01\x02")
    return content[: at + 24] + struct.pack("<I", 1) + content[at + 28 :]


@functools.cache
def _zeros(size: int) -> bytes:
    """A zip of so many MiB, made once and where it is used: that takes a second."""
    return _zip(("header", bytes(size << 20)))


ZIPS: dict[str, bytes | Callable[[bytes], bytes]] = {
    "of 400 MiB": lambda _: _zeros(400),
    "that lies": lambda _: _lying(_zeros(300)),
    "of 1e12 numbers": _zip(("header", _claims((10**6, 10**6), "<f4"))),
    "of a text of 1e8 letters": _zip(("header", _claims((), "<U100000000"))),
    "of objects": _zip(("header", _claims((1,), "|O") + b"\x80\x04.")),
    "of 1001 arrays": _zip(*((f"a{k}", b"") for k in range(1001))),
    "of an array twice": _zip(("header", b""), ("header", b"")),
}
STATISTICS_EDITS: dict[str, Edit] = {
    **{name: with_bytes(STATISTICS, content) for name, content in ZIPS.items()},
    **{f"no {name}": with_npz(STATISTICS, lambda a, n=name: a.pop(n)) for name in ("header", "id", "index", "final/semseg")},
    "missing": lambda folder: (folder / STATISTICS).unlink(),
    "empty": with_bytes(STATISTICS, b""),
    "no zip": with_bytes(STATISTICS, b"\x93NUMPY\x01\x00"),
    "cut": with_bytes(STATISTICS, lambda content: content[:-100]),
    "a byte changed": with_bytes(STATISTICS, lambda content: content[:200] + b"\x00\xff" + content[202:]),
    "a header of no JSON": _array("header", lambda a: np.array("{")),
    "a header of numbers": _array("header", lambda a: np.arange(3)),
    "a header of bytes": _array("header", lambda a: np.array(b"{}")),
    "a header deep": _array("header", lambda a: np.array("[" * 100_000)),
    "no outputs": _header(lambda h: h.pop("outputs")),
    "outputs a list": _header(lambda h: h.update(outputs=["semseg"])),
    "outputs of 0 channels": _header(lambda h: h["outputs"].update(semseg=0)),
    "outputs of other channels": _header(lambda h: h["outputs"].update(semseg=20)),
    "a task that is a path": _header(lambda h: h.update(outputs={"../x": 1})),
    "an unknown kind": _header(lambda h: h.update(kinds={"semseg": {"name": "clases"}})),
    "about a text": _header(lambda h: h.update(about="x")),
    "an index twice": _array("index", lambda a: a * 0),
    "an index too large": _array("index", lambda a: a + 1),
    "an index below 0": _array("index", lambda a: a - 1),
    "an index of floats": _array("index", lambda a: a.astype(float)),
    "an id twice": _array("id", lambda a: np.array([a[0]] * len(a))),
    "ids of numbers": _array("id", lambda a: np.arange(len(a))),
    "a row less": _array("final/normals", lambda a: a[:-1]),
    "a column less": _array("final/semseg", lambda a: a[:, :-1]),
    "NaN": _array("final/normals", lambda a: a * np.nan),
    "infinity": _array("final/normals", lambda a: a + np.inf),
    "below 0": _array("final/semseg", lambda a: a.astype(np.int64) - 10**6),
    "of texts": _array("final/semseg", lambda a: a.astype(str)),
    "a further stage": with_npz(STATISTICS, lambda a: a.update({"last/semseg": a["final/semseg"]})),
    "a further task": with_npz(STATISTICS, lambda a: a.update({"final/x": a["final/semseg"]})),
    "labelled of numbers": with_npz(STATISTICS, lambda a: a.update(labelled=np.ones((3, 5), int))),
    "labelled of other images": with_npz(STATISTICS, lambda a: a.update(labelled=np.ones((2, 5), bool))),
}


@pytest.mark.parametrize("edit", STATISTICS_EDITS.values(), ids=STATISTICS_EDITS)
def test_statistics(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    assert STATISTICS in refused(folder, "scores", STATISTICS)


RESULTS: dict[str, Edit] = {
    **{f"result.json: {name}": with_bytes(RESULT, NOT_JSON[name]) for name in ("empty", "cut", "a list", "deep", "a key twice")},
    **{f"no {key}": without(RESULT, key) for key in ("cell", "metrics", "metrics.final", "metrics.initial")},
    "of another cell": with_value(RESULT, "cell", "pascal-full-mtl_baseline"),
    "no tasks": with_value(RESULT, "metrics.final", {}),
    "a task less": without(RESULT, "metrics.final.semseg"),
    "a score of text": with_value(RESULT, "metrics.final.semseg.miou", "50"),
    "a score true": with_value(RESULT, "metrics.final.semseg.miou", True),
    "no headline": without(RESULT, "metrics.final.semseg.miou"),
    "images -1": with_value(RESULT, "images", -1),
    "labels of text": with_value(RESULT, "labels", "all"),
    "seed of text": with_value(RESULT, "seed", "0"),
    "history of numbers": with_value(RESULT, "history", [1]),
    "a further key": with_value(RESULT, "x", 1),
    "a training of text": with_value(RESULT, "training", "x"),
}


@pytest.mark.parametrize("edit", RESULTS.values(), ids=RESULTS)
def test_results(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/report.py")


GALLERIES: dict[str, Edit] = {
    **{name: with_bytes(GALLERY, content) for name, content in ZIPS.items()},
    "empty": with_bytes(GALLERY, b""),
    "no header": with_npz(GALLERY, lambda a: a.pop("header")),
    "no content": with_npz(GALLERY, lambda a: a.pop("content")),
    "no final": with_npz(GALLERY, lambda a: a.pop("final/semseg")),
    "content 0": with_npz(GALLERY, lambda a: a.update(content=a["content"] * 0)),
    "content large": with_npz(GALLERY, lambda a: a.update(content=a["content"] * 100)),
    "content of floats": with_npz(GALLERY, lambda a: a.update(content=a["content"] * 1.0)),
    "maps of floats": with_npz(GALLERY, lambda a: a.update({"final/semseg": a["final/semseg"] * 1.0})),
    "a map less": with_npz(GALLERY, lambda a: a.update({"final/semseg": a["final/semseg"][:-1]})),
    "an image grey": with_npz(GALLERY, lambda a: a.update(image=a["image"][..., 0])),
}


@pytest.mark.parametrize("edit", GALLERIES.values(), ids=GALLERIES)
def test_galleries(whole: Path, tmp_path: Path, edit: Edit) -> None:
    from dmtl.errors import UserError
    from dmtl.evaluation.gallery import load_gallery

    folder = copied(whole, tmp_path / "project")
    edit(folder)
    with pytest.raises(UserError, match=r"holds no pictures \(.+\): evaluate again"):
        load_gallery(folder / GALLERY)
