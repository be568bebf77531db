"""Image-task mappings: which labels each training image may use (the one-label and random-label settings of XTC).

The published files are read as they are, in each of their forms, and brought to one canonical text: `id TAB bits LF`, an image
a line, a bit a task. They are pickles, and a pickle may ask for any function to be called. Here none is: every name and call that
it mentions is only written down (`_Symbol`), a name that no mapping needs is refused, and neither torch nor numpy's loader runs.

The paper prints the PASCAL random-label counts as semseg 450, human parts 2553, normals 2480, saliency 2445, boundary 2557;
the published file holds 2450, 847, 2480, 2445, 2557. There, human parts are only given to images that show people, which
`draw_mapping` cannot know: a drawn mapping is for synthetic images and never stands in for a published one.
"""

import hashlib
import io
import pickle
import re
import reprlib
import struct
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dmtl.config import SETTINGS
from dmtl.errors import UserError, nearest

TASKS = {
    "pascal": ("semseg", "human_parts", "saliency", "normals", "boundary"),
    "nyud": ("semseg", "depth", "normals"),
    "cityscapes": ("semseg", "depth"),
}
# SHA-256 of the canonical text. With its two tasks, Cityscapes has the same mapping in both settings: one file is published.
PUBLISHED = {
    ("pascal", "onelabel"): "48b67e8d7f0fe72af18fff1ce5fcdde44a987358a7a9f5d2bf1a96d938f16b58",
    ("pascal", "randomlabels"): "cdf992b830a99107ef9863a99d86bf9b187b55d243acf7fd8c6a0ef02f07ca9a",
    ("nyud", "onelabel"): "adfc42b70d176abb2b80ac503d0f37beae1e7af9dbaa216036030e30058c82b8",
    ("nyud", "randomlabels"): "6ec748932e622aa45d1c9c8e38fbcf6308523d6c9f2584ef73fd86e933df9c00",
    ("cityscapes", "onelabel"): "90083d8778f066db16ca6d81659a540a92fbedd01252d0a50e0505d2a3ab6ebd",
    ("cityscapes", "randomlabels"): "90083d8778f066db16ca6d81659a540a92fbedd01252d0a50e0505d2a3ab6ebd",
}
PAPER_SLIP = (
    "The paper prints semseg 450 and human parts 2553 for this file: 450 lacks its first digit, and 2553 is the number of images "
    "without saliency (4998 - 2445)."
)
_REMEDY = "mend it, or get the published file again (VICO-UoE/MTPSL or prismformore/DiffusionMTL on GitHub)"
_MOST_BYTES = 64 << 20  # fifty times the largest published file
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # opens what torch.save wrote before its zip form
_PASCAL_KEYS = ("semseg", "human_parts", "sal", "normals", "edge")  # the published names, in our order
_ARRAY, _SCALAR = "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"
_BYTES, _TENSOR, _FLOATS = "_codecs.encode", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage"
_KNOWN = {_ARRAY, _SCALAR, _BYTES, _TENSOR, _FLOATS, "numpy.ndarray", "numpy.dtype", "collections.OrderedDict"}


@dataclass(frozen=True, eq=False)
class Mapping:
    """The labels that each training image may use.

    ids: N image ids, in order (by number where all are numbers, else as text). tasks: T task names, the columns.
    bits: (N, T) uint8 of 0 and 1, read-only. source: where it came from, for messages.
    """

    ids: tuple[str, ...]
    tasks: tuple[str, ...]
    bits: np.ndarray
    source: str = "mapping"

    def __post_init__(self) -> None:
        self.bits.setflags(write=False)

    def rows(self, ids: Sequence[str]) -> np.ndarray:
        """The bits of `ids`, in their order, as a copy: (N, T) uint8. UserError unless these are the mapping's ids, each once."""
        index = {name: row for row, name in enumerate(self.ids)}
        asked = Counter(ids)
        lists = {
            "images have no row in it": [name for name in asked if name not in index],
            "of its rows have no image": [name for name in self.ids if name not in asked],
            "images are asked for more than once": [name for name, times in asked.items() if times > 1],
        }
        wrong = [f"{len(names)} {what} (first {names[0]!r})" for what, names in lists.items() if names]
        if wrong:
            raise UserError(f"{self.source}: {', '.join(wrong)}: use the mapping made for exactly these images")
        return self.bits[[index[name] for name in ids]]


