"""Mapping files: the published ones to the bit, in every form, under their names."""

import pickle
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.mappings import (
    CONTENT,
    PUBLISHED,
    ROWS,
    TASKS,
    as_lists,
    as_text,
    by_id,
    npy,
    old_container,
    published_file,
    torch_tensor,
    write,
    zipped_pickle,
)

from dmtl.benchmarks import benchmark as by_name
from dmtl.errors import UserError
from dmtl.prepare.label_masks import canonical_text, content_sha256
from dmtl.prepare.mapping_files import find_mapping, has_mapping, read_mapping

# ---- the published files


@pytest.mark.parametrize(("benchmark", "setting"), CONTENT)
def test_published_files_are_read_to_the_bit(shared_data: Path, benchmark: str, setting: str) -> None:
    mapping = read_mapping(published_file(shared_data, benchmark, setting))
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
    mapping = read_mapping(published_file(shared_data, "pascal", "randomlabels"))
    train = (shared_data / "xtc_mappings/splits/pascal_train.txt").read_text().split()
    rows = mapping.of_images(train[::-1])
    assert rows.shape == (4998, 5)
    assert np.array_equal(rows[::-1], mapping.of_images(train))
    assert rows[train[::-1].index("2008_000015")].tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_pascal_dict_of_rows_equals_the_lists(shared_data: Path, tmp_path: Path, setting: str) -> None:
    published = read_mapping(published_file(shared_data, "pascal", setting))
    rows = dict(zip(published.ids[::-1], published.allowed[::-1].tolist(), strict=True))
    assert content_sha256(read_mapping(write(tmp_path, by_id(rows)))) == PUBLISHED["pascal", setting]


# ---- the forms, small


def test_all_pascal_forms_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)  # no form needs torch: importing it costs seconds
    forms = [
        npy(as_lists()),
        by_id(ROWS),
        old_container(pickle.dumps(ROWS, protocol=2)),
        as_text(ROWS),
        as_text(dict(reversed(ROWS.items()))),
    ]
    for form in forms:
        mapping = read_mapping(write(tmp_path, form))
        assert mapping.ids == tuple(ROWS)
        assert mapping.tasks == TASKS["pascal"]
        assert mapping.allowed.tolist() == list(ROWS.values())


def test_both_names_of_numpy_core_are_known(tmp_path: Path) -> None:
    new = pickle.dumps({np.str_(name): row for name, row in ROWS.items()}, protocol=2)
    modules = (b"cnumpy.core.multiarray\n", b"cnumpy._core.multiarray\n")
    here, other = modules if modules[0] in new else modules[::-1]
    assert here in new
    for form in (new, new.replace(here, other)):
        assert read_mapping(write(tmp_path, zipped_pickle(form))).ids == tuple(ROWS)


def test_numbers_of_numpy_are_bits_too(tmp_path: Path) -> None:
    for kind in (np.int64, np.uint8, np.bool_):
        rows = {name: [kind(bit) for bit in row] for name, row in ROWS.items()}
        assert read_mapping(write(tmp_path, by_id(rows))).allowed.tolist() == list(ROWS.values())


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("columns", [2, 3])
def test_tensors_of_torch(tmp_path: Path, zipped: bool, columns: int) -> None:
    values = np.eye(columns)[np.arange(12) % columns]
    mapping = read_mapping(write(tmp_path, torch_tensor(values, zipped=zipped)))
    assert mapping.tasks == TASKS["nyud" if columns == 3 else "cityscapes"]
    assert mapping.ids == tuple(map(str, range(12)))
    assert mapping.allowed.tolist() == values.tolist()


def test_torch_itself_writes_the_dict_of_rows(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    torch.save({np.str_(name): row for name, row in ROWS.items()}, tmp_path / "rows.pth")
    assert read_mapping(tmp_path / "rows.pth").allowed.tolist() == list(ROWS.values())


def test_the_benchmark_says_what_the_columns_are(tmp_path: Path) -> None:
    """A user's own benchmark may have as many tasks as a published one, and files that call them by its own names."""
    nyud = by_name("nyud")
    own = replace(nyud, name="own", tasks=nyud.tasks[::-1], masks=None)
    text = write(tmp_path, b"a\t100\nb\t010\n")
    assert read_mapping(text, own).tasks == ("normals", "depth", "semseg")
    assert read_mapping(text, own).ids == ("a", "b")  # by name, not by number
    lists = write(tmp_path, npy({"semseg": ["a"], "depth": ["b"], "normals": ["b"]}))
    assert read_mapping(lists, own).allowed.tolist() == [[0, 0, 1], [1, 1, 0]]
    with pytest.raises(UserError, match="wrong number of columns, 2, at id 'a': own has normals, depth, semseg"):
        read_mapping(write(tmp_path, b"a\t10\n"), own)


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
