"""Pickles in mapping files that want more than a mapping: refused by name, and nothing of them is run."""

import builtins
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.mappings import (
    ROWS,
    as_lists,
    by_id,
    npy,
    old_container,
    refused,
    write,
    zipped_pickle,
)

from dmtl.prepare.mapping_files import read_mapping


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
    "npy, an object array": lambda evil, _: npy(evil),
    "npy, an id": lambda evil, _: npy({**as_lists(), "edge": [evil]}),
    "npy, an array in an array": lambda evil, _: npy({**as_lists(), "edge": np.array([evil, [evil]], dtype=object)}),
    "npy, a type in an array": lambda evil, _: npy({**as_lists(), "sal": np.zeros(1, np.dtype("U11", metadata={"a": evil}))}),
    "zip, the object": lambda evil, protocol: zipped_pickle(pickle.dumps(evil, protocol=protocol)),
    "zip, a value": lambda evil, protocol: zipped_pickle(pickle.dumps({**ROWS, "a": [evil]}, protocol=protocol)),
    "zip, the weights": lambda evil, protocol: zipped_pickle(pickle.dumps({"labels_weights": evil}, protocol=protocol)),
    "old, the magic number": lambda evil, _: pickle.dumps(evil, protocol=2) + old_container(),
    "old, the object": lambda evil, protocol: old_container(pickle.dumps(evil, protocol=protocol)),
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
        message = refused(write(tmp_path, CONTAINERS[container](payload, protocol)))
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
    message = refused(write(tmp_path, zipped_pickle(b"\x80\x04" + texts + b"\x93.")))
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
        return [zipped_pickle(b"(d" + item + bits + b"I0\nas."), zipped_pickle(b"(dS'a'\n" + bits + item + b"as.")]

    fine = [SCALAR % (code, b"<", b"c_codecs\nencode\n(V%s\nS'latin1'\ntR") for code in (b"U1", b"i4")]
    assert read_mapping(write(tmp_path, forms(fine[0] % b"k\0\0\0")[0])).ids == ("k",)
    assert read_mapping(write(tmp_path, forms(fine[1] % b"\1\0\0\0")[1])).allowed.tolist() == [[1, 0, 0, 0, 1]]
    for form in forms(ODD[odd]):
        refused(write(tmp_path, form))
    refused(write(tmp_path, zipped_pickle(b"(dS'labels_weights'\n" + ODD[odd] + b"s.")))
    assert read_mapping(write(tmp_path, by_id(ROWS))).allowed.tolist() == list(ROWS.values()), "nothing stays behind"


def test_neither_numpy_nor_torch_loads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the file must not reach a loader that runs pickles")

    path = write(tmp_path, npy(as_lists()))
    for module, name in ((np, "load"), (np.lib.format, "read_array"), (pickle, "load"), (pickle, "loads"), (pickle, "Unpickler")):
        monkeypatch.setattr(module, name, forbidden)
    assert read_mapping(path).ids == tuple(ROWS)


def test_a_huge_memo_index_costs_no_memory(tmp_path: Path) -> None:
    """The compiled unpickler would fill 32 GB for these eight bytes."""
    assert "no dict" in refused(write(tmp_path, zipped_pickle(b"\x80\x02]r\xff\xff\xff\x7f.")))
