"""Mapping files: the published ones to the bit, nothing in a pickle run, every bad input told in one line."""

import builtins
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dmtl.benchmarks import all_benchmarks
from dmtl.benchmarks import benchmark as by_name
from dmtl.errors import UserError
from dmtl.prepare import mapping_files
from dmtl.prepare.label_masks import canonical_text, content_sha256
from dmtl.prepare.mapping_files import find_mapping, has_mapping, read_mapping

TASKS = {published.name: tuple(published.outputs) for published in all_benchmarks()}
PUBLISHED = {
    (published.name, setting): sha256
    for published in all_benchmarks()
    if published.masks
    for setting, sha256 in published.masks.sha256.items()
}
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


def _published(shared_data: Path, benchmark: str, setting: str) -> Path:
    suffix = "npy" if benchmark == "pascal" else "pth"
    return shared_data / "xtc_mappings" / "original" / benchmark / f"{setting}.{suffix}"


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
def test_published_files_are_read_to_the_bit(shared_data: Path, benchmark: str, setting: str) -> None:
    mapping = read_mapping(_published(shared_data, benchmark, setting))
    images, by_task, by_number = CONTENT[benchmark, setting]
    assert content_sha256(mapping) == PUBLISHED[benchmark, setting]
    assert canonical_text(mapping).encode() == (shared_data / f"xtc_mappings/{benchmark}_{setting}.tsv").read_bytes()
    assert mapping.tasks == TASKS[benchmark]
    assert mapping.allowed.dtype == np.uint8
    assert mapping.allowed.shape == (images, len(mapping.tasks))
    assert mapping.allowed.sum(axis=0).tolist() == by_task
    assert np.bincount(mapping.allowed.sum(axis=1)).tolist() == [0, *by_number]
    assert mapping.ids == tuple(sorted(mapping.ids) if benchmark == "pascal" else map(str, range(images)))


@pytest.mark.parametrize(("benchmark", "setting"), PUBLISHED)
def test_canonical_text_reads_back_to_itself(shared_data: Path, benchmark: str, setting: str) -> None:
    path = shared_data / f"xtc_mappings/{benchmark}_{setting}.tsv"
    mapping = read_mapping(path)
    assert canonical_text(mapping).encode() == path.read_bytes()
    assert content_sha256(mapping) == PUBLISHED[benchmark, setting]


def test_published_rows_follow_the_split(shared_data: Path) -> None:
    mapping = read_mapping(_published(shared_data, "pascal", "randomlabels"))
    train = (shared_data / "xtc_mappings/splits/pascal_train.txt").read_text().split()
    rows = mapping.of_images(train[::-1])
    assert rows.shape == (4998, 5)
    assert np.array_equal(rows[::-1], mapping.of_images(train))
    assert rows[train[::-1].index("2008_000015")].tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_pascal_dict_of_rows_equals_the_lists(shared_data: Path, tmp_path: Path, setting: str) -> None:
    published = read_mapping(_published(shared_data, "pascal", setting))
    rows = dict(zip(published.ids[::-1], published.allowed[::-1].tolist(), strict=True))
    assert content_sha256(read_mapping(_write(tmp_path, _by_id(rows)))) == PUBLISHED["pascal", setting]


# ---- the forms, small


def test_all_pascal_forms_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # no form needs torch: importing it costs seconds
    forms = [_npy(_lists()), _by_id(ROWS), _old(pickle.dumps(ROWS, protocol=2)), _text(ROWS), _text(dict(reversed(ROWS.items())))]
    for form in forms:
        mapping = read_mapping(_write(tmp_path, form))
        assert mapping.ids == tuple(ROWS)
        assert mapping.tasks == TASKS["pascal"]
        assert mapping.allowed.tolist() == list(ROWS.values())


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
        assert read_mapping(_write(tmp_path, _by_id(rows))).allowed.tolist() == list(ROWS.values())


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("columns", [2, 3])
def test_tensors_of_torch(tmp_path: Path, zipped: bool, columns: int) -> None:
    values = np.eye(columns)[np.arange(12) % columns]
    mapping = read_mapping(_write(tmp_path, _torch_tensor(values, zipped=zipped)))
    assert mapping.tasks == TASKS["nyud" if columns == 3 else "cityscapes"]
    assert mapping.ids == tuple(map(str, range(12)))
    assert mapping.allowed.tolist() == values.tolist()


