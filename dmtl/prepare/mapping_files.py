"""XTC's mapping files, in each of the forms in which label masks were published.

They are pickles, and a pickle may ask for any function to be called. Here none is: every name and call that it mentions is only
written down (`_Symbol`), a name that no mapping needs is refused, and neither torch nor numpy's loader runs.
`torch.load(weights_only=True)` reads only some of the forms, calls the functions that it allows, and could be made to corrupt
memory before torch 2.10 (CVE-2026-24747).
"""

import io
import pickle  # nosec B403
import re
import reprlib
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from dmtl.benchmarks import Benchmark, all_benchmarks
from dmtl.errors import UserError, nearest
from dmtl.prepare.label_masks import LabelMask, check_ids, in_order, must

_REMEDY = "mend it, or get the published file again (VICO-UoE/MTPSL or prismformore/DiffusionMTL on GitHub)"
_MOST_BYTES = 64 << 20  # fifty times the largest published file
_TORCH_MAGIC = 0x1950A86A20F9469CFC6C  # opens what torch.save wrote before its zip form
_ARRAY, _SCALAR = "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar"
_BYTES, _TENSOR, _FLOATS = "_codecs.encode", "torch._utils._rebuild_tensor_v2", "torch.FloatStorage"
_KNOWN = {_ARRAY, _SCALAR, _BYTES, _TENSOR, _FLOATS, "numpy.ndarray", "numpy.dtype", "collections.OrderedDict"}


def read_mapping(path: Path, benchmark: Benchmark | None = None) -> LabelMask:
    """Read a mapping file in any published form or in canonical text, told apart by content.

    Forms: `.npy` {task: [id]} and `.pth` {id: [a bit per task]}; `.pth` {"labels_weights": (N, T) float32}, whose ids are the row
    numbers, in torch's older or its zip container; `.tsv`.

    Args:
        path: the file.
        benchmark: whose images it is of; None finds the one with as many tasks as the file has columns.

    Raises:
        UserError: in one line: the file is missing, cut or no mapping, has an unknown task, another number of columns, a value
            other than 0 and 1, an id twice or one without any label, or names a function or class that these forms do not need.
    """
    try:
        must(path.is_file() or not path.exists() or path.is_dir(), "is no file")  # a pipe would be waited for without end
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        must(len(data) <= _MOST_BYTES, f"not a mapping: larger than {_MOST_BYTES >> 20} MB")
        return _checked(*_parse(data, benchmark), benchmark, source=str(path))
    except UserError as error:
        fault = str(error)
    except OSError as error:
        fault = f"cannot be read ({error.strerror or error})"
    except Exception as error:  # a cut or altered pickle can raise nearly anything
        fault = f"truncated or damaged ({type(error).__name__}: {reprlib.repr(str(error))})"
    raise UserError(f"{path}: {fault}: {_REMEDY}")


def find_mapping(folder: Path, benchmark: Benchmark, setting: str) -> Path:
    """The mapping file of a setting below `folder`, under any of the names that the published collections use.

    Raises:
        UserError: there is none.
    """
    names = _names(benchmark, setting)
    path = next((folder / name for name in names if (folder / name).is_file()), None)
    if path is None:
        raise UserError(f"{folder} holds none of {', '.join(names)}: take XTC's mapping files (VICO-UoE/MTPSL, folder data)")
    return path


def has_mapping(folder: Path, benchmark: Benchmark, setting: str) -> bool:
    """Whether `find_mapping` finds one."""
    return any((folder / name).is_file() for name in _names(benchmark, setting))


def _names(benchmark: Benchmark, setting: str) -> list[str]:
    masks, names = benchmark.masks, []
    folders = masks.folders if masks else (benchmark.name,)
    for published in dict.fromkeys([setting, masks.published_as.get(setting, setting)]) if masks else [setting]:
        names.append(f"{benchmark.name}_{published}.tsv")
        names += [f"{folder}/{published}.{end}" for folder in folders for end in ("pth", "npy")]
    return names


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
        must(line.endswith(b"\n"), "truncated or damaged (cut in a name)")
        return line


