"""HDF5 files that anybody may have made: data sets that lie in the file itself, of bounded chunks and the usual filters.

HDF5 can lead elsewhere in many ways (external links, data kept in other files, virtual data sets), and a filter may be code of
this machine's plugins. Nothing of that is needed here, so it is refused before anything is read.
"""

import math

import h5py
import numpy as np

LARGEST_CHUNK = 256 << 20  # bytes that are unpacked at once
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
LARGEST_ATTRIBUTE = 1 << 20  # characters


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A data set of numbers, or of texts of one length, by its path.

    Raises:
        KeyError: there is none.
        ValueError: it lies in another file, or is stored in a way that nobody here writes.
    """
    parts = name.split("/")
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        link = file.get(path, getlink=True)
        if link is None:
            raise KeyError(f"no data set '{name}'")
        if not isinstance(link, h5py.HardLink):
            raise ValueError(f"'{path}' is a link to another place")
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"'{name}' is no data set")
    if data.is_virtual or data.external:
        raise ValueError(f"'{name}' is kept in another file")
    if data.dtype.hasobject or data.dtype.kind not in "biufS":
        raise ValueError(f"'{name}' is of type {data.dtype}")
    plist = data.id.get_create_plist()
    if any(plist.get_filter(k)[0] not in FILTERS for k in range(plist.get_nfilters())):
        raise ValueError(f"'{name}' is packed by another filter than gzip")
    if math.prod(data.chunks or ()) * data.dtype.itemsize > LARGEST_CHUNK:
        raise ValueError(f"'{name}' has chunks of more than {LARGEST_CHUNK >> 20} MiB")
    return data


def whole(file: h5py.File, name: str, shape: tuple[int | None, ...], kinds: str) -> np.ndarray:
    """A small data set, read whole, of a shape in which None may be any number, and of one of the NumPy `kinds`.

    Raises:
        KeyError, ValueError: as `dataset`; or it is of another shape or type, or too large.
    """
    data = dataset(file, name)
    fits = len(data.shape) == len(shape) and all(want in (None, side) for side, want in zip(data.shape, shape, strict=True))
    if not fits or data.dtype.kind not in kinds:
        raise ValueError(f"'{name}' is of type {data.dtype} and shape {data.shape}")
    if math.prod(data.shape) * data.dtype.itemsize > LARGEST_CHUNK:
        raise ValueError(f"'{name}' is larger than {LARGEST_CHUNK >> 20} MiB")
    return data[()]


def text_attribute(file: h5py.File, name: str, default: str | None = None) -> str:
    """A text that is kept as an attribute.

    Raises:
        KeyError: there is none, and no default.
        ValueError: it is no text, or too long.
    """
    if default is not None and name not in file.attrs:
        return default
    text = file.attrs[name]
    if not isinstance(text, str) or len(text) > LARGEST_ATTRIBUTE:
        raise ValueError(f"the attribute '{name}' is no text, or too long")
    return text
