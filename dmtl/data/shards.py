"""HDF5 shards: one file a split, one sample a chunk, the label masks beside the labels (pipeline.md C).

Every image lies on a canvas of the benchmark's size, at its top left; `content_size` is the part that it fills. Chunks are packed
before they are written, in any process, and put into the file in the images' order, so that equal content gives equal bytes. A
shard is written once under a temporary name and renamed, without times or names of machines.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dmtl.benchmarks.sample import NO_NORMAL, Fit, Sample
from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.tasks import IGNORE, TASKS

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


def pack(sample: Sample, size: tuple[int, int], fit: Fit) -> Packed:
    """Bring a sample to a canvas of `size` (height, width) and pack it."""
    fitted = sample.brought_to(size, fit)
    content: tuple[int, int] = fitted.image.shape[:2]
    chunks = {"image": _photo_chunk(_on_canvas(fitted.image, size, 0), content)}
    chunks |= {task: _chunk(_label_canvas(task, label, size)) for task, label in fitted.labels.items()}
    chunks |= {name: _chunk(_on_canvas(extra, size, 0)) for name, extra in fitted.extras.items()}
    return Packed(chunks, sample.image.shape[:2], content)


def _label_canvas(task: str, label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A label as it is stored: 8-bit normals channel by channel, `(3, H, W)`, others in half precision, to 0.03 degrees."""
    if task != "normals":
        return _on_canvas(label, size, 0 if TASKS[task].continuous else IGNORE)
    if label.dtype == np.uint8:
        return np.ascontiguousarray(_on_canvas(label, size, NO_NORMAL).transpose(2, 0, 1))
    return _on_canvas(label.astype(np.float16), size, 0)


def _on_canvas(array: np.ndarray, size: tuple[int, int], fill: int) -> np.ndarray:
    if array.shape[:2] == size:
        return array
    canvas = np.full((*size, *array.shape[2:]), fill, array.dtype)
    canvas[: array.shape[0], : array.shape[1]] = array
    return canvas


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
    outputs: dict[str, int],
    masks: dict[str, np.ndarray],
    about: dict[str, Any],
    boundary_listed: np.ndarray | None = None,
) -> None:
    """Write a split.

    Args:
        path: the shard; it appears only when it is complete.
        samples: one for each of `ids`, in their order, all of one canvas and with the same arrays.
        ids: names of the images.
        outputs: task -> output channels, in the benchmark's order.
        masks: setting -> `(N, T)` of 0 and 1 in the order of `outputs`; empty for a test split.
        about: small facts kept as attributes (benchmark, split, source).
        boundary_listed: `(N,)`, which images the boundary metric counts; None where it is not scored.

    Raises:
        UserError: the disk is full or the folder cannot be written; whatever `samples` raises.
    """
    with replacing(path) as temporary, h5py.File(temporary, "w") as file:
        file.attrs.update({**about, "outputs": json.dumps(outputs)})
        file["id"] = np.array([name.encode() for name in ids])
        for setting, mask in masks.items():
            file[f"label_mask/{setting}"] = mask.astype(np.uint8)
        if boundary_listed is not None:
            file["boundary_listed"] = boundary_listed.astype(bool)
        sizes = {name: file.create_dataset(name, (len(ids), 2), np.int32) for name in ("original_size", "content_size")}
        for k, sample in enumerate(samples):
            for name, chunk in sample.chunks.items():
                if k == 0:
                    _create(file, name, len(ids), chunk)
                file[name].id.write_direct_chunk((k,) + (0,) * len(chunk.shape), chunk.packed)
            for name, values in sizes.items():
                values[k] = getattr(sample, name)


def _create(file: h5py.File, name: str, count: int, chunk: Chunk) -> None:
    dtype = np.dtype(chunk.dtype)
    packing: dict[str, Any] = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": dtype.itemsize > 1}
    file.create_dataset(name, (count, *chunk.shape), dtype, chunks=(1, *chunk.shape), **packing)