def read_mapping(path: Path) -> Mapping:
    """Read a mapping in any published form or in canonical text, told apart by content.

    Forms: `.npy` {task: [id]} and `.pth` {id: [five bits]} (PASCAL); `.pth` {"labels_weights": (N, T) float32}, T = 3 (NYUD) or
    2 (Cityscapes), whose ids are the row numbers, in torch's older or its zip container; `.tsv`.
    UserError, in one line, if the file is missing, cut or no mapping, has an unknown task, another number of columns, a value
    other than 0 and 1, an id twice or one without any label, or names a function or class that these forms do not need.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        _must(len(data) <= _MOST_BYTES, f"not a mapping: larger than {_MOST_BYTES >> 20} MB")
        return _checked(*_parse(data), source=str(path))
    except UserError as error:
        fault = str(error)
    except OSError as error:
        fault = f"cannot be read ({error.strerror or error})"
    except Exception as error:  # a cut or altered pickle can raise nearly anything
        fault = f"truncated or damaged ({type(error).__name__}: {reprlib.repr(str(error))})"
    raise UserError(f"{path}: {fault}: {_REMEDY}")


def canonical_text(mapping: Mapping) -> str:
    """One line an image, `id TAB bits LF`, by id: equal mappings have equal text, whatever form they were read from."""
    bits = dict(zip(mapping.ids, mapping.bits.tolist(), strict=True))
    return "".join(f"{name}\t{''.join(map(str, bits[name]))}\n" for name in _in_order(mapping.ids))


def content_sha256(mapping: Mapping) -> str:
    """SHA-256 (hexadecimal) of the canonical text."""
    return hashlib.sha256(canonical_text(mapping).encode()).hexdigest()


def counts(mapping: Mapping) -> str:
    """Lines for people: how many labels each task has, how many images have one label, two, and so on; and what it is."""
    by_task = ", ".join(f"{task} {count}" for task, count in zip(mapping.tasks, mapping.bits.sum(axis=0), strict=True))
    by_number = ", ".join(f"{k}: {count}" for k, count in enumerate(np.bincount(mapping.bits.sum(axis=1))) if count)
    found = content_sha256(mapping)
    names = [" ".join(key) for key, published in PUBLISHED.items() if published == found] or ["none"]
    slip = f"{PAPER_SLIP}\n" if found == PUBLISHED["pascal", "randomlabels"] else ""
    return (
        f"{len(mapping.ids)} images; labels: {by_task}\nimages by number of labels: {by_number}\n"
        f"published as: {', '.join(names)}; content SHA-256 {found}\n{slip}"
    )


def check_published(mapping: Mapping, benchmark: str, setting: str) -> None:
    """UserError unless this is, to the bit, the mapping published for the benchmark and setting; also if none is published."""
    if (benchmark, setting) not in PUBLISHED:
        hint = nearest(f"{benchmark} {setting}", [" ".join(key) for key in PUBLISHED])
        raise UserError(f"no mapping is published for {benchmark!r}, {setting!r}; {hint}")
    published, found = PUBLISHED[benchmark, setting], content_sha256(mapping)
    if found != published:
        digests = f"content SHA-256 {found[:12]}..., published {published[:12]}..."
        raise UserError(f"{mapping.source}: not the published {benchmark} {setting} mapping ({digests}): {_REMEDY}")


def draw_mapping(setting: str, ids: Sequence[str], tasks: Sequence[str], rng: np.random.Generator) -> Mapping:
    """Draw a mapping of the published kind for N synthetic images and T tasks.

    onelabel: one label an image, and the tasks' counts differ by at most one. randomlabels: k uniform in 1..T-1 (1 if T is 1),
    then a uniform subset of k labels. full: all. The result depends on `rng` and on which ids there are, not on their order.
    UserError for an unknown setting, for no ids or tasks, and for an id that stands twice, is empty or holds white space.
    """
    if setting not in SETTINGS:
        raise UserError(f"unknown setting {setting!r}; {nearest(setting, SETTINGS)}")
    count, width = len(ids), len(tasks)
    _must(count > 0 and width > 0, f"{setting} mapping of {count} images and {width} tasks: give at least one of each")
    _check_ids(ids)
    if setting == "full":
        bits = np.ones((count, width), np.uint8)
    elif setting == "onelabel":
        bits = np.eye(width, dtype=np.uint8)[rng.permutation(width)[rng.permutation(count) % width]]
    else:
        labels = rng.integers(1, max(width, 2), size=(count, 1))
        bits = (rng.random((count, width)).argsort(axis=1).argsort(axis=1) < labels).astype(np.uint8)
    return Mapping(_in_order(ids), tuple(tasks), bits, f"drawn {setting} mapping")


class _Symbol:
    """A name that a pickle mentions, or a call that it asks for: written down, never looked up, never made."""

    __slots__ = ("args", "name", "state")

    def __init__(self, name: str, args: Any = ()) -> None:
        self.name, self.args, self.state = name, args, None

    def __call__(self, *args: Any) -> "_Symbol":
        return _Symbol(self.name, args)

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __repr__(self) -> str:
        return f"<{self.name}>"


class _Stream(io.BytesIO):
    """Bytes whose lines must end: a name that was cut off is not taken for another name."""

    def readline(self, size: int | None = -1, /) -> bytes:
        line = super().readline(size)
        _must(line.endswith(b"\n"), "truncated or damaged (cut in a name)")
        return line


class _Reader(pickle._Unpickler):  # in Python, since one damaged byte can make the compiled one fill gigabytes
    """Reads plain values; any other thing that the pickle asks for becomes a symbol, or an error if no mapping needs it."""

    def find_class(self, module: str, name: str) -> Any:
        known = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # numpy 2 moved it
        wanted = repr(f"{module}.{name}")
        _must(known in _KNOWN, f"refused, nothing of it was run: it asks to call {wanted}, which no mapping needs")
        return _Symbol(known)

    def persistent_load(self, pid: Any) -> Any:
        return _Symbol("storage", pid)


_Table = tuple[list[Any], list[list[Any]]]  # ids and, for each, its values: whatever the file holds, to be checked


def _parse(data: bytes) -> _Table:
    if data.startswith(b"\x93NUMPY"):
        return _parse_numpy(_Stream(data))
    if data.startswith(b"PK"):
        return _parse_torch(*_open_zip(_Stream(data)))
    if data.startswith(b"\x80"):
        return _parse_torch(*_open_old(_Stream(data)))
    return _parse_text(data.decode(errors="backslashreplace"))


def _parse_numpy(stream: _Stream) -> _Table:
    """A 0-d object array that holds {task: [id]}."""
    version = np.lib.format.read_magic(stream)
    _must(version == (1, 0), f"not a mapping: npy format {version}, known is (1, 0)")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    _must(shape == () and dtype == np.dtype(object), f"not a mapping: an array of shape {shape} and type {dtype}")
    array = _Reader(stream).load()
    lists: Any = array.state[4][0] if _is(array, _ARRAY) and array.state else None
    _must(isinstance(lists, dict), "not a mapping: no lists of ids by task")
    for task in lists:
        _must(task in _PASCAL_KEYS, f"unknown task {reprlib.repr(task)}; {nearest(str(task), _PASCAL_KEYS)}")
    bits: dict[Any, list[int]] = {}
    for column, task in enumerate(_PASCAL_KEYS):
        _must(isinstance(lists.get(task), list), f"wrong number of columns: no list of ids for {task!r}")
        for name in map(_value, lists[task]):
            row = bits.setdefault(name, [0] * len(_PASCAL_KEYS))
            if row[column]:
                raise UserError(f"id {reprlib.repr(name)} stands twice in the list of {task!r}")
            row[column] = 1
    return list(bits), list(bits.values())


def _open_zip(stream: _Stream) -> tuple[Any, dict[str, bytes]]:
    """torch's zip container -> its object, and its storages by key."""
    with zipfile.ZipFile(stream) as archive:
        _must(sum(part.file_size for part in archive.infolist()) <= _MOST_BYTES, "not a mapping: a zip that holds too much")
        parts = {part.filename.partition("/")[2]: archive.read(part) for part in archive.infolist()}
    _must("data.pkl" in parts, "not a mapping: a zip without torch's data.pkl")
    return _Reader(_Stream(parts["data.pkl"])).load(), {key.removeprefix("data/"): part for key, part in parts.items()}


