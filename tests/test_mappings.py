"""Image-task mappings: the published files to the bit, nothing in a pickle run, every bad input told in one line."""

import builtins
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmtl.benchmarks import mappings
from dmtl.benchmarks.mappings import (
    PUBLISHED,
    SETTINGS,
    TASKS,
    Mapping,
    canonical_text,
    check_published,
    content_sha256,
    draw_mapping,
    read_mapping,
)
from dmtl.errors import UserError

# What the published files hold: images, labels by task, images by number of labels (1, 2, ...).
CONTENT = {
    ("pascal", "onelabel"): (4998, [1000, 999, 1000, 1000, 999], [4998]),
    ("pascal", "randomlabels"): (4998, [2450, 847, 2445, 2480, 2557], [1538, 1529, 1541, 390]),
    ("nyud", "onelabel"): (795, [265, 265, 265], [795]),
    ("nyud", "randomlabels"): (795, [392, 408, 385], [405, 390]),
    ("cityscapes", "onelabel"): (2975, [1487, 1488], [2975]),
}
# The same three images in both PASCAL forms: bits by id (semseg, human_parts, saliency, normals, boundary), rows by task.
ROWS = {"2008_000008": [1, 0, 0, 0, 1], "2008_000015": [0, 0, 1, 1, 0], "2009_000001": [0, 1, 0, 0, 0]}
LISTS = {"human_parts": [2], "edge": [0], "semseg": [0], "normals": [1], "sal": [1]}


def _shared(path: str) -> Path:
    """A file of the shared data folder; the test is skipped where it is missing."""
    root = Path(os.environ.get("DMTL_SHARED_DATA") or Path(__file__).parents[2] / "shared" / "data")
    if not (root / path).exists():
        pytest.skip(f"{root / path} is missing: set DMTL_SHARED_DATA to the shared data folder")
    return root / path


def _published(benchmark: str, setting: str) -> Path:
    suffix = "npy" if benchmark == "pascal" else "pth"
    return _shared(f"xtc_mappings/original/{benchmark}/{setting}.{suffix}")


def _lists() -> dict[str, list[np.str_]]:
    """ROWS as the PASCAL `.npy` holds them."""
    names = [np.str_(name) for name in ROWS]
    return {task: [names[row] for row in rows] for task, rows in LISTS.items()}


def _npy(content: object) -> bytes:
    """`content` in a 0-d object array."""
    array = np.empty((), dtype=object)
    array[()] = content
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