def test_torch_itself_writes_the_dict_of_rows(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({np.str_(name): row for name, row in ROWS.items()}, tmp_path / "rows.pth")
    assert read_mapping(tmp_path / "rows.pth").allowed.tolist() == list(ROWS.values())


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
    assert read_mapping(_write(tmp_path, forms(fine[1] % b"\1\0\0\0")[1])).allowed.tolist() == [[1, 0, 0, 0, 1]]
    for form in forms(ODD[odd]):
        _refused(_write(tmp_path, form))
    _refused(_write(tmp_path, _zip(b"(dS'labels_weights'\n" + ODD[odd] + b"s.")))
    assert read_mapping(_write(tmp_path, _by_id(ROWS))).allowed.tolist() == list(ROWS.values()), "nothing stays behind"


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
def test_cut_published_files_are_refused(shared_data: Path, tmp_path: Path, benchmark: str, setting: str) -> None:
    form = _published(shared_data, benchmark, setting).read_bytes()
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
    monkeypatch.setattr(mapping_files, "_MOST_BYTES", 4000)
    assert "not a mapping: larger than" in _refused(_write(tmp_path, bytes(4001)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
    assert len(stream.getvalue()) < 4000
    assert "a zip that holds too much" in _refused(_write(tmp_path, stream.getvalue()))


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (_text({"a": [1, 0, 0, 0]}), "wrong number of columns, 4: Cityscapes has 2, NYUD has 3, PASCAL has 5"),
        (_by_id({"a": [1]}), "wrong number of columns, 1: Cityscapes has 2"),
        (_by_id({"a": [1, 0, 0, 0, 0], "b": [1, 0]}), "wrong number of columns, 2, at id 'b': pascal has semseg, human_parts"),
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


def test_the_benchmark_says_what_the_columns_are(tmp_path: Path) -> None:
    """A user's own benchmark may have as many tasks as a published one, and files that call them by its own names."""
    nyud = by_name("nyud")
    own = replace(nyud, name="own", tasks=nyud.tasks[::-1], masks=None)
    text = _write(tmp_path, b"a\t100\nb\t010\n")
    assert read_mapping(text, own).tasks == ("normals", "depth", "semseg")
    assert read_mapping(text, own).ids == ("a", "b")  # by name, not by number
    lists = _write(tmp_path, _npy({"semseg": ["a"], "depth": ["b"], "normals": ["b"]}))
    assert read_mapping(lists, own).allowed.tolist() == [[0, 0, 1], [1, 1, 0]]
    with pytest.raises(UserError, match="wrong number of columns, 2, at id 'a': own has normals, depth, semseg"):
        read_mapping(_write(tmp_path, b"a\t10\n"), own)


def test_files_are_found_under_their_published_names(tmp_path: Path) -> None:
    cityscapes, own = by_name("cityscapes"), replace(by_name("nyud"), name="own", masks=None)
    with pytest.raises(UserError, match=r"holds none of own_onelabel\.tsv, own/onelabel\.pth, own/onelabel\.npy: take XTC's"):
        find_mapping(tmp_path, own, "onelabel")
    assert not has_mapping(tmp_path, own, "onelabel")
    (tmp_path / "own_onelabel.tsv").touch()
    assert has_mapping(tmp_path, own, "onelabel")
    (tmp_path / "cityscapes_settings").mkdir()
    (tmp_path / "cityscapes_settings" / "onelabel.pth").touch()
    for setting in ("onelabel", "randomlabels"):  # one file for both
        assert find_mapping(tmp_path, cityscapes, setting) == tmp_path / "cityscapes_settings" / "onelabel.pth"