def _open_old(stream: _Stream) -> tuple[Any, dict[str, bytes]]:
    """torch's older container: five pickles, then each storage's length and float32 values -> the same as `_open_zip`."""
    _must(_Reader(stream).load() == _TORCH_MAGIC, "not a mapping: a pickle that torch did not write")
    _version, _system, content, keys = (_Reader(stream).load() for _ in range(4))
    return content, {key: stream.read(4 * struct.unpack("<q", stream.read(8))[0]) for key in keys}


def _parse_torch(content: Any, storages: dict[str, bytes]) -> _Table:
    """{"labels_weights": tensor} or {id: [bits]}."""
    _must(isinstance(content, dict), "not a mapping: no dict of labels")
    if "labels_weights" not in content:
        _must(all(isinstance(row, list) for row in content.values()), "not a mapping: no list of bits for each id")
        return [_value(name) for name in content], [[_value(bit) for bit in row] for row in content.values()]
    tensor = content["labels_weights"]
    _must(_is(tensor, _TENSOR), "not a mapping: 'labels_weights' is no tensor")
    storage, offset, shape, stride = tensor.args[:4]
    _, kind, key = storage.args[:3]
    whole = _is(kind, _FLOATS) and len(shape) == 2 and (offset, stride) == (0, (shape[1], 1))
    _must(whole, f"not a mapping: 'labels_weights' of shape {reprlib.repr(shape)} is no whole float32 table (N, T)")
    values = np.frombuffer(storages[key], "<f4").reshape(shape).tolist()
    return [str(number) for number in range(len(values))], values


