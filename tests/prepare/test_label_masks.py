"""Label masks: asked for exactly their images, told from published ones by their content, drawn by the rules of the settings."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dmtl.benchmarks import all_benchmarks
from dmtl.config import SETTINGS
from dmtl.errors import UserError
from dmtl.prepare.label_masks import LabelMask, canonical_text, content_sha256, counts, draw_label_mask
from dmtl.prepare.mapping_files import read_mapping

TASKS = {benchmark.name: tuple(benchmark.outputs) for benchmark in all_benchmarks()}
ROWS = {"2008_000008": [1, 0, 0, 0, 1], "2008_000015": [0, 0, 1, 1, 0], "2009_000001": [0, 1, 0, 0, 0]}


@pytest.fixture
def mask() -> LabelMask:
    return LabelMask(tuple(ROWS), TASKS["pascal"], np.array(list(ROWS.values()), np.uint8), "mapping.bin")


def test_images_must_be_exactly_those_of_the_label_mask(mask: LabelMask) -> None:
    first, second, third = ROWS
    assert mask.of_images([third, first, second]).tolist() == [ROWS[third], ROWS[first], ROWS[second]]
    with pytest.raises(UserError, match=r"mapping\.bin: 2 images have no row in it \(first 'x'\): use the mapping made for"):
        mask.of_images([first, "x", "y", second, third])
    with pytest.raises(
        UserError, match=rf"1 images have no row .*\(first 'x'\), 2 of its rows have no image \(first '{second}'\)"
    ):
        mask.of_images([first, "x"])
    with pytest.raises(UserError, match=rf"1 images are asked for more than once \(first '{second}'\)"):
        mask.of_images([first, second, second, third])


def test_a_label_mask_cannot_be_changed_but_what_images_may_use_is_a_copy(mask: LabelMask) -> None:
    with pytest.raises(ValueError, match="read-only"):
        mask.allowed[0, 0] = 0
    rows = mask.of_images(list(ROWS))
    rows[:] = 0
    assert mask.allowed.tolist() == list(ROWS.values())


def test_a_changed_mapping_is_not_the_published_one(shared_data: Path) -> None:
    mask = read_mapping(shared_data / "xtc_mappings" / "original" / "nyud" / "onelabel.pth")
    assert "published as: nyud onelabel; content SHA-256 adfc42b70d17" in counts(mask)
    allowed = mask.allowed.copy()
    allowed[7] = 1
    changed = LabelMask(mask.ids, mask.tasks, allowed, mask.source)
    assert content_sha256(changed) != content_sha256(mask)
    assert "published as: none; content" in counts(changed)


_ids = st.lists(st.text("abc019_", min_size=1, max_size=6), min_size=1, max_size=40, unique=True)
_tasks = st.sampled_from([*TASKS.values(), ("semseg",)])
_seeds = st.integers(0, 2**32)
_quick = settings(max_examples=50, deadline=None, derandomize=True, database=None)


@_quick
@given(ids=_ids, tasks=_tasks, seed=_seeds, setting=st.sampled_from(SETTINGS))
def test_drawn_mappings_keep_their_promises(ids: list[str], tasks: tuple[str, ...], seed: int, setting: str) -> None:
    mapping = draw_label_mask(setting, ids, tasks, np.random.default_rng(seed))
    assert sorted(mapping.ids) == sorted(ids)
    assert mapping.tasks == tasks
    assert mapping.allowed.dtype == np.uint8
    assert mapping.allowed.shape == (len(ids), len(tasks))
    assert set(np.unique(mapping.allowed)) <= {0, 1}
    labels, counts = mapping.allowed.sum(axis=1), mapping.allowed.sum(axis=0)
    if setting == "onelabel":
        assert (labels == 1).all()
        assert counts.max() - counts.min() <= 1
    elif setting == "randomlabels":
        assert labels.min() >= 1
        assert labels.max() <= max(len(tasks) - 1, 1)
    else:
        assert mapping.allowed.all()


@_quick
@given(ids=_ids, tasks=_tasks, seed=_seeds, setting=st.sampled_from(SETTINGS))
def test_drawing_depends_on_seed_and_ids_alone(ids: list[str], tasks: tuple[str, ...], seed: int, setting: str) -> None:
    one = draw_label_mask(setting, ids, tasks, np.random.default_rng(seed))
    two = draw_label_mask(setting, ids[::-1], tasks, np.random.default_rng(seed))
    assert canonical_text(one) == canonical_text(two)
    assert content_sha256(one) == content_sha256(two)
    assert np.array_equal(one.of_images(ids), two.of_images(ids))


@_quick
@given(count=st.integers(1, 30), seed=_seeds, benchmark=st.sampled_from(sorted(TASKS)), setting=st.sampled_from(SETTINGS))
def test_drawn_text_reads_back(
    tmp_path_factory: pytest.TempPathFactory, count: int, seed: int, benchmark: str, setting: str
) -> None:
    ids = [f"room_{k}" if benchmark == "pascal" else str(k) for k in range(count)]
    drawn = draw_label_mask(setting, ids, TASKS[benchmark], np.random.default_rng(seed))
    path = tmp_path_factory.getbasetemp() / "drawn.tsv"
    path.write_text(canonical_text(drawn))
    read = read_mapping(path)
    assert (read.ids, read.tasks, read.allowed.tolist()) == (drawn.ids, drawn.tasks, drawn.allowed.tolist())


@_quick
@given(count=st.integers(1, 40), tasks=_tasks, seed=_seeds, setting=st.sampled_from(SETTINGS))
def test_where_labels_are_missing_only_those_that_are_there_are_drawn(
    count: int, tasks: tuple[str, ...], seed: int, setting: str
) -> None:
    ids = [f"image_{k}" for k in np.random.default_rng(seed).permutation(count)]
    there = np.random.default_rng(seed + 1).random((count, len(tasks))) < 0.6
    there[0, 0] = False  # so that never all are there
    mask = draw_label_mask(setting, ids, tasks, np.random.default_rng(seed), there)
    allowed, held = mask.of_images(ids), there.sum(axis=1)
    assert allowed.dtype == np.uint8
    assert set(np.unique(allowed)) <= {0, 1}
    assert not (allowed > there).any()
    drawn = allowed.sum(axis=1)
    if setting == "onelabel":
        assert (drawn == (held > 0)).all()
    elif setting == "randomlabels":
        assert (drawn[held > 0] >= 1).all()
        assert (drawn <= np.maximum(held - 1, 1)).all()
    else:
        assert np.array_equal(allowed, there)


def test_where_labels_are_missing_draws_are_even() -> None:
    there = np.ones((6000, 4), bool)
    there[:3000, 0] = False
    ids = [f"image_{k:04}" for k in range(len(there))]
    one = draw_label_mask("onelabel", ids, TASKS["nyud"] + ("more",), np.random.default_rng(0), there).of_images(ids)
    assert np.ptp(one.sum(axis=0)) <= 1  # each image takes the task with the fewest labels so far
    some = draw_label_mask("randomlabels", ids, TASKS["nyud"] + ("more",), np.random.default_rng(0), there).of_images(ids)
    for rows, most in ((some[:3000], 2), (some[3000:], 3)):
        share = np.bincount(rows.sum(axis=1), minlength=most + 1)[1:] / len(rows)
        assert np.allclose(share, 1 / most, atol=0.03)
    assert np.allclose(some[:3000, 1:].mean(axis=0), 0.5, atol=0.03)  # mean of k is 1.5 of 3


def test_the_counts_of_a_label_mask_are_told(mask: LabelMask) -> None:
    told = counts(mask).splitlines()
    assert told[0] == "3 images; labels: semseg 1, human_parts 1, saliency 1, normals 1, boundary 1"
    assert told[1] == "images by number of labels: 1: 1, 2: 2"
    assert told[2].startswith("published as: none; content SHA-256 ")


def test_draws_differ_and_are_uniform() -> None:
    ids = [str(k) for k in range(20_000)]
    draws = [draw_label_mask("onelabel", ids, TASKS["pascal"], np.random.default_rng(seed)) for seed in (0, 1)]
    assert content_sha256(draws[0]) != content_sha256(draws[1])
    tasks = TASKS["pascal"]
    random = draw_label_mask("randomlabels", ids, tasks, np.random.default_rng(0)).allowed
    share = np.bincount(random.sum(axis=1), minlength=5)[1:] / len(ids)
    assert np.allclose(share, 1 / 4, atol=0.02)  # 1 to 4 labels, equally often
    assert np.allclose(random.mean(axis=0), 0.5, atol=0.02)  # mean of k is 2.5 of 5
    single = random[random.sum(axis=1) == 1].mean(axis=0)
    assert np.allclose(single, 1 / 5, atol=0.03)
    places = [draw_label_mask("onelabel", ["a"], tasks, np.random.default_rng(seed)).allowed[0].argmax() for seed in range(50)]
    assert len(set(places)) == 5  # no task is favoured where the images do not go round


def test_numbers_are_ordered_by_number() -> None:
    ids = ["10", "9", "2", "0"]
    assert draw_label_mask("full", ids, ("semseg", "depth"), np.random.default_rng(0)).ids == ("0", "2", "9", "10")
    assert draw_label_mask("full", ["a10", "a9"], ("semseg",), np.random.default_rng(0)).ids == ("a10", "a9")
    assert draw_label_mask("full", ["2008_10", "2008_9"], ("semseg",), np.random.default_rng(0)).ids == ("2008_10", "2008_9")


def test_canonical_text_is_in_order_whatever_the_mapping_is() -> None:
    mapping = LabelMask(("10", "9"), ("semseg", "depth"), np.array([[1, 0], [1, 1]], np.uint8))
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
        draw_label_mask(setting, ids, tasks, np.random.default_rng(0))
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)
