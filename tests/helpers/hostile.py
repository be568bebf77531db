"""Bad inputs: a project in which everything is good, one thing of it changed, and what a command makes of that."""

import contextlib
import io
import json
import os
import re
import resource
import runpy
import shutil
import struct
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import h5py
import numpy as np
import pytest
import yaml

from dmtl.errors import UserError
from helpers.project import ROOT

CELL = "pascal-onelabel-mtl_baseline"  # the benchmark with the most kinds of labels
MODEL = f"models/demo/{CELL}"
SECONDS = 10
BYTES = 1 << 30  # over what is in memory before
Edit = Callable[[Path], object]
Content = bytes | Callable[[], bytes]  # made where it is used if that takes a while


def refused(folder: Path, *command: str) -> str:
    """The one line on standard error with which a command ends, having changed nothing on disk, in time and within memory.

    Args:
        folder: the working directory, which holds everything that the command may change.
        command: a script in `stages/` with its arguments, or those of `dmtl`.
    """
    before, held, began = _snapshot(folder), _held(), time.monotonic()
    status, errors = _call(folder, command)
    took, more = time.monotonic() - began, _held() - held
    assert status not in (0, None), "the command ended as if all were well"
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors[-2000:]
    assert lines[0].startswith("error: "), lines[0]
    assert len(lines[0]) < 1200, "nobody reads so long a line"
    assert _snapshot(folder) == before, "something was changed"
    assert took < SECONDS, f"{took:.1f} s"
    assert more < BYTES, f"{more >> 20} MiB"
    return lines[0]


def _call(folder: Path, command: tuple[str, ...]) -> tuple[object, str]:
    out, errors = io.StringIO(), io.StringIO()
    script = str(ROOT / command[0]) if command[0].startswith("stages/") else "dmtl"
    with (
        contextlib.chdir(folder),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
        patch.object(sys, "argv", [script, *command[command[0].startswith("stages/") :]]),
        patch.object(sys, "path", [str(ROOT / "stages"), str(ROOT), *sys.path]),
    ):
        try:
            if script == "dmtl":
                runpy.run_module("dmtl", run_name="__main__", alter_sys=False)
            else:
                runpy.run_path(script, run_name="__main__")
        except SystemExit as end:
            return end.code, errors.getvalue()
    return 0, errors.getvalue()


def _snapshot(folder: Path) -> dict[str, tuple[int, int]]:
    """Every file and folder with its size and time of change; locks, which mark nothing, aside."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = Path(place) / name
            if not name.endswith(".lock") and ".work" not in path.parts:
                status = path.lstat()
                found[str(path.relative_to(folder))] = (status.st_size, status.st_mtime_ns if name in files else 0)
    return found


def _held() -> int:
    """The most memory that this process has held, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def with_json(name: str, change: Callable[[Any], object]) -> Edit:
    """Edits a JSON file: `change` alters its content, or returns another."""

    def edit(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text())
        other = change(content)
        path.write_text(json.dumps(content if other is None else other))

    return edit


def with_value(name: str, key: str, value: Any) -> Edit:
    """Sets the value at a dotted key of a JSON or YAML file."""

    def edit(folder: Path) -> None:
        path = folder / name
        content = (yaml.safe_load if name.endswith("yaml") else json.loads)(path.read_text())
        *parts, last = key.split(".")
        tree = content
        for part in parts:
            tree = tree[int(part) if isinstance(tree, list) else part]
        tree[int(last) if isinstance(tree, list) else last] = value
        path.write_text((yaml.safe_dump if name.endswith("yaml") else json.dumps)(content))

    return edit


def without(name: str, key: str) -> Edit:
    """Deletes a dotted key of a JSON file."""

    def change(content: Any) -> None:
        *parts, last = key.split(".")
        for part in parts:
            content = content[int(part) if isinstance(content, list) else part]
        del content[last]

    return with_json(name, change)


def with_bytes(name: str, content: bytes | Callable[[bytes], bytes]) -> Edit:
    """Puts other bytes in the place of a file's."""

    def edit(folder: Path) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(path.read_bytes()) if callable(content) else content)

    return edit


def with_data(name: str, dataset: str, change: Callable[[np.ndarray], np.ndarray], **options: Any) -> Edit:
    """Puts another array in the place of a data set of an HDF5 file."""

    def edit(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            array = change(file[dataset][()])
            del file[dataset]
            file.create_dataset(dataset, data=array, **options)

    return edit


def with_h5(name: str, change: Callable[[h5py.File], object]) -> Edit:
    """Edits an HDF5 file."""

    def edit(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            change(file)

    return edit


def with_endless_heap(name: str) -> Edit:
    """An HDF5 file whose heap of texts goes on without end: the room that is free in it is said to take no byte."""

    def edit(folder: Path) -> None:
        path = folder / name
        with h5py.File(path, "r+") as file:
            file.attrs["text"] = "of a length of its own, so that it lies in the heap"
        content = bytearray(path.read_bytes())
        for heap in (found.start() for found in re.finditer(b"GCOL", content)):
            end, at = heap + int.from_bytes(content[heap + 8 : heap + 16], "little"), heap + 16
            while at < end and (index := int.from_bytes(content[at : at + 2], "little")):
                at += 16 + (int.from_bytes(content[at + 8 : at + 16], "little") + 7) // 8 * 8
            assert index == 0, "the heap is full"
            content[at + 8 : at + 16] = bytes(8)
        path.write_bytes(content)

    return edit


def with_npz(name: str, change: Callable[[dict[str, np.ndarray]], object]) -> Edit:
    """Edits the arrays of an npz file."""

    def edit(folder: Path) -> None:
        with np.load(folder / name, allow_pickle=False) as file:
            arrays = dict(file)
        change(arrays)
        with (folder / name).open("wb") as file:
            np.savez(file, **arrays)

    return edit


def copied(whole: Path, folder: Path) -> Path:
    """A copy of the good project in which one thing may be changed."""
    return Path(shutil.copytree(whole, folder, symlinks=True))


def one_line(call: Callable[[], object]) -> str:
    """What a reader says, in one line, in time and within memory."""
    held, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(UserError) as caught:
        call()
    assert time.monotonic() - began < SECONDS
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - held) * 1024 < BYTES
    text = str(caught.value)
    assert "\n" not in text
    assert len(text) < 1000
    return text


def made(content: Content) -> bytes:
    return content if isinstance(content, bytes) else content()


def bomb(levels: int, width: int) -> bytes:
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
    "a bomb of aliases": bomb(12, 10),
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


NOT_JSON = {
    "empty": b"",
    "binary": b"\x00\xff\xfe",
    "cut": b'{"network": {',
    "a list": b"[]",
    "a number": b"3",
    "nothing": b"null",
    "deep": b"[" * 100_000,
    "deep and closed": b'{"a":' * 500 + b"1" + b"}" * 500,
    "a key twice": b'{"seed": 1, "seed": 2}',
    "millions of values": b"[" + b"1," * 5_000_000 + b"1]",
    "a number of 5000 digits": b'{"seed": ' + b"9" * 5000 + b"}",
    "no UTF-8": '{"cell": "é"}'.encode("latin-1"),
}


def npy(header: str, values: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + values


def npy_header(shape: object, kind: str = "'<f4'", order: object = False) -> str:
    return f"{{'descr': {kind}, 'fortran_order': {order}, 'shape': {shape}, }}"


def zip_of(*names: str, content: bytes = b"", mode: int = 0) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            packed.writestr(info, content)
    return file.getvalue()
