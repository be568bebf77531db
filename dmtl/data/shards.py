"""HDF5 shards as they are read: one file per split, one sample per chunk, label masks beside labels (docs/data.md, "Shards").

Every image lies on a canvas of the benchmark's size, at its top left; `content_size` is the part that it fills. `dmtl.prepare`
writes them.
"""

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from dmtl.data.contents import canvas_of, ids_of, masks_of, require_described, require_labels, sizes_of, tasks_of
from dmtl.errors import UserError
from dmtl.reading.hdf5 import dataset, text_attribute
from dmtl.tasks import Kind, kinds_of


class Shard:
    """Read access to a shard; opened on first use in each process, so it can be handed to loading workers.

    `labelled`, `(N, T)` bool, says which labels there are; None where every image has all of them.

    Raises:
        UserError: the file is missing or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._handle: tuple[int, h5py.File] | None = None
        self._opened: dict[str, h5py.Dataset] = {}
        with self._explained():
            file = self._file()
            self.outputs, self.described_kinds = tasks_of(file)
            self.kinds: dict[str, Kind] = kinds_of(self.outputs, self.described_kinds)
            self.about = {name: text_attribute(file, name) for name in file.attrs if name not in ("outputs", "kinds")}
            require_described(self.about.get("described"), self.outputs)
            self.ids = ids_of(file)
            self.size: tuple[int, int] = canvas_of(file, len(self.ids))
            self._content: np.ndarray = sizes_of(file, "content_size", len(self.ids), self.size)
            require_labels(file, len(self.ids), self.size, self.outputs, self.kinds)
            masks = masks_of(file, len(self.ids), len(self.outputs))
            self.labelled: np.ndarray | None = masks["labelled"].astype(bool) if "labelled" in masks else None
        self._close()

    def __len__(self) -> int:
        return len(self.ids)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_handle": None, "_opened": {}}

    def label_mask(self, setting: str) -> np.ndarray:
        """`(N, T)` uint8 of 0 and 1: which labels of each image the setting allows."""
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
        """`(h, w)` or `(h, w, C)`, of the content's size, as the task's kind says."""
        with self._explained():
            label = self.kinds[task].from_stored(_unpacked(self._data(task), k), self.content_size(k))
            if fault := self.kinds[task].fault(label, self.outputs[task]):
                raise ValueError(f"{task} of image '{self.ids[k]}' holds {fault}")
            return label

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

    def _file(self) -> h5py.File:
        """This process's own handle: one inherited over a fork is not to be used."""
        if self._handle is None or self._handle[0] != os.getpid():
            self._handle, self._opened = (os.getpid(), h5py.File(self.path, "r", locking=False)), {}
        return self._handle[1]

    def _data(self, name: str) -> h5py.Dataset:
        file = self._file()
        if name not in self._opened:  # opening one costs as much as reading a label
            self._opened[name] = dataset(file, name)
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
        except UserError as error:
            raise UserError(f"{self.path}: {error}") from None
        except (OSError, KeyError, TypeError, ValueError, RuntimeError, zlib.error) as error:
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.path} is damaged or of another version ({reason}): delete it and build it again") from None


def _unpacked(data: h5py.Dataset, k: int) -> np.ndarray:
    """Sample k of a data set. Bytes are unpacked here, in half the time that HDF5's filter takes.

    The stream's own checksum, its last four bytes, is left alone: it would take a third of the time, and DVC keeps the file's.
    """
    if data.dtype.itemsize > 1 or not data.chunks:
        return data[k]
    _, packed = data.id.read_direct_chunk((k,) + (0,) * (data.ndim - 1))
    size = int(np.prod(data.shape[1:]))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    plain = stream.decompress(memoryview(packed)[2:-4], size + 1)  # and no more, whatever it would unpack to
    if len(plain) != size:
        raise ValueError(f"a sample unpacks to another number of bytes than {size}")
    return np.frombuffer(plain, data.dtype).reshape(data.shape[1:])