class Shard:
    """Read access to a shard; opened on first use in each process, so it can be handed to loading workers.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._handle: tuple[int, h5py.File] | None = None
        self._opened: dict[str, h5py.Dataset] = {}
        with self._explained():
            file = self._file()
            self.outputs: dict[str, int] = json.loads(file.attrs["outputs"])
            self.about = {name: value for name, value in file.attrs.items() if name != "outputs"}
            self.ids = [name.decode() for name in file["id"][:]]
            self.size: tuple[int, int] = file["image"].shape[1:3]
            self._content: np.ndarray = file["content_size"][:]
        self._close()

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_opened": {}}

    def mask(self, setting: str) -> np.ndarray:
        """`(N, T)` uint8: which labels the setting shows."""
        return self._read(f"label_mask/{setting}", slice(None))

    @property
    def boundary_listed(self) -> np.ndarray:
        """`(N,)` bool: which images the boundary metric counts."""
        return self._read("boundary_listed", slice(None))

    def content_size(self, k: int) -> tuple[int, int]:
        """(height, width) of image k in the shard; its canvas is `size`."""
        height, width = self._content[k].tolist()
        return height, width

    def original_size(self, k: int) -> tuple[int, int]:
        """(height, width) of image k as its raw file has it."""
        height, width = self._read("original_size", k).tolist()
        return height, width

    def image(self, k: int) -> np.ndarray:
        """`(h, w, 3)` uint8, of the content's size."""
        return self._content_of("image", k)

    def label(self, task: str, k: int) -> np.ndarray:
        """`(h, w)` or `(h, w, 3)`, of the content's size, typed as `dmtl.benchmarks.sample.Sample` says; normals as vectors."""
        if task != "normals" or self._dtype("normals") != np.uint8:
            return self._content_of(task, k)
        height, width = self.content_size(k)
        with self._explained():
            return _decoded_normals(_unpacked(self._data(task), k)[:, :height, :width]).transpose(1, 2, 0)

    def label_map(self, k: int) -> np.ndarray:
        """`(h, w)` uint16, of the content's size: the regions between which the boundary metric's ground truth lies."""
        return self._content_of("label_map", k)

    def _content_of(self, name: str, k: int) -> np.ndarray:
        height, width = self.content_size(k)
        with self._explained():
            return _unpacked(self._data(name), k)[:height, :width].copy()

    def _read(self, name: str, index: Any) -> np.ndarray:
        with self._explained():
            return self._data(name)[index]

    def _dtype(self, name: str) -> np.dtype:
        with self._explained():
            return self._data(name).dtype

    def _file(self) -> h5py.File:
        """This process's own handle: one inherited over a fork is not to be used."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle, self._opened = (os.getpid(), h5py.File(self.path, "r", locking=False)), {}
        return self._handle[1]

    def _data(self, name: str) -> h5py.Dataset:
        file = self._file()
        if name not in self._opened:  # opening one costs as much as reading a label
            self._opened[name] = file[name]
        return self._opened[name]

    def _close(self) -> None:
        if self._handle is not None:
            self._handle[1].close()
            self._handle, self._opened = None, {}

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise UserError(f"{self.path} is missing: build it with 'dvc repro', or python stages/shards.py") from None
        except (OSError, KeyError, ValueError, zlib.error) as error:
            raise UserError(f"{self.path} is damaged or of another version ({error}): delete it and build it again") from None


def _unpacked(data: h5py.Dataset, k: int) -> np.ndarray:
    """Sample k of a data set. Bytes are unpacked here, in half the time that HDF5's filter takes.

    The stream's own checksum, its last four bytes, is left alone: it would take a third of the time, and DVC keeps the file's.
    """
    if data.dtype.itemsize > 1 or not data.chunks:
        return data[k]
    _, packed = data.id.read_direct_chunk((k,) + (0,) * (data.ndim - 1))
    plain = zlib.decompress(memoryview(packed)[2:-4], -zlib.MAX_WBITS, int(np.prod(data.shape[1:])))
    return np.frombuffer(plain, data.dtype).reshape(data.shape[1:])


def _decoded_normals(codes: np.ndarray) -> np.ndarray:
    """8-bit normals `(3, h, w)` as vectors of about unit length, float32, 0 where there is none."""
    normals = np.multiply(codes, np.float32(2 / 255), dtype=np.float32)
    normals -= 1
    none = (codes == NO_NORMAL).all(0)
    for channel in normals:  # much faster than all at once
        np.copyto(channel, 0, where=none)
    return normals