def _zip(pickled: bytes, **parts: bytes) -> bytes:
    """torch's zip container around a pickle."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, part in parts.items():
            archive.writestr(f"archive/{name}", part)
    return stream.getvalue()


def _by_id(rows: dict[str, list[int]]) -> bytes:
    """The PASCAL `.pth`: ids as numpy text, and protocol 2, as torch.save writes them."""
    return _zip(pickle.dumps({np.str_(name): row for name, row in rows.items()}, protocol=2))


def _old(*pickles: bytes) -> bytes:
    """torch's older container without storages, around the pickle of its object."""
    head = [pickle.dumps(value, protocol=2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    return b"".join([*head, *pickles, pickle.dumps([], protocol=2)])


def _text(rows: dict[str, list[int]]) -> bytes:
    return "".join(f"{name}\t{''.join(map(str, row))}\n" for name, row in rows.items()).encode()


def _torch_tensor(values: object, *, zipped: bool) -> bytes:
    torch = pytest.importorskip("torch")
    stream = io.BytesIO()
    weights = values if isinstance(values, torch.Tensor) else torch.tensor(values, dtype=torch.float32)
    torch.save({"labels_weights": weights}, stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()


def _write(folder: Path, data: bytes, name: str = "mapping.bin") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _refused(path: Path) -> str:
    """The message that the file is refused with: one line that names the file and what to do."""
    with pytest.raises(UserError) as caught:
        read_mapping(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert "get the published file again" in message
    return message


# ---- the published files


@pytest.mark.parametrize(("benchmark", "setting"), CONTENT)
def test_published_files_are_read_to_the_bit(benchmark: str, setting: str) -> None:
    mapping = read_mapping(_published(benchmark, setting))
    images, by_task, by_number = CONTENT[benchmark, setting]
    assert content_sha256(mapping) == PUBLISHED[benchmark, setting]
    assert canonical_text(mapping).encode() == _shared(f"xtc_mappings/{benchmark}_{setting}.tsv").read_bytes()
    assert mapping.tasks == TASKS[benchmark]
    assert mapping.bits.dtype == np.uint8
    assert mapping.bits.shape == (images, len(mapping.tasks))
    assert mapping.bits.sum(axis=0).tolist() == by_task
    assert np.bincount(mapping.bits.sum(axis=1)).tolist() == [0, *by_number]
    assert mapping.ids == tuple(sorted(mapping.ids) if benchmark == "pascal" else map(str, range(images)))
    check_published(mapping, benchmark, setting)


@pytest.mark.parametrize(("benchmark", "setting"), PUBLISHED)
def test_canonical_text_reads_back_to_itself(benchmark: str, setting: str) -> None:
    path = _shared(f"xtc_mappings/{benchmark}_{setting}.tsv")
    mapping = read_mapping(path)
    assert canonical_text(mapping).encode() == path.read_bytes()
    check_published(mapping, benchmark, setting)


def test_published_rows_follow_the_split() -> None:
    mapping = read_mapping(_published("pascal", "randomlabels"))
    train = _shared("xtc_mappings/splits/pascal_train.txt").read_text().split()
    rows = mapping.rows(train[::-1])
    assert rows.shape == (4998, 5)
    assert np.array_equal(rows[::-1], mapping.rows(train))
    assert rows[train[::-1].index("2008_000015")].tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_pascal_dict_of_rows_equals_the_lists(tmp_path: Path, setting: str) -> None:
    published = read_mapping(_published("pascal", setting))
    rows = dict(zip(published.ids[::-1], published.bits[::-1].tolist(), strict=True))
    check_published(read_mapping(_write(tmp_path, _by_id(rows))), "pascal", setting)


def test_changed_mapping_is_not_the_published_one() -> None:
    mapping = read_mapping(_published("nyud", "onelabel"))
    bits = mapping.bits.copy()
    bits[7] = 1
    with pytest.raises(UserError, match=r"onelabel\.pth: not the published nyud onelabel mapping .*published adfc42b70d17"):
        check_published(Mapping(mapping.ids, mapping.tasks, bits, mapping.source), "nyud", "onelabel")
    with pytest.raises(UserError, match="not the published nyud randomlabels mapping"):
        check_published(mapping, "nyud", "randomlabels")
    with pytest.raises(UserError, match="no mapping is published for 'nyud', 'onelable'; did you mean 'nyud onelabel'"):
        check_published(mapping, "nyud", "onelable")


# ---- the forms, small


def test_all_pascal_forms_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # no form needs torch: importing it costs seconds
    forms = [_npy(_lists()), _by_id(ROWS), _old(pickle.dumps(ROWS, protocol=2)), _text(ROWS), _text(dict(reversed(ROWS.items())))]
    for form in forms:
        mapping = read_mapping(_write(tmp_path, form))
        assert mapping.ids == tuple(ROWS)
        assert mapping.tasks == TASKS["pascal"]
        assert mapping.bits.tolist() == list(ROWS.values())


def test_both_names_of_numpy_core_are_known(tmp_path: Path) -> None:
    new = pickle.dumps({np.str_(name): row for name, row in ROWS.items()}, protocol=2)
    modules = (b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
    here, other = modules if modules[0] in new else modules[::-1]
    assert here in new
    for form in (new, new.replace(here, other)):
        assert read_mapping(_write(tmp_path, _zip(form))).ids == tuple(ROWS)


def test_numbers_of_numpy_are_bits_too(tmp_path: Path) -> None:
    for kind in (np.int64, np.uint8, np.bool_):
        rows = {name: [kind(bit) for bit in row] for name, row in ROWS.items()}
        assert read_mapping(_write(tmp_path, _by_id(rows))).bits.tolist() == list(ROWS.values())


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("columns", [2, 3])
def test_tensors_of_torch(tmp_path: Path, zipped: bool, columns: int) -> None:
    values = np.eye(columns)[np.arange(12) % columns]
    mapping = read_mapping(_write(tmp_path, _torch_tensor(values, zipped=zipped)))
    assert mapping.tasks == TASKS["nyud" if columns == 3 else "cityscapes"]
    assert mapping.ids == tuple(map(str, range(12)))
    assert mapping.bits.tolist() == values.tolist()


def test_torch_itself_writes_the_dict_of_rows(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({np.str_(name): row for name, row in ROWS.items()}, tmp_path / "rows.pth")
    assert read_mapping(tmp_path / "rows.pth").bits.tolist() == list(ROWS.values())


def test_rows_need_exactly_the_ids(tmp_path: Path) -> None:
    path = _write(tmp_path, _text(ROWS))
    mapping = read_mapping(path)
    first, second, third = ROWS
    assert mapping.rows([third, first, second]).tolist() == [ROWS[third], ROWS[first], ROWS[second]]
    with pytest.raises(UserError, match=r"mapping\.bin: 2 images have no row in it \(first 'x'\): use the mapping made for"):
        mapping.rows([first, "x", "y", second, third])
    with pytest.raises(
        UserError, match=rf"1 images have no row .*\(first 'x'\), 2 of its rows have no image \(first '{second}'\)"
    ):
        mapping.rows([first, "x"])
    with pytest.raises(UserError, match=rf"1 images are asked for more than once \(first '{second}'\)"):
        mapping.rows([first, second, second, third])


def test_bits_cannot_be_changed_but_rows_are_a_copy(tmp_path: Path) -> None:
    mapping = read_mapping(_write(tmp_path, _text(ROWS)))
    with pytest.raises(ValueError, match="read-only"):
        mapping.bits[0, 0] = 0
    rows = mapping.rows(list(ROWS))
    rows[:] = 0
    assert mapping.bits.tolist() == list(ROWS.values())


# ---- pickles that want more


class _Call:
    """Pickles as a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.parts = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.parts


def _payload(kind: str, marker: Path) -> _Call:
    """A call that leaves the file `marker` behind if it is ever made."""
    if kind == "os.system":
        return _Call(os.system, f"echo run > '{marker}'")
    if kind == "eval":
        return _Call(builtins.eval, f"open({str(marker)!r}, 'w').close()")
    return _Call(np.savetxt, str(marker), [1])  # numpy's own functions write files, too


CONTAINERS = {
    "npy, an object array": lambda evil, _: _npy(evil),
    "npy, an id": lambda evil, _: _npy({**_lists(), "edge": [evil]}),
    "npy, an array in an array": lambda evil, _: _npy({**_lists(), "edge": np.array([evil, [evil]], dtype=object)}),
    "npy, a type in an array": lambda evil, _: _npy({**_lists(), "sal": np.zeros(1, np.dtype("U11", metadata={"a": evil}))}),
    "zip, the object": lambda evil, protocol: _zip(pickle.dumps(evil, protocol=protocol)),
    "zip, a value": lambda evil, protocol: _zip(pickle.dumps({**ROWS, "a": [evil]}, protocol=protocol)),
    "zip, the weights": lambda evil, protocol: _zip(pickle.dumps({"labels_weights": evil}, protocol=protocol)),
    "old, the magic number": lambda evil, _: pickle.dumps(evil, protocol=2) + _old(),
    "old, the object": lambda evil, protocol: _old(pickle.dumps(evil, protocol=protocol)),
}


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("kind", ["os.system", "eval", "savetxt"])
def test_malicious_pickles_are_refused_and_not_run(tmp_path: Path, kind: str, container: str) -> None:
    marker = tmp_path / "marker"
    payload = _payload(kind, marker)
    pickle.loads(pickle.dumps(payload))
    assert marker.exists(), "the payload must work, or the test shows nothing"
    marker.unlink()
    function = payload.parts[0]
    names = {
        f"{module}.{function.__name__}" for module in (function.__module__, "__builtin__")
    }  # protocols 0 and 2: Python 2's name
    for protocol in (0, 2, 4):
        message = _refused(_write(tmp_path, CONTAINERS[container](payload, protocol)))
        assert not marker.exists()
        assert message.split("it asks to call '")[1].split("'")[0] in names


@pytest.mark.parametrize(
    "name",
    [
        "builtins getattr",
        "numpy.core.multiarray scalar.__class__",
        "numpy memmap",
        "torch load",
        "torch.storage _load_from_bytes",
        "x\n y",
    ],
)
def test_names_beyond_the_few_are_refused(tmp_path: Path, name: str) -> None:
    module, function = name.split(" ")
    texts = b"".join(b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, function))
    message = _refused(_write(tmp_path, _zip(b"\x80\x04" + texts + b"\x93.")))
    assert f"it asks to call {f'{module}.{function}'!r}, which no mapping needs" in message


SCALAR = b"cnumpy.core.multiarray\nscalar\n(cnumpy\ndtype\n(S'%s'\nI00\nI01\ntR(I3\nS'%s'\nNNNI-1\nI-1\nI63\ntb%stR"
ODD = {
    "a raw pointer as an object": SCALAR % (b"O8", b"|", b"S'AAAAAAAA'\n"),
    "a type without a size": SCALAR % (b"V8", b"|", b"S'AAAAAAAA'\n"),
    "a type of a thousand letters": SCALAR % (b"U1000", b"<", b"S'AAAAAAAA'\n"),
    "a type with fields": SCALAR % (b"i4,O", b"|", b"S'AAAAAAAA'\n"),
    "text instead of bytes": SCALAR % (b"U2", b"<", b"S'AAAAAAAA'\n"),
    "an array": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR",
    "a state for the name itself": b"cnumpy\ndtype\n(dS'name'\nS'posix.system'\nsb",
    "attributes set": b"ccollections\nOrderedDict\n(N(dS'__class__'\nS'x'\nstb",
    "a storage": b"ctorch\nFloatStorage\n(I1\ntR",
    "an object made without its class being called": b"ccollections\nOrderedDict\n)\x81",
    "a list extended through a name": b"ccollections\nOrderedDict\n(I1\nI2\ne",
}


@pytest.mark.parametrize("odd", ODD)
def test_known_names_used_oddly_do_nothing(tmp_path: Path, odd: str) -> None:
    def forms(item: bytes) -> list[bytes]:
        bits = b"(lI1\naI0\naI0\naI0\na"
        return [_zip(b"(d" + item + bits + b"I0\nas."), _zip(b"(dS'a'\n" + bits + item + b"as.")]

    fine = [SCALAR % (code, b"<", b"c_codecs\nencode\n(V%s\nS'latin1'\ntR") for code in (b"U1", b"i4")]
    assert read_mapping(_write(tmp_path, forms(fine[0] % b"k\0\0\0")[0])).ids == ("k",)
    assert read_mapping(_write(tmp_path, forms(fine[1] % b"\1\0\0\0")[1])).bits.tolist() == [[1, 0, 0, 0, 1]]
    for form in forms(ODD[odd]):
        _refused(_write(tmp_path, form))
    _refused(_write(tmp_path, _zip(b"(dS'labels_weights'\n" + ODD[odd] + b"s.")))
    assert read_mapping(_write(tmp_path, _by_id(ROWS))).bits.tolist() == list(ROWS.values()), "nothing stays behind"


def test_neither_numpy_nor_torch_loads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the file must not reach a loader that runs pickles")

    path = _write(tmp_path, _npy(_lists()))
    for module, name in ((np, "load"), (np.lib.format, "read_array"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, forbidden)
    assert read_mapping(path).ids == tuple(ROWS)


def test_a_huge_memo_index_costs_no_memory(tmp_path: Path) -> None:
    """The compiled unpickler would fill 32 GB for these eight bytes."""
    assert "no dict" in _refused(_write(tmp_path, _zip(b"\x80\x02]r\xff\xff\xff\x7f.")))


# ---- damaged and wrong files


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in _refused(tmp_path / "none.npy")
    assert "cannot be read" in _refused(tmp_path)


@pytest.mark.parametrize("form", [_npy(_lists()), _by_id(ROWS), _text(ROWS)], ids=["npy", "zip", "tsv"])
def test_every_cut_is_refused(tmp_path: Path, form: bytes) -> None:
    read_mapping(_write(tmp_path, form))
    lengths = range(len(form)) if len(form) < 2000 else range(0, len(form), len(form) // 500)
    for length in lengths:
        if form.startswith(b"2008") and form[:length].endswith(b"\n"):
            continue  # whole lines are a whole mapping: rows() finds what is missing
        message = _refused(_write(tmp_path, form[:length]))
        assert "truncated" in message or "not a mapping" in message


@pytest.mark.parametrize(("benchmark", "setting"), CONTENT)
def test_cut_published_files_are_refused(tmp_path: Path, benchmark: str, setting: str) -> None:
    form = _published(benchmark, setting).read_bytes()
    for length in (0, 3, 100, 200, 350, len(form) // 2, len(form) - 4, len(form) - 1):
        message = _refused(_write(tmp_path, form[:length]))
        assert "truncated" in message or "not a mapping" in message


@pytest.mark.parametrize("zipped", [False, True])
def test_cut_tensors_are_refused(tmp_path: Path, zipped: bool) -> None:
    form = _torch_tensor(np.eye(3), zipped=zipped)
    for length in range(0, len(form), 7):
        message = _refused(_write(tmp_path, form[:length]))
        assert "truncated" in message or "not a mapping" in message


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (b"an image\nof something\n", "not a mapping: line 1 is not 'id TAB bits' but 'an image'"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a mapping: line 1 is not"),
        (b"a\t10000\nb\t01000\textra\n", "not a mapping: line 2 is not"),
        (pickle.dumps({"a": [1, 0]}), "a pickle that torch did not write"),
        (_old(pickle.dumps([1, 2])), "not a mapping: no dict of labels"),
        (_zip(pickle.dumps({"a": 1})), "not a mapping: no list of bits for each id"),
        (_zip(pickle.dumps({"labels_weights": [1, 0]})), "'labels_weights' is no tensor"),
        (_zip(pickle.dumps({})), "not a mapping: no rows"),
        (_npy(["a"]), "not a mapping: no lists of ids by task"),
        (_npy({"model": [1]}), "unknown task 'model'; valid: "),
    ],
)
def test_other_files_are_no_mapping(tmp_path: Path, form: bytes, what: str) -> None:
    assert what in _refused(_write(tmp_path, form))


def test_other_numpy_and_zip_files_are_no_mapping(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.zeros((795, 3)))
    assert "not a mapping: an array of shape (795, 3) and type float64" in _refused(tmp_path / "plain.npy")
    np.savez(tmp_path / "plain.npz", bits=np.zeros(3))
    assert "a zip without torch's data.pkl" in _refused(tmp_path / "plain.npz")


def test_a_checkpoint_or_a_bomb_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mappings, "_MOST_BYTES", 4000)
    assert "not a mapping: larger than" in _refused(_write(tmp_path, bytes(4001)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
    assert len(stream.getvalue()) < 4000
    assert "a zip that holds too much" in _refused(_write(tmp_path, stream.getvalue()))


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (_text({"a": [1, 0, 0, 0]}), "wrong number of columns, 4: PASCAL has 5, NYUD 3, Cityscapes 2"),
        (_by_id({"a": [1]}), "wrong number of columns, 1: PASCAL has 5"),
        (_by_id({"a": [1, 0, 0, 0, 0], "b": [1, 0]}), "wrong number of columns, 2, at id 'b', after 5 before"),
        (_text({"a": [1, 0, 2, 0, 0]}), "value '2' at id 'a', task 'saliency', only 0 and 1 can be"),
        (b"a\t100-0\n", "value '-' at id 'a', task 'normals'"),
        (_by_id({"a": [1, 0, 0, 0, 7]}), "value 7 at id 'a', task 'boundary'"),
        (_by_id({"a": [1, 0, 0, 0, "1"]}), "value '1' at id 'a', task 'boundary'"),
        (_by_id({"a": [1, 0, 0, 0, float("nan")]}), "value nan at id 'a', task 'boundary'"),
        (_text({"a": [1, 0, 0, 0, 0], "b": [0, 0, 0, 0, 0]}), "id 'b' has no label at all"),
        (b"a\t10000\nb\t01000\na\t10000\n", "id 'a' stands 2 times"),
        (b"\t10000\n", "'' is no image id"),
        (b"a b\t10000\n", "'a b' is no image id"),
        (_zip(pickle.dumps({5: [1, 0, 0, 0, 0]})), "5 is no image id"),
        (_zip(b"\x80\x02}(X\x01\x00\x00\x00aK\x05u."), "no list of bits"),
        (_npy({**_lists(), "sal": ["x", "y", "x"]}), "id 'x' stands twice in the list of 'sal'"),
        (_npy({**_lists(), "boundery": ["x"]}), "unknown task 'boundery'; valid: "),
        (_npy({**_lists(), "semsegg": ["x"]}), "unknown task 'semsegg'; did you mean 'semseg'"),
        (
            _npy({task: ids for task, ids in _lists().items() if task != "edge"}),
            "wrong number of columns: no list of ids for 'edge'",
        ),
        (_npy({**_lists(), "edge": [3]}), "3 is no image id"),
        (b"0\t100\n2\t010\n", "id '2' where row number 1 belongs"),
        (b"1\t10\n2\t10\n", "id '1' where row number 0 belongs"),
        (b"a\t10\nb\t01\n", "id 'a' where row number 0 belongs"),
        (b"00\t10\n1\t01\n", "id '00' where row number 0 belongs"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, form: bytes, what: str) -> None:
    assert what in _refused(_write(tmp_path, form))


def test_an_id_twice_among_numpy_keys_is_found(tmp_path: Path) -> None:
    """As numpy values they are two keys of the pickle; a plain loader would keep the last one, silently."""
    rows = {np.str_("aa"): [1, 0, 0, 0, 0], np.str_("ab"): [0, 1, 0, 0, 0]}
    twice = pickle.dumps(rows, protocol=2).replace(b"a\0\0\0b", b"a\0\0\0a")
    assert len(pickle.loads(twice)) == 1
    assert "id 'aa' stands 2 times" in _refused(_write(tmp_path, _zip(twice)))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([[1, 0, 0], [0.5, 0, 0]], "value 0.5 at id '1', task 'semseg'"),
        ([[1, 0, 0], [0, float("nan"), 1]], "value nan at id '1', task 'depth'"),
        ([[1, 0, 0], [0, float("inf"), 1]], "value inf at id '1', task 'depth'"),
        ([[1, 0], [0, 0]], "id '1' has no label at all"),
        ([[1, 0, 0, 1]], "wrong number of columns, 4"),
        ([1, 0], "no whole float32 table"),
        (np.zeros((0, 3)), "not a mapping"),
    ],
)
def test_wrong_tensors_are_named(tmp_path: Path, values: object, what: str, zipped: bool) -> None:
    assert what in _refused(_write(tmp_path, _torch_tensor(values, zipped=zipped)))


def test_tensors_of_other_layout_or_type_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    assert "no whole float32 table" in _refused(_write(tmp_path, _torch_tensor(torch.eye(3).repeat(2, 1).T, zipped=True)))
    assert "no whole float32 table" in _refused(_write(tmp_path, _torch_tensor(torch.eye(3)[1:], zipped=True)))
    assert "'torch.LongStorage'" in _refused(_write(tmp_path, _torch_tensor(torch.eye(3).long(), zipped=True)))


# ---- drawing

_ids = st.lists(st.text("abc019_", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)
_tasks = st.sampled_from([*TASKS.values(), ("semseg",)])
_seeds = st.integers(0, 2**32)
_quick = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@_quick
@given(ids=_ids, tasks=_tasks, seed=_seeds, setting=st.sampled_from(SETTINGS))
def test_drawn_mappings_keep_their_promises(ids: list[str], tasks: tuple[str, ...], seed: int, setting: str) -> None:
    mapping = draw_mapping(setting, ids, tasks, np.random.default_rng(seed))
    assert sorted(mapping.ids) == sorted(ids)
    assert mapping.tasks == tasks
    assert mapping.bits.dtype == np.uint8
    assert mapping.bits.shape == (len(ids), len(tasks))
    assert set(np.unique(mapping.bits)) <= {0, 1}
    labels, counts = mapping.bits.sum(axis=1), mapping.bits.sum(axis=0)
    if setting == "onelabel":
        assert (labels == 1).all()
        assert counts.max() - counts.min() <= 1
    elif setting == "randomlabels":
        assert labels.min() >= 1
        assert labels.max() <= max(len(tasks) - 1, 1)
    else:
        assert mapping.bits.all()


@_quick
@given(ids=_ids, tasks=_tasks, seed=_seeds, setting=st.sampled_from(SETTINGS))
def test_drawing_depends_on_seed_and_ids_alone(ids: list[str], tasks: tuple[str, ...], seed: int, setting: str) -> None:
    one = draw_mapping(setting, ids, tasks, np.random.default_rng(seed))
    two = draw_mapping(setting, ids[::-1], tasks, np.random.default_rng(seed))
    assert canonical_text(one) == canonical_text(two)
    assert content_sha256(one) == content_sha256(two)
    assert np.array_equal(one.rows(ids), two.rows(ids))


@_quick
@given(count=st.integers(1, 30), seed=_seeds, benchmark=st.sampled_from(sorted(TASKS)), setting=st.sampled_from(SETTINGS))
def test_drawn_text_reads_back(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, benchmark: str, setting: str
) -> None:
    ids = [f"room_{k}" if benchmark == "pascal" else str(k) for k in range(count)]
    drawn = draw_mapping(setting, ids, TASKS[benchmark], np.random.default_rng(seed))
    path = tmp_path_factory.getbasetemp() / "drawn.tsv"
    path.write_text(canonical_text(drawn))
    read = read_mapping(path)
    assert (read.ids, read.tasks, read.bits.tolist()) == (drawn.ids, drawn.tasks, drawn.bits.tolist())


def test_draws_differ_and_are_uniform() -> None:
    ids = [str(k) for k in range(20_000)]
    draws = [draw_mapping("onelabel", ids, TASKS["pascal"], np.random.default_rng(seed)) for seed in (0, 1)]
    assert content_sha256(draws[0]) != content_sha256(draws[1])
    tasks = TASKS["pascal"]
    random = draw_mapping("randomlabels", ids, tasks, np.random.default_rng(0)).bits
    share = np.bincount(random.sum(axis=1), minlength=5)[1:] / len(ids)
    assert np.allclose(share, 1 / 4, atol=0.02)  # 1 to 4 labels, equally often
    assert np.allclose(random.mean(axis=0), 0.5, atol=0.02)  # mean of k is 2.5 of 5
    single = random[random.sum(axis=1) == 1].mean(axis=0)
    assert np.allclose(single, 1 / 5, atol=0.03)
    places = [draw_mapping("onelabel", ["a"], tasks, np.random.default_rng(seed)).bits[0].argmax() for seed in range(50)]
    assert len(set(places)) == 5  # no task is favoured where the images do not go round


def test_numbers_are_ordered_by_number() -> None:
    ids = ["10", "9", "2", "0"]
    assert draw_mapping("full", ids, ("semseg", "depth"), np.random.default_rng(0)).ids == ("0", "2", "9", "10")
    assert draw_mapping("full", ["a10", "a9"], ("semseg",), np.random.default_rng(0)).ids == ("a10", "a9")
    assert draw_mapping("full", ["2008_10", "2008_9"], ("semseg",), np.random.default_rng(0)).ids == ("2008_10", "2008_9")


def test_canonical_text_is_in_order_whatever_the_mapping_is() -> None:
    mapping = Mapping(("10", "9"), ("semseg", "depth"), np.array([[1, 0], [1, 1]], np.uint8))
    assert canonical_text(mapping) == "9\t11\n10\t10\n"
    assert content_sha256(mapping) == "6cef3ecca0688277072737fd9a08e3690e64d6f2c69d9be579f324322e59ca9a"


@pytest.mark.parametrize(
    ("setting", "ids", "tasks", "what"),
    [
        ("one_label", ["a"], ("semseg",), "unknown setting 'one_label'; did you mean 'onelabel'?"),
        ("random", ["a"], ("semseg",), "unknown setting 'random'; did you mean 'randomlabels'?"),
        ("onelabel", [], ("semseg",), "0 images and 1 tasks: give at least one of each"),
        ("full", ["a"], (), "1 images and 0 tasks: give at least one of each"),
        ("onelabel", ["a", "b", "a"], ("semseg",), "id 'a' stands 2 times, list every image once"),
        ("onelabel", ["a\tb"], ("semseg",), r"'a\tb' is no image id, give text without white space"),
    ],
)
def test_wrong_draws_are_named(setting: str, ids: list[str], tasks: tuple[str, ...], what: str) -> None:
    with pytest.raises(UserError) as caught:
        draw_mapping(setting, ids, tasks, np.random.default_rng(0))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)