class _Reader(pickle._Unpickler):  # in Python, since one damaged byte can make the compiled one fill gigabytes
    """Reads plain values; any other thing that the pickle asks for becomes a symbol, or an error if no mapping needs it."""

    def find_class(self, module: str, name: str) -> Any:
        known = f"{module}.{name}".replace("numpy._core.", "numpy.core.", 1)  # numpy 2 moved it
        wanted = repr(f"{module}.{name}")
        must(known in _KNOWN, f"refused, nothing of it was run: it asks to call {wanted}, which no mapping needs")
        return _Symbol(known)

    def persistent_load(self, pid: Any) -> Any:
        return _Symbol("storage", pid)


_Table = tuple[list[Any], list[list[Any]]]  # ids and, for each, its values: whatever the file holds, to be checked


def _parse(data: bytes, benchmark: Benchmark | None) -> _Table:
    if data.startswith(b"\x93NUMPY"):
        return _parse_numpy(_Stream(data), benchmark)
    if data.startswith(b"PK"):
        return _parse_torch(*_open_zip(_Stream(data)))
    if data.startswith(b"\x80"):
        return _parse_torch(*_open_old(_Stream(data)))
    return _parse_text(data.decode(errors="backslashreplace"))


def _parse_numpy(stream: _Stream, benchmark: Benchmark | None) -> _Table:
    """A 0-d object array that holds {task: [id]}."""
    version = np.lib.format.read_magic(stream)
    must(version == (1, 0), f"not a mapping: npy format {version}, known is (1, 0)")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    must(shape == () and dtype == np.dtype(object), f"not a mapping: an array of shape {shape} and type {dtype}")
    array = _Reader(stream).load()
    lists: Any = array.state[4][0] if _is(array, _ARRAY) and array.state else None
    must(isinstance(lists, dict), "not a mapping: no lists of ids by task")
    return _rows_of_lists(lists, _names_like(lists) if benchmark is None else list(benchmark.authors_names.values()))


def _names_like(lists: dict[Any, Any]) -> list[str]:
    """The authors' names of that benchmark's tasks which has the most of those in `lists`."""
    names = [list(benchmark.authors_names.values()) for benchmark in all_benchmarks()]
    return max(names, key=lambda tasks: len(lists.keys() & set(tasks)))


def _rows_of_lists(lists: dict[Any, Any], tasks: list[str]) -> _Table:
    for task in lists:
        must(task in tasks, f"unknown task {reprlib.repr(task)}; {nearest(str(task), tasks)}")
    rows: dict[Any, list[int]] = {}
    for column, task in enumerate(tasks):
        must(isinstance(lists.get(task), list), f"wrong number of columns: no list of ids for {task!r}")
        for name in map(_value, lists[task]):
            row = rows.setdefault(name, [0] * len(tasks))
            must(not row[column], f"id {reprlib.repr(name)} stands twice in the list of {task!r}")
            row[column] = 1
    return list(rows), list(rows.values())


def _open_zip(stream: _Stream) -> tuple[Any, dict[str, bytes]]:
    """torch's zip container -> its object, and its storages by key."""
    with zipfile.ZipFile(stream) as archive:
        must(sum(part.file_size for part in archive.infolist()) <= _MOST_BYTES, "not a mapping: a zip that holds too much")
        parts = {part.filename.partition("/")[2]: archive.read(part) for part in archive.infolist()}
    must("data.pkl" in parts, "not a mapping: a zip without torch's data.pkl")
    return _Reader(_Stream(parts["data.pkl"])).load(), {key.removeprefix("data/"): part for key, part in parts.items()}


def _open_old(stream: _Stream) -> tuple[Any, dict[str, bytes]]:
    """torch's older container: five pickles, then each storage's length and float32 values -> the same as `_open_zip`."""
    must(_Reader(stream).load() == _TORCH_MAGIC, "not a mapping: a pickle that torch did not write")
    _version, _system, content, keys = (_Reader(stream).load() for _ in range(4))
    return content, {key: stream.read(4 * struct.unpack("<q", stream.read(8))[0]) for key in keys}


