"""Files that anybody may have made, read within bounds: what they claim to hold is looked at before room is made for it.

A reader that lives elsewhere starts here: `read_within` for bytes, `parse_json`, `load_npy` and `Npz` for arrays.
"""

import io
import json
import math
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dmtl.errors import UserError

LARGEST_TEXT = 64 << 20  # bytes of a text, JSON or list of names
MOST_VALUES = 4_000_000  # of a JSON file
DEEPEST = 64  # levels of lists and objects within one another
LARGEST_FILE = 512 << 20  # bytes of an image or array file
LARGEST_ARRAYS = 256 << 20  # bytes that the arrays of one file may unpack to
MOST_MEMBERS = 1000  # arrays of one npz
NUMBERS = "biuf"


def require_within(path: Path, limit: int) -> None:
    """It must be a plain file of at most `limit` bytes.

    Raises:
        UserError: it is larger, or no file.
        OSError: it is missing or cannot be looked at.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path} cannot be read (it is no file): put the file itself there")
    if status.st_size > limit:
        raise _too_large(path, limit)


def _too_large(path: Path, limit: int) -> UserError:
    return UserError(f"{path} is larger than {limit >> 20} MiB, which it cannot be as published or written here: take it anew")


def read_within(path: Path, limit: int) -> bytes:
    """The content of a plain file of at most `limit` bytes.

    Raises:
        UserError, OSError: as `require_within`; or it cannot be read.
    """
    require_within(path, limit)
    with path.open("rb") as file:
        content = file.read(limit + 1)  # a file in /proc says nothing of its size
    if len(content) > limit:
        raise _too_large(path, limit)
    return content


def read_text(path: Path) -> str:
    """A text in UTF-8.

    Raises:
        UserError, OSError: as `read_within`.
        UnicodeDecodeError: it is not in UTF-8.
    """
    return read_within(path, LARGEST_TEXT).decode("utf-8")


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is no JSON, holds a key twice, too many values, or lists within lists without end.
    """
    text = content if isinstance(content, str) else content.decode("utf-8")
    if len(text) > LARGEST_TEXT or sum(map(text.count, ",[{")) > MOST_VALUES:
        raise ValueError(f"more than {MOST_VALUES} values")
    try:
        value = json.loads(text, object_pairs_hook=_without_doubles)
    except RecursionError:
        raise ValueError(f"more than {DEEPEST} levels") from None
    _require_shallow(value)
    return value


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(name for name in content if names.count(name) > 1)!r} stands there twice")
    return content


def _require_shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"more than {DEEPEST} levels")


def npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order (Fortran's or not) and type of the array that an npy file begins with; the file then stands at the values.

    Raises:
        ValueError: it is no npy file, or the array is of objects or has an impossible shape.
    """
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"npy format {version}")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(file)
    except ValueError:
        raise
    except Exception as error:  # the header is a literal of Python, whose parser raises many kinds
        raise ValueError(f"a header that cannot be read, {type(error).__name__}") from None
    if dtype.hasobject or dtype.names or dtype.itemsize == 0 or any(side < 0 for side in shape):
        raise ValueError(f"an array of type {str(dtype)[:40]} and shape {shape[:8]}")
    return shape, fortran, dtype


def load_npy(content: bytes, limit: int = LARGEST_ARRAYS) -> np.ndarray:
    """The array of an npy file's content.

    Raises:
        ValueError: it is no npy file, is cut off, holds objects or more than `limit` bytes.
    """
    file = io.BytesIO(content)
    shape, fortran, dtype = npy_header(file)
    size = math.prod(shape) * dtype.itemsize
    if size > limit:
        raise ValueError(f"{size} bytes of values, more than {limit >> 20} MiB")
    start = file.tell()
    if len(content) - start != size:
        raise ValueError(f"{len(content) - start} bytes of values where its shape {shape[:8]} needs {size}")
    return np.frombuffer(content, dtype, math.prod(shape), start).reshape(shape, order="F" if fortran else "C").copy(order="K")


class Npz:
    """The arrays of an npz file by name, each unpacked when it is asked for, all together within `limit` bytes.

    Raises:
        ValueError: it is no npz file, holds a name twice, too many arrays, or more than it can be right.
        KeyError: there is no such array.
    """

    def __init__(self, content: bytes, limit: int = LARGEST_ARRAYS) -> None:
        self._limit = limit
        with _damaged_told():
            self._zip = zipfile.ZipFile(io.BytesIO(content))
            members = self._zip.infolist()
        self.names = [member.filename.removesuffix(".npy") for member in members]
        if len(members) > MOST_MEMBERS or len(set(self.names)) < len(members):
            raise ValueError(f"{len(members)} arrays, some of one name or more than {MOST_MEMBERS}")
        size = sum(member.file_size for member in members)
        if size > limit:
            raise ValueError(f"{size} bytes of arrays, more than {limit >> 20} MiB")

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.names:
            raise KeyError(name)
        with _damaged_told(), self._zip.open(f"{name}.npy") as packed:
            content = packed.read(self._limit + 1)  # a zip may hold more than it says
        return load_npy(content, self._limit)

    def text(self, name: str) -> str:
        """The text that a 0-dimensional array of text holds."""
        array = self[name]
        if array.shape != () or array.dtype.kind != "U":
            raise ValueError(f"{name} is no text")
        return str(array)


@contextmanager
def _damaged_told() -> Iterator[None]:
    """What a damaged zip raises as a ValueError."""
    try:
        yield
    except Exception as error:  # a damaged zip can raise nearly anything
        raise ValueError(" ".join(str(error).split())[:120] or type(error).__name__) from None
