"""Samples -> a shard (docs/pipeline.md): chunks are packed in any process and put into the file in the images' order.

Equal content gives equal bytes: a shard is written once under a temporary name and renamed, without times or names of machines.
"""

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dmtl.benchmarks.shared.sample import Fit, Sample
from dmtl.files import replacing
from dmtl.tasks import Task, describe_kinds
from dmtl.tasks.shared.arrays import on_canvas

LEVEL = 1  # of gzip: higher ones are slower and gain nothing here; lzf is faster, but its bytes vary


@dataclass(frozen=True)
class Chunk:
    """One array of a sample on its canvas: its packed bytes, and what they unpack to."""

    packed: bytes
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Packed:
    """A sample as a shard stores it: name of the data set -> chunk; the (height, width) of the raw image and on the canvas."""

    chunks: dict[str, Chunk]
    original_size: tuple[int, int]
    content_size: tuple[int, int]


def pack(sample: Sample, size: tuple[int, int], fit: Fit, tasks: Sequence[Task]) -> Packed:
    """Bring a sample with labels of `tasks` to a canvas of `size` (height, width) and pack it."""
    fitted = sample.brought_to(size, fit, tasks)
    content: tuple[int, int] = fitted.image.shape[:2]
    chunks = {"image": _photo_chunk(on_canvas(fitted.image, size, 0), content)}
    chunks |= {task.name: _chunk(task.kind.to_stored(_label(fitted, task), size)) for task in tasks}
    chunks |= {name: _chunk(on_canvas(extra, size, 0)) for name, extra in fitted.extras.items()}
    return Packed(chunks, sample.image.shape[:2], content)


def _label(sample: Sample, task: Task) -> np.ndarray:
    """The label of a task, or one that says nothing where the image has none."""
    label = sample.labels.get(task.name)
    return task.kind.no_label(sample.image.shape[:2], task.channels) if label is None else label


def _chunk(array: np.ndarray) -> Chunk:
    """Pack an array as HDF5's gzip filter unpacks it, after its shuffle filter where an element has several bytes."""
    width = array.dtype.itemsize
    shuffled = array.tobytes() if width == 1 else np.ascontiguousarray(array).view(np.uint8).reshape(-1, width).T.tobytes()
    return Chunk(zlib.compress(shuffled, LEVEL), array.shape, array.dtype.str)


def _photo_chunk(canvas: np.ndarray, content: tuple[int, int]) -> Chunk:
    """Pack a photo `(H, W, 3)` with its content (height, width) as it is and only the rest of the canvas squeezed.

    Photos hardly shrink, and unpacking them would take most of the reading time. The gzip filter reads it like any stream.
    """
    plain, row, end = canvas.tobytes(), canvas.shape[1] * 3, content[1] * 3
    keep, squeeze = (zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS) for level in (0, LEVEL))
    pieces = [b"\x78\x01"]
    if end == row:
        pieces.append(keep.compress(plain[: content[0] * row]) + keep.flush(zlib.Z_FULL_FLUSH))
    else:
        for start in range(0, content[0] * row, row):
            pieces.append(keep.compress(plain[start : start + end]) + keep.flush(zlib.Z_FULL_FLUSH))
            pieces.append(squeeze.compress(plain[start + end : start + row]) + squeeze.flush(zlib.Z_FULL_FLUSH))
    pieces.append(squeeze.compress(plain[content[0] * row :]) + squeeze.flush() + struct.pack(">I", zlib.adler32(plain)))
    return Chunk(b"".join(pieces), canvas.shape, canvas.dtype.str)


def write_shard(
    path: Path,
    samples: Iterable[Packed],
    ids: Sequence[str],
    tasks: Sequence[Task],
    masks: dict[str, np.ndarray],
    about: dict[str, Any],
    boundary_listed: np.ndarray | None = None,
    labelled: np.ndarray | None = None,
) -> None:
    """Write a split.

    Args:
        path: the shard; it appears only when it is complete.
        samples: one for each of `ids`, in their order, all of one canvas and with the same arrays.
        ids: names of the images.
        tasks: in the benchmark's order.
        masks: setting -> `(N, T)` of 0 and 1 in the order of `tasks`; empty for a test split.
        labelled: `(N, T)` of 0 and 1, which labels there are; None where all are.
        about: small facts kept as attributes (benchmark, split, source).
        boundary_listed: `(N,)`, which images the boundary metric counts; None where it is not scored.

    Raises:
        UserError: the disk is full or the folder cannot be written; whatever `samples` raises.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({**about, "outputs": json.dumps({task.name: task.channels for task in tasks})})
        if kinds := describe_kinds({task.name: task.kind for task in tasks}):
            file.attrs["kinds"] = json.dumps(kinds)
        file["id"] = np.array([name.encode() for name in ids])
        for setting, mask in masks.items():
            file[f"label_mask/{setting}"] = mask.astype(np.uint8)
        if labelled is not None:
            file["labelled"] = labelled.astype(np.uint8)
        if boundary_listed is not None:
            file["boundary_listed"] = boundary_listed.astype(bool)
        sizes = {name: np.zeros((len(ids), 2), np.int32) for name in ("original_size", "content_size")}
        places = {name: file.create_dataset(name, values.shape, values.dtype) for name, values in sizes.items()}
        arrays: dict[str, h5py.Dataset] = {}
        for k, sample in enumerate(samples):
            for name, chunk in sample.chunks.items():
                if k == 0:
                    arrays[name] = _create(file, name, len(ids), chunk)
                arrays[name].id.write_direct_chunk((k,) + (0,) * len(chunk.shape), chunk.packed)
            for name, values in sizes.items():
                values[k] = getattr(sample, name)
                if k == 0:
                    places[name][0] = values[0]  # what is written first gets its place in the file first
        for name, values in sizes.items():
            places[name][:] = values


def _create(file: h5py.File, name: str, count: int, chunk: Chunk) -> h5py.Dataset:
    dtype = np.dtype(chunk.dtype)
    packing: dict[str, Any] = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": dtype.itemsize > 1}
    return file.create_dataset(name, (count, *chunk.shape), dtype, chunks=(1, *chunk.shape), **packing)
