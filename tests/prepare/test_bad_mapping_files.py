"""Mapping files that are cut, damaged, too large or wrong: each is one line."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers.mappings import (
    CONTENT,
    ROWS,
    as_lists,
    as_text,
    by_id,
    npy,
    old_container,
    published_file,
    refused,
    torch_tensor,
    write,
    zipped_pickle,
)

from dmtl.prepare import mapping_files
from dmtl.prepare.mapping_files import read_mapping


def test_missing_file_and_folder(tmp_path: Path) -> None:
    assert "cannot be read (No such file or directory)" in refused(tmp_path / "none.npy")
    assert "cannot be read" in refused(tmp_path)


@pytest.mark.parametrize("form", [npy(as_lists()), by_id(ROWS), as_text(ROWS)], ids=["npy", "zip", "tsv"])
def test_every_cut_is_refused(tmp_path: Path, form: bytes) -> None:
    read_mapping(write(tmp_path, form))
    lengths = range(len(form)) if len(form) < 2000 else range(0, len(form), len(form) // 500)
    for length in lengths:
        if form.startswith(b"2008") and form[:length].endswith(b"\n"):
            continue  # whole lines are a whole mapping: rows() finds what is missing
        message = refused(write(tmp_path, form[:length]))
        assert "truncated" in message or "not a mapping" in message


@pytest.mark.parametrize(("benchmark", "setting"), CONTENT)
def test_cut_published_files_are_refused(shared_data: Path, tmp_path: Path, benchmark: str, setting: str) -> None:
    form = published_file(shared_data, benchmark, setting).read_bytes()
    for length in (0, 3, 100, 200, 350, len(form) // 2, len(form) - 4, len(form) - 1):
        message = refused(write(tmp_path, form[:length]))
        assert "truncated" in message or "not a mapping" in message


@pytest.mark.parametrize("zipped", [False, True])
def test_cut_tensors_are_refused(tmp_path: Path, zipped: bool) -> None:
    form = torch_tensor(np.eye(3), zipped=zipped)
    for length in range(0, len(form), 7):
        message = refused(write(tmp_path, form[:length]))
        assert "truncated" in message or "not a mapping" in message


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (b"an image\nof something\n", "not a mapping: line 1 is not 'id TAB bits' but 'an image'"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a mapping: line 1 is not"),
        (b"a\t10000\nb\t01000\textra\n", "not a mapping: line 2 is not"),
        (pickle.dumps({"a": [1, 0]}), "a pickle that torch did not write"),
        (old_container(pickle.dumps([1, 2])), "not a mapping: no dict of labels"),
        (zipped_pickle(pickle.dumps({"a": 1})), "not a mapping: no list of bits for each id"),
        (zipped_pickle(pickle.dumps({"labels_weights": [1, 0]})), "'labels_weights' is no tensor"),
        (zipped_pickle(pickle.dumps({})), "not a mapping: no rows"),
        (npy(["a"]), "not a mapping: no lists of ids by task"),
        (npy({"model": [1]}), "unknown task 'model'; valid: "),
    ],
)
def test_other_files_are_no_mapping(tmp_path: Path, form: bytes, what: str) -> None:
    assert what in refused(write(tmp_path, form))


def test_other_numpy_and_zip_files_are_no_mapping(tmp_path: Path) -> None:
    np.save(tmp_path / "plain.npy", np.zeros((795, 3)))
    assert "not a mapping: an array of shape (795, 3) and type float64" in refused(tmp_path / "plain.npy")
    np.savez(tmp_path / "plain.npz", bits=np.zeros(3))
    assert "a zip without torch's data.pkl" in refused(tmp_path / "plain.npz")


def test_a_checkpoint_or_a_bomb_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mapping_files, "_MOST_BYTES", 4000)
    assert "not a mapping: larger than" in refused(write(tmp_path, bytes(4001)))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
    assert len(stream.getvalue()) < 4000
    assert "a zip that holds too much" in refused(write(tmp_path, stream.getvalue()))


@pytest.mark.parametrize(
    ("form", "what"),
    [
        (as_text({"a": [1, 0, 0, 0]}), "wrong number of columns, 4: Cityscapes has 2, NYUD has 3, PASCAL has 5"),
        (by_id({"a": [1]}), "wrong number of columns, 1: Cityscapes has 2"),
        (by_id({"a": [1, 0, 0, 0, 0], "b": [1, 0]}), "wrong number of columns, 2, at id 'b': pascal has semseg, human_parts"),
        (as_text({"a": [1, 0, 2, 0, 0]}), "value '2' at id 'a', task 'saliency', only 0 and 1 can be"),
        (b"a\t100-0\n", "value '-' at id 'a', task 'normals'"),
        (by_id({"a": [1, 0, 0, 0, 7]}), "value 7 at id 'a', task 'boundary'"),
        (by_id({"a": [1, 0, 0, 0, "1"]}), "value '1' at id 'a', task 'boundary'"),
        (by_id({"a": [1, 0, 0, 0, float("nan")]}), "value nan at id 'a', task 'boundary'"),
        (as_text({"a": [1, 0, 0, 0, 0], "b": [0, 0, 0, 0, 0]}), "id 'b' has no label at all"),
        (b"a\t10000\nb\t01000\na\t10000\n", "id 'a' stands 2 times"),
        (b"\t10000\n", "'' is no image id"),
        (b"a b\t10000\n", "'a b' is no image id"),
        (zipped_pickle(pickle.dumps({5: [1, 0, 0, 0, 0]})), "5 is no image id"),
        (zipped_pickle(b"\x80\x02}(X\x01\x00\x00\x00aK\x05u."), "no list of bits"),
        (npy({**as_lists(), "sal": ["x", "y", "x"]}), "id 'x' stands twice in the list of 'sal'"),
        (npy({**as_lists(), "boundery": ["x"]}), "unknown task 'boundery'; valid: "),
        (npy({**as_lists(), "semsegg": ["x"]}), "unknown task 'semsegg'; did you mean 'semseg'"),
        (
            npy({task: ids for task, ids in as_lists().items() if task != "edge"}),
            "wrong number of columns: no list of ids for 'edge'",
        ),
        (npy({**as_lists(), "edge": [3]}), "3 is no image id"),
        (b"0\t100\n2\t010\n", "id '2' where row number 1 belongs"),
        (b"1\t10\n2\t10\n", "id '1' where row number 0 belongs"),
        (b"a\t10\nb\t01\n", "id 'a' where row number 0 belongs"),
        (b"00\t10\n1\t01\n", "id '00' where row number 0 belongs"),
    ],
)
def test_wrong_content_is_named(tmp_path: Path, form: bytes, what: str) -> None:
    assert what in refused(write(tmp_path, form))


def test_an_id_twice_among_numpy_keys_is_found(tmp_path: Path) -> None:
    """As numpy values they are two keys of the pickle; a plain loader would keep the last one, silently."""
    rows = {np.str_("aa"): [1, 0, 0, 0, 0], np.str_("ab"): [0, 1, 0, 0, 0]}
    twice = pickle.dumps(rows, protocol=2).replace(b"a\0\0\0b", b"a\0\0\0a")
    assert len(pickle.loads(twice)) == 1
    assert "id 'aa' stands 2 times" in refused(write(tmp_path, zipped_pickle(twice)))


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
    assert what in refused(write(tmp_path, torch_tensor(values, zipped=zipped)))


def test_tensors_of_other_layout_or_type_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    assert "no whole float32 table" in refused(write(tmp_path, torch_tensor(torch.eye(3).repeat(2, 1).T, zipped=True)))
    assert "no whole float32 table" in refused(write(tmp_path, torch_tensor(torch.eye(3)[1:], zipped=True)))
    assert "'torch.LongStorage'" in refused(write(tmp_path, torch_tensor(torch.eye(3).long(), zipped=True)))
