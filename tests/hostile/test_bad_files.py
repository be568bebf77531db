"""Mapping files, pipes and manifests, each made to hurt."""

import os
from pathlib import Path

import pytest
from helpers.hostile import Edit, copied, npy, npy_header, one_line, refused, with_bytes, with_value, without, zip_of

from dmtl.prepare.mapping_files import read_mapping

MANIFEST = "data/raw/demo/pascal.json"


MAPPINGS: dict[str, bytes] = {
    "empty": b"",
    "a text": b"hello",
    "a pickle that calls": b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R.",
    "an npy of 1e12 objects": npy(npy_header((10**6, 10**6), "'|O'")),
    "an npy of numbers": npy(npy_header((4, 4)), bytes(64)),
    "a zip without a pickle": zip_of("x/data/0"),
    "a zip upwards": zip_of("../x"),
    "a zip that unpacks to 100 MiB": zip_of("x/data.pkl", content=bytes(100 << 20)),
    "a row of letters": b"1\tabc\n",
    "a row of 2": b"1\t012\n",
    "an id twice": b"1\t100\n1\t010\n",
    "a row of nothing": b"1\t000\n",
    "a row of 999 bits": b"1\t" + b"1" * 999 + b"\n",
    "without an end": b"1\t100",
}


@pytest.mark.parametrize("content", MAPPINGS.values(), ids=MAPPINGS)
def test_mappings(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    assert "x.pth" in one_line(lambda: read_mapping(tmp_path / "x.pth"))


@pytest.mark.parametrize("command", [("mapping", "x.pth"), ("import-official", "x.pth", "--out", "out")], ids=lambda c: c[0])
def test_a_pipe_is_not_waited_for(tmp_path: Path, command: tuple[str, ...]) -> None:
    os.mkfifo(tmp_path / "x.pth")
    assert "is no file" in refused(tmp_path, *command)


MANIFESTS: dict[str, Edit] = {
    **{f"no {key}": without(MANIFEST, key) for key in ("source", "splits", "mappings", "files", "splits.val")},
    "missing": lambda folder: (folder / MANIFEST).unlink(),
    "empty": with_bytes(MANIFEST, b""),
    "a list": with_bytes(MANIFEST, b"[]"),
    "files a list": with_value(MANIFEST, "files", []),
    "a file upwards": with_value(MANIFEST, "files", {"../x": {"bytes": 1, "sha256": "0" * 64}}),
    "a file absolute": with_value(MANIFEST, "files", {"/etc/passwd": {"bytes": 1, "sha256": "0" * 64}}),
    "a size below 0": with_value(MANIFEST, "files", {"x": {"bytes": -1, "sha256": "0" * 64}}),
    "a hash of text": with_value(MANIFEST, "files", {"x": {"bytes": 1, "sha256": "x"}}),
    "no files": with_value(MANIFEST, "files", {}),
    "an image twice": with_value(MANIFEST, "splits.val", ["a", "a"]),
    "a third split": with_value(MANIFEST, "splits.test", []),
    "a setting of none": with_value(MANIFEST, "mappings.halflabel", "0" * 64),
    "a mask of another hash": with_value(MANIFEST, "mappings.onelabel", "0" * 64),
    "a further key": with_value(MANIFEST, "x", 1),
}


@pytest.mark.parametrize("edit", MANIFESTS.values(), ids=MANIFESTS)
def test_manifests(whole: Path, tmp_path: Path, edit: Edit) -> None:
    folder = copied(whole, tmp_path / "project")
    edit(folder)
    refused(folder, "stages/shards.py", "pascal")
