"""The published mappings' content, and small mappings in every form that they are published in."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from dmtl.benchmarks import all_benchmarks
from dmtl.errors import UserError
from dmtl.prepare.mapping_files import read_mapping

TASKS = {published.name: tuple(published.outputs) for published in all_benchmarks()}
PUBLISHED = {
    (published.name, setting): sha256
    for published in all_benchmarks()
    if published.masks
    for setting, sha256 in published.masks.sha256.items()
}

# What the published files hold: images, labels by task, images by number of labels (1, 2, ...).
CONTENT = {
    ("pascal", "onelabel"): (4998, [1000, 999, 1000, 1000, 999], [4998]),
    ("pascal", "randomlabels"): (4998, [2450, 847, 2445, 2480, 2557], [1538, 1529, 1541, 390]),
    ("nyud", "onelabel"): (795, [265, 265, 265], [795]),
    ("nyud", "randomlabels"): (795, [392, 408, 385], [405, 390]),
    ("cityscapes", "onelabel"): (2975, [1487, 1488], [2975]),
}

# The same three images in both PASCAL forms: bits by id (semseg, human_parts, saliency, normals, boundary), rows by task.
ROWS = {"2008_000008": [1, 0, 0, 0, 1], "2008_000015": [0, 0, 1, 1, 0], "2009_000001": [0, 1, 0, 0, 0]}
LISTS = {"human_parts": [2], "edge": [0], "semseg": [0], "normals": [1], "sal": [1]}


def published_file(shared_data: Path, benchmark: str, setting: str) -> Path:
    suffix = "npy" if benchmark == "pascal" else "pth"
    return shared_data / "xtc_mappings" / "original" / benchmark / f"{setting}.{suffix}"


def as_lists() -> dict[str, list[np.str_]]:
    """ROWS as the PASCAL `.npy` holds them."""
    names = [np.str_(name) for name in ROWS]
    return {task: [names[row] for row in rows] for task, rows in LISTS.items()}


def npy(content: object) -> bytes:
    """`content` in a 0-d object array."""
    array = np.empty((), dtype=object)
    array[()] = content
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def zipped_pickle(pickled: bytes, **parts: bytes) -> bytes:
    """torch's zip container around a pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, part in parts.items():
            archive.writestr(f"archive/{name}", part)
    return stream.getvalue()


def by_id(rows: dict[str, list[int]]) -> bytes:
    """The PASCAL `.pth`: ids as numpy text, and protocol 2, as torch.save writes them."""
    return zipped_pickle(pickle.dumps({np.str_(name): row for name, row in rows.items()}, protocol=2))


def old_container(*pickles: bytes) -> bytes:
    """torch's older container without storages, around the pickle of its object."""
    head = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*head, *pickles, pickle.dumps([], protocol=2)])


def as_text(rows: dict[str, list[int]]) -> bytes:
    return "".join(f"{name}\t{''.join(map(str, row))}\n" for name, row in rows.items()).encode()


def torch_tensor(values: object, *, zipped: bool) -> bytes:
    torch = pytest.importorskip("torch")
    stream = io.BytesIO()
    weights = values if isinstance(values, torch.Tensor) else torch.tensor(values, dtype=torch.float32)
    torch.save({"labels_weights": weights}, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def write(folder: Path, data: bytes, name: str = "mapping.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def refused(path: Path) -> str:
    """The message that the file is refused with: one line that names the file and what to do."""
    with pytest.raises(UserError) as caught:
        read_mapping(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "get the published file again" in message
    return message
