"""HDF5 files that anybody may have made: data sets that lie in the file itself, of bounded chunks and the usual filters.

HDF5 can lead elsewhere in many ways (external links, data kept in other files, virtual data sets), and a filter may be code of
this machine's plugins. Nothing of that is needed here, so it is refused before anything is read.

A damaged file can also keep the HDF5 library busy without end, or crash it, and neither can be stopped from Python: the library
holds the interpreter while it loops. So each file is first walked through in a process of its own, of bounded processor time.
"""

import faulthandler
import math
import os
import resource
import signal
import warnings
from contextlib import suppress
from typing import NoReturn

import h5py
import numpy as np

from dmtl.errors import UserError

LARGEST_CHUNK = 256 << 20  # bytes that are unpacked at once
FILTERS = {h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_FLETCHER32}
LARGEST_ATTRIBUTE = 1 << 20  # characters
SECONDS = 5  # of processor time for what describes a file's data; 100 000 chunks take 0.02

FAULTS = (OSError, KeyError, TypeError, ValueError, RuntimeError)  # with which h5py answers damaged files

_walked: set[tuple[int, int, int, int]] = set()  # files that the library comes through: device, inode, size, time of change


def dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """A data set of numbers, or of texts of one length, by its path.

    Raises:
        KeyError: there is none.
        ValueError: it lies in another file, or is stored in a way that nobody here writes.
    """
    _require_walkable(file)
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
    _require_walkable(file)
    if default is not None and name not in file.attrs:
        return default
    text = file.attrs[name]
    if not isinstance(text, str) or len(text) > LARGEST_ATTRIBUTE:
        raise ValueError(f"the attribute '{name}' is no text, or too long")
    return text


def _require_walkable(file: h5py.File) -> None:
    """Once for each file: that the library finds its way through it.

    Raises:
        ValueError: it does not end, it crashes, or it finds no list of names.
        UserError: that was not found out.
    """
    status = os.fstat(file.id.get_vfd_handle())
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if key in _walked:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of a fork beside threads: the child uses nothing that they hold
        child = os.fork()
    if not child:
        _walk_and_end(file)
    try:
        _, ended = os.waitpid(child, 0)
    except BaseException:  # such as Ctrl-C
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    by = os.WTERMSIG(ended)
    if by in (signal.SIGKILL, signal.SIGTERM):
        raise UserError("the process that looks at it was killed: is the memory full? Close other programs and run it again")
    if by:
        raise ValueError(f"the HDF5 library {'does not come to an end with it' if by == signal.SIGXCPU else 'crashes at it'}")
    if ended:
        raise ValueError("the HDF5 library cannot list what it holds")
    _walked.add(key)


def _walk_and_end(file: h5py.File) -> NoReturn:
    """In the child. Data and attributes that are told to be damaged are left to those who ask for them, and explain it."""
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # the user reads one line, of the process that waits
        faulthandler.disable()
        _, most = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS if most == resource.RLIM_INFINITY else min(SECONDS, most), most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for name in file.attrs:
            with suppress(*FAULTS):
                _ = file.attrs[name]
        _walk(file, depth=1)
        status = 0
    finally:
        os._exit(status)


def _walk(group: h5py.Group, depth: int) -> None:
    """Through the names in a group, and the index of each data set's chunks."""
    for name in group:
        with suppress(*FAULTS):
            member = group[name] if isinstance(group.get(name, getlink=True), h5py.HardLink) else None
            if isinstance(member, h5py.Dataset):
                _ = member.dtype, member.is_virtual, member.external, member.chunks and member.id.get_num_chunks()
            elif isinstance(member, h5py.Group) and depth and not name.startswith("#"):  # MATLAB's own, of any size
                _walk(member, depth - 1)