def _parse_torch(content: Any, storages: dict[str, bytes]) -> _Table:
    """{"labels_weights": tensor} or {id: [bits]}."""
    must(isinstance(content, dict), "not a mapping: no dict of labels")
    if "labels_weights" not in content:
        must(all(isinstance(row, list) for row in content.values()), "not a mapping: no list of bits for each id")
        return [_value(name) for name in content], [[_value(bit) for bit in row] for row in content.values()]
    tensor = content["labels_weights"]
    must(_is(tensor, _TENSOR), "not a mapping: 'labels_weights' is no tensor")
    storage, offset, shape, stride = tensor.args[:4]
    _, kind, key = storage.args[:3]
    whole = _is(kind, _FLOATS) and len(shape) == 2 and (offset, stride) == (0, (shape[1], 1))
    must(whole, f"not a mapping: 'labels_weights' of shape {reprlib.repr(shape)} is no whole float32 table (N, T)")
    values = np.frombuffer(storages[key], "<f4").reshape(shape).tolist()
    return [str(number) for number in range(len(values))], values


def _parse_text(text: str) -> _Table:
    """Canonical text."""
    *lines, rest = text.split("\n")
    pairs = [line.split("\t") for line in lines]
    for number, pair in enumerate(pairs, start=1):
        must(len(pair) == 2, f"not a mapping: line {number} is not 'id TAB bits' but {reprlib.repr(lines[number - 1])}")
    must(bool(lines) and not rest, f"truncated or not a mapping: no line end after {reprlib.repr(rest)}")
    return [name for name, _ in pairs], [[{"0": 0, "1": 1}.get(bit, bit) for bit in bits] for _, bits in pairs]


def _value(item: Any) -> Any:
    """The text or number that a numpy scalar in a pickle stands for; anything else as it is."""
    if not _is(item, _SCALAR):
        return item
    dtype, raw = item.args
    code = dtype.state[1] + dtype.args[0]
    must(re.fullmatch(r"[<>|](U\d{1,3}|[iu][1248]|b1)", code) is not None, f"not a mapping: a numpy value of type {code!r}")
    (value,) = np.frombuffer(raw.args[0].encode("latin1") if _is(raw, _BYTES) else raw, code)  # protocol 2 has no bytes
    return value.item()


def _checked(ids: list[Any], rows: list[list[Any]], benchmark: Benchmark | None, source: str) -> LabelMask:
    """The label mask of these ids and values.

    Raises:
        UserError: it holds what no label mask may hold.
    """
    must(bool(rows), "not a mapping: no rows")
    benchmark = benchmark or _with_tasks(len(rows[0]))
    tasks = tuple(task.name for task in benchmark.tasks)
    check_ids(ids)
    for name, row in zip(ids, rows, strict=True):
        if len(row) != len(tasks):
            raise UserError(f"wrong number of columns, {len(row)}, at id {name!r}: {benchmark.name} has {', '.join(tasks)}")
        for task, value in zip(tasks, row, strict=True):
            if value not in (0, 1):
                raise UserError(f"value {reprlib.repr(value)} at id {name!r}, task {task!r}, only 0 and 1 can be")
        must(any(row), f"id {name!r} has no label at all")
    order = in_order(ids)
    if benchmark.masks and benchmark.masks.numbered:
        for number, name in enumerate(order):
            must(name == str(number), f"id {name!r} where row number {number} belongs")
    values = dict(zip(ids, rows, strict=True))
    return LabelMask(order, tasks, np.array([values[name] for name in order], np.uint8), source)


def _with_tasks(count: int) -> Benchmark:
    """The benchmark with that many tasks; one with published label masks before a user's own."""
    benchmarks = sorted(all_benchmarks(), key=lambda benchmark: benchmark.masks is None)
    for benchmark in benchmarks:
        if len(benchmark.tasks) == count:
            return benchmark
    known = ", ".join(f"{benchmark.title} has {len(benchmark.tasks)}" for benchmark in benchmarks)
    raise UserError(f"wrong number of columns, {count}: {known}")


def _is(item: Any, name: str) -> bool:
    return isinstance(item, _Symbol) and item.name == name
