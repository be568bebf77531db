"""The synthetic snapshots: their files agree with one another and are of the published kind."""

from pathlib import Path

import numpy as np
import pytest
import scipy.io
from PIL import Image

from dmtl.benchmarks.pascal import encode, people, scenes, subjects
from dmtl.benchmarks.pascal import files as pascal
from dmtl.benchmarks.shared.sample import Sample


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("snapshots")
    scenes.write_tree(root, "train", 10, seed=1)
    scenes.write_tree(root, "val", 2, seed=1)
    return root


@pytest.fixture(scope="module")
def samples(tree: Path) -> dict[str, Sample]:
    return {name: pascal.read(tree, split, name) for split in ("train", "val") for name in pascal.ids(tree, split)}


def test_all_tasks_agree(tree: Path, samples: dict[str, Sample]) -> None:
    for name, sample in samples.items():
        label_map = scipy.io.loadmat(tree / f"pascal-context/trainval/{name}.mat")["LabelMap"]
        labels = sample.labels
        assert sample.image.shape[:2] == label_map.shape
        index = np.searchsorted(np.sort(encode.SEMSEG), label_map).clip(0, 20)
        order = np.argsort(encode.SEMSEG)
        expected = np.where(np.isin(label_map, encode.SEMSEG), order[index], 0)
        certain = labels["semseg"] != 255
        assert np.array_equal(labels["semseg"][certain], expected[certain])
        assert certain.mean() > 0.85
        assert (label_map[labels["human_parts"] > 0] == subjects.PERSON).all()
        if labels["human_parts"].any():
            assert (labels["human_parts"][label_map == subjects.PERSON] > 0).all()
        assert 0.002 < labels["saliency"].mean() < 0.8
        lengths = np.linalg.norm(labels["normals"] / 127.5 - 1, axis=-1)
        valid = pascal.HAS_NORMALS[label_map]
        assert np.abs(lengths[valid] - 1).max(initial=0) < 0.02
        assert lengths[~valid].max(initial=0) < 0.01
        grey = sample.image.mean(-1)
        assert grey.std() > 5


def test_the_tree_is_of_the_published_kind(tree: Path, samples: dict[str, Sample]) -> None:
    assert len(samples) == 12
    assert {Path(name).parts[1] for s in ("train", "val") for i in pascal.ids(tree, s) for name in pascal.files(tree, s, i)} >= {
        "VOC12",
        "pascal-context",
    }
    people = [sample.labels["human_parts"].any() for sample in samples.values()]
    assert 0 < sum(people) < len(people)  # human parts are missing where nobody is
    assert len({sample.image.shape for sample in samples.values()}) > 2
    assert all(max(sample.image.shape) <= 500 for sample in samples.values())
    assert any((sample.labels["semseg"] == 255).any() for sample in samples.values())
    shown = np.unique(np.concatenate([sample.labels["semseg"].ravel() for sample in samples.values()]))
    assert len(shown) > 6
    with Image.open(tree / pascal.files(tree, "train", "2008_000000")[2]) as picture:
        assert picture.mode == "P"
    assert pascal.boundary_list(tree, None).holds(["2009_000000", "2009_000001"]).tolist() == [True, False]


def test_people_consist_of_parts_and_stand_on_the_ground() -> None:
    for seed in range(20):
        solids = people.build_person(np.random.default_rng(seed))
        parts = {people.PARTS[s.label - people.PART_LABELS] for s in solids}
        assert parts == set(people.PARTS)
        low, high = scenes.extent(solids)
        assert abs(high[1]) < 1e-9  # y points down
        assert 1.3 < -low[1] < 2.6


def _content(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def test_missing_files_are_made_and_lists_only_grow(tmp_path: Path) -> None:
    scenes.write_tree(tmp_path, "val", 2, seed=1)
    before = _content(tmp_path)
    (tmp_path / "sal_distill/2009_000001.png").unlink()
    scenes.write_tree(tmp_path, "val", 2, seed=1)
    assert _content(tmp_path) == before
    scenes.write_tree(tmp_path, "val", 1, seed=1)
    assert len(pascal.ids(tmp_path, "val")) == 2  # a shorter list never replaces a longer one
