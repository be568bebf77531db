"""The good files that `bench/fuzz.py` damages, of each kind that is not made by a stage."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.io
import torch
from PIL import Image

from dmtl.benchmarks.nyud import mat
from dmtl.training.fingerprint import Fingerprint


def unpacked_npz(path: Path) -> bytes:
    """An npz whose arrays are not packed, so that an edit reaches them; their checksums are left out of account."""
    with np.load(path) as arrays:
        file = io.BytesIO()
        np.savez(file, **dict(arrays))
    return file.getvalue()


def checkpoint() -> bytes:
    """A training's state, of which hardly anything is there."""
    fingerprint, file = Fingerprint({}, "a", "b"), io.BytesIO()
    state = {"model": {"x": torch.ones(2, 3)}, "optimiser": {"state": {0: {"exp_avg": torch.ones(3)}}}, "balance": {}}
    state |= {"history": [{"epoch": 1}], "fingerprint": fingerprint.value, "made_of": {"a": "b"}}
    torch.save(state | {"position": {"network": 0, "epoch": 0, "batch": 0, "losses": {}}}, file)
    return file.getvalue()


def mats() -> list[bytes]:
    """MATLAB files of version 5: numbers, structs, cells, letters; packed and not."""
    part = np.array([(np.array(["head"]), np.ones((2, 2)))], dtype=[("part_name", "O"), ("mask", "O")])
    contents = []
    for packed in (False, True):
        for value in (np.eye(4), part, np.array([[part], [np.eye(2)]], object), "text"):
            file = io.BytesIO()
            scipy.io.savemat(file, {"x": value}, do_compression=packed)
            contents.append(file.getvalue())
    return contents


def labeled_mat(folder: Path) -> bytes:
    """One frame of NYUD's large file."""
    with h5py.File(folder / "labeled.mat", "w") as file:
        for name, (shape, (*_, dtype)) in mat.FRAMES.items():
            file.create_dataset(
                name, (1, *shape), dtype, chunks=(1, *shape), compression="gzip", data=np.ones((1, *shape), dtype)
            )
    return (folder / "labeled.mat").read_bytes()


def pictures() -> list[bytes]:
    """A small picture in each format and colour kind."""
    contents = []
    rgb, exif = np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8), Image.Exif()
    exif[0x0112] = 6
    kinds: dict[str, dict[str, Any]] = {"PNG": {}, "JPEG": {"exif": exif}, "GIF": {}, "TIFF": {"compression": "tiff_lzw"}}
    kinds |= {"BMP": {}, "WEBP": {}, "PPM": {}}
    for kind, options in kinds.items():
        for mode in ("RGB", "L", "P"):
            file = io.BytesIO()
            try:
                Image.fromarray(rgb).convert(mode).save(file, kind, **options)
            except (OSError, ValueError):
                continue
            contents.append(file.getvalue())
    return contents


def npys() -> list[bytes]:
    """Arrays in C's and Fortran's order, and of bytes."""
    contents = []
    for array in (np.ones((4, 4), "<f4"), np.asfortranarray(np.ones((4, 4))), np.ones((4, 4), "u1")):
        file = io.BytesIO()
        np.save(file, array)
        contents.append(file.getvalue())
    return contents


def archives() -> list[bytes]:
    """A tar with long names, and a zip."""
    tar, packed = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.PAX_FORMAT) as made:
        for name in ("a/b.txt", "é" * 120):
            info = tarfile.TarInfo(name)
            info.size = 700
            made.addfile(info, io.BytesIO(bytes(700)))
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as zipped:
        zipped.writestr("a/b.txt", bytes(700))
        zipped.writestr("c", b"x")
    return [tar.getvalue(), packed.getvalue()]


def mappings() -> list[bytes]:
    """Label masks in each published form."""
    npy, rows, labels, old = (io.BytesIO() for _ in range(4))
    np.save(npy, {"semseg": ["a", "b"], "depth": ["c"], "normals": ["d"]}, allow_pickle=True)  # type: ignore[arg-type]
    torch.save({"2008_1": [1, 0, 0, 1, 0], "2008_2": [0, 1, 0, 0, 0]}, rows)
    torch.save({"labels_weights": torch.eye(3)}, labels)
    torch.save({"labels_weights": torch.eye(3)}, old, _use_new_zipfile_serialization=False)
    return [npy.getvalue(), rows.getvalue(), labels.getvalue(), old.getvalue(), b"1\t100\n2\t011\n"]