def _parse_text(text: str) -> _Table:
    """Canonical text."""
    *lines, rest = text.split("\n")
    pairs = [line.split("\t") for line in lines]
    for number, pair in enumerate(pairs, start=1):
        _must(len(pair) == 2, f"not a mapping: line {number} is not 'id TAB bits' but {reprlib.repr(lines[number - 1])}")
    _must(bool(lines) and not rest, f"truncated or not a mapping: no line end after {reprlib.repr(rest)}")
    return [name for name, _ in pairs], [[{"0": 0, "1": 1}.get(bit, bit) for bit in bits] for _, bits in pairs]


def _value(item: Any) -> Any:
    """The text or number that a numpy scalar in a pickle stands for; anything else as it is."""
    if not _is(item, _SCALAR):
        return item
    dtype, raw = item.args
    code = dtype.state[1] + dtype.args[0]
    _must(re.fullmatch(r"[<>|](U\d{1,3}|[iu][1248]|b1)", code) is not None, f"not a mapping: a numpy value of type {code!r}")
    (value,) = np.frombuffer(raw.args[0].encode("latin1") if _is(raw, _BYTES) else raw, code)  # protocol 2 has no bytes
    return value.item()


def _checked(ids: list[Any], rows: list[list[Any]], source: str) -> Mapping:
    """The mapping of these ids and values; UserError for whatever a mapping may not hold."""
    _must(bool(rows), "not a mapping: no rows")
    tasks = next((names for names in TASKS.values() if len(names) == len(rows[0])), ())
    _must(bool(tasks), f"wrong number of columns, {len(rows[0])}: PASCAL has 5, NYUD 3, Cityscapes 2")
    _check_ids(ids)
    for name, row in zip(ids, rows, strict=True):
        _must(len(row) == len(tasks), f"wrong number of columns, {len(row)}, at id {name!r}, after {len(tasks)} before")
        for task, bit in zip(tasks, row, strict=True):
            if bit not in (0, 1):
                raise UserError(f"value {reprlib.repr(bit)} at id {name!r}, task {task!r}, only 0 and 1 can be")
        _must(any(row), f"id {name!r} has no label at all")
    order = _in_order(ids)
    if tasks != TASKS["pascal"]:
        for number, name in enumerate(order):
            _must(name == str(number), f"id {name!r} where row number {number} belongs")
    values = dict(zip(ids, rows, strict=True))
    return Mapping(order, tasks, np.array([values[name] for name in order], np.uint8), source)


def _check_ids(ids: Sequence[Any]) -> None:
    for name in ids:
        fits = isinstance(name, str) and re.fullmatch(r"\S+", name)
        _must(fits, f"{reprlib.repr(name)} is no image id, give text without white space")
    for name, times in Counter(ids).items():
        _must(times == 1, f"id {name!r} stands {times} times, list every image once")


def _in_order(ids: Sequence[str]) -> tuple[str, ...]:
    """By number where all ids are numbers, else as text."""
    numbers = all(name.isascii() and name.isdecimal() for name in ids)
    return tuple(sorted(sorted(ids), key=int) if numbers else sorted(ids))


def _is(item: Any, name: str) -> bool:
    return isinstance(item, _Symbol) and item.name == name


def _must(holds: Any, fault: str) -> None:
    if not holds:
        raise UserError(fault)
