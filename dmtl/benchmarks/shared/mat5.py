"""What a MATLAB file of version 5 claims to hold, looked at before scipy makes room for it.

scipy makes an array of as many objects as a cell array or a struct says that it has, whatever the file's length. Here the tags of
all elements are walked through, compressed ones unpacked within a bound, and a claim that the bytes cannot hold is refused.
"""

import math
import struct
import zlib

from dmtl.reading.bounded import LARGEST_ARRAYS

HEADER = 128  # bytes before the first element
COMPRESSED, MATRIX = 15, 14  # types of elements
NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}  # those of values and letters
CELL, STRUCT, OBJECT = 1, 2, 3  # classes of matrices that hold matrices
CHARACTERS, OPAQUE = 4, 17  # functions (16) and opaque things are not read
TAG = 8  # bytes
MOST_DIMENSIONS, DEEPEST, MOST_ELEMENTS = 8, 16, 200_000


def require_bounded(content: bytes) -> None:
    """Look through a file's content.

    Raises:
        ValueError: it is no such file, unpacks to more than `LARGEST_ARRAYS`, or claims more elements than its bytes can hold.
        NotImplementedError: it is of version 7.3.
    """
    if len(content) < HEADER:
        raise ValueError("shorter than its header")
    if content[:8] == b"\x89HDF\r\n\x1a\n" or content[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
        raise NotImplementedError("version 7.3")
    if content[126:128] not in (b"IM", b"MI"):
        raise ValueError("no mark of the order of bytes")
    order = "<" if content[126:128] == b"IM" else ">"
    left, start, walk = LARGEST_ARRAYS, HEADER, _Walk(order)
    while start < len(content):
        kind, size, body = walk.tag(content, start, len(content))
        if kind == COMPRESSED:
            unpacked = _unpacked(content[body : body + size], left)
            left -= len(unpacked)
            inner, inner_size, inner_body = walk.tag(unpacked, 0, len(unpacked))
            if inner == MATRIX:
                walk.matrix(unpacked, inner_body, inner_body + inner_size, 0)
            start = body + size  # a compressed element is not padded
        else:
            if kind == MATRIX:
                walk.matrix(content, body, body + size, 0)
            start = body + size + -size % TAG


def _unpacked(packed: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj()
    unpacked = stream.decompress(packed, limit + 1)
    if len(unpacked) > limit:
        raise ValueError(f"it unpacks to more than {LARGEST_ARRAYS >> 20} MiB")
    return unpacked


class _Walk:
    """The tags of a file's elements, one after the other."""

    def __init__(self, order: str) -> None:
        self._order, self._seen = order, 0

    def tag(self, data: bytes, start: int, end: int) -> tuple[int, int, int]:
        """Type, bytes and place of the element that begins at `start`, which must end before `end`."""
        self._seen += 1
        if start + TAG > end or self._seen > MOST_ELEMENTS:
            raise ValueError("an element ends beyond the file, or there are too many")
        kind, size = struct.unpack_from(f"{self._order}II", data, start)
        body = start + TAG
        if kind >> 16:  # a small element: its size and its bytes lie in the tag
            kind, size, body = kind & 0xFFFF, kind >> 16, start + 4
        if kind not in {COMPRESSED, MATRIX, *NUMBERS}:  # scipy looks it up in a table, without asking how long that is
            raise ValueError(f"an element of type {kind}")
        if body + size > end:
            raise ValueError(f"an element of {size} bytes where {end - body} are left")
        return kind, size, body

    def matrix(self, data: bytes, start: int, end: int, depth: int) -> None:
        """A matrix: its flags, dimensions and name, then what it holds."""
        if start == end:
            return  # an empty one, as in an empty cell
        if depth > DEEPEST:
            raise ValueError(f"matrices in matrices, more than {DEEPEST} deep")
        _, flags_size, flags = self.tag(data, start, end)
        if flags_size < 4:
            raise ValueError("a matrix without its class")
        of_class = struct.unpack_from(f"{self._order}I", data, flags)[0] & 0xFF
        if not CELL <= of_class < OPAQUE - 1:
            raise ValueError("it holds a function or an object")
        at = _after(flags, flags_size)
        _, size, body = self.tag(data, at, end)
        count = size // 4
        dimensions = struct.unpack_from(f"{self._order}{count}i", data, body)
        at = _after(body, size)
        _, size, body = self.tag(data, at, end)  # the name
        at = _after(body, size)
        if count > MOST_DIMENSIONS or any(side < 0 for side in dimensions):
            raise ValueError(f"a matrix of {count} dimensions {dimensions[:MOST_DIMENSIONS]}")
        self._content(data, at, end, of_class, math.prod(dimensions), depth)

    def _content(self, data: bytes, at: int, end: int, of_class: int, count: int, depth: int) -> None:
        fields = 1
        if of_class == OBJECT:
            raise ValueError("it holds an object")
        if of_class == STRUCT:
            _, size, body = self.tag(data, at, end)
            longest = int.from_bytes(data[body : body + min(size, 4)], "little" if self._order == "<" else "big")
            _, size, body = self.tag(data, _after(body, size), end)
            fields = size // longest if longest else 0
            at = _after(body, size)
        room = end - at
        if of_class not in (CELL, STRUCT):
            if count > room:  # every number takes a byte at least
                raise ValueError(f"a matrix of {count} numbers in {room} bytes")
            while at + TAG <= end:
                kind, size, body = self.tag(data, at, end)
                if kind not in NUMBERS:
                    raise ValueError(f"numbers of type {kind}")
                at = _after(body, size)
            return
        if count * max(fields, 1) > room // TAG:
            raise ValueError(f"{count} cells in {room} bytes")
        for _ in range(count * fields):
            kind, size, body = self.tag(data, at, end)
            if kind == MATRIX:
                self.matrix(data, body, body + size, depth + 1)
            at = body + size + -size % TAG


def _after(body: int, size: int) -> int:
    """Where the element after this one begins; elements are padded to eight bytes, also those within a tag."""
    return (body + size + TAG - 1) // TAG * TAG
