"""What is true of every benchmark, whatever its folder says; a new one is held to the same."""

import ast
import importlib
import importlib.util
from pathlib import Path

import numpy as np
import pytest
from helpers.raw import make_scenes

from dmtl.benchmarks import all_benchmarks, benchmark, benchmark_names
from dmtl.benchmarks.benchmark import Benchmark
from dmtl.errors import UserError
from dmtl.prepare.packing import pack
from dmtl.tasks import IGNORE

every = pytest.mark.parametrize("name", benchmark_names())
EVERY_TASK = [(one.name, task.name) for one in all_benchmarks() for task in one.tasks]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Benchmark -> a tree of two training scenes and one test scene."""
    folder = tmp_path_factory.mktemp("trees")
    return {one.name: make_scenes(one.name, folder / one.name, train=2, val=1) for one in all_benchmarks() if one.synthesise}


def tree_of(trees: dict[str, Path], name: str) -> Path:
    if name not in trees:
        pytest.skip(f"{name} has no synthetic scenes")
    return trees[name]


def test_the_folders_are_the_register() -> None:
    assert {"nyud", "pascal", "cityscapes"} <= set(benchmark_names())
    assert "shared" not in benchmark_names()
    with pytest.raises(UserError, match="no benchmark 'nyu'; did you mean 'nyud'"):
        benchmark("nyu")


@every
def test_a_benchmark_is_what_its_folder_says(name: str) -> None:
    one = benchmark(name)
    assert one.name == name
    assert one.title
    assert one.fit in ("resize", "pad")
    assert not one.images or set(one.images) == {"train", "val"}
    assert (one.synthesise is None) == (not one.scenes)
    assert one.archive is None or one.archive.url or one.by_hand, "who cannot download it must be told what to do"
    for line in one.by_hand:
        assert line.format(folder="here")


@pytest.mark.parametrize(("name", "task"), EVERY_TASK)
def test_a_task_has_a_channel_and_a_colour_for_each_class(name: str, task: str) -> None:
    one = benchmark(name)
    said = one.task(task)
    assert one.outputs[task] == said.channels >= 1
    assert said.kind.label_channels(said.channels) in (1, said.channels)
    if said.kind.indexed:
        assert len(said.classes) == said.channels == len(set(said.classes))
        assert not said.colours or len(set(said.colours.split())) == said.channels
        assert all(len(bytes.fromhex(colour)) == 3 for colour in said.colours.split())
    assert said.high > 0
    assert said.largest_error > 0


@every
def test_tasks_have_different_names(name: str) -> None:
    assert len(benchmark(name).outputs) == len(benchmark(name).tasks)


@every
def test_published_masks_fit_the_tasks(name: str) -> None:
    one = benchmark(name)
    if one.masks is None:
        pytest.skip("none were published")
    known = set(one.settings) - {"full"}
    assert set(one.masks.sha256) == set(one.masks.labels) == known
    assert all(len(sha256) == 64 and int(sha256, 16) for sha256 in one.masks.sha256.values())
    assert all(len(labels) == len(one.tasks) for labels in one.masks.labels.values())
    assert sum(one.masks.labels["onelabel"]) <= one.images["train"]
    assert set(one.masks.task_names) <= set(one.outputs)
    assert set(one.masks.published_as) | set(one.masks.remarks) <= known
    assert all(file.url and file.sha256 and file.size and file.name.startswith("mappings/") for file in one.masks.files)
    assert list(one.authors_names) == list(one.outputs)


@every
def test_a_released_model_is_a_cell_of_it(name: str) -> None:
    released = benchmark(name).released
    assert released is None or released.cell.startswith(f"{name}-")


@every
def test_a_scene_depends_on_the_modules_that_it_says(name: str) -> None:
    """Other code draws other scenes, so whatever they take from this package must be named."""
    named = {module.__name__ for module in benchmark(name).scenes}
    for module in benchmark(name).scenes:
        assert imported(module.__name__) <= named


def imported(name: str) -> set[str]:
    """The modules of `dmtl.benchmarks` that a module imports."""
    statements = ast.walk(ast.parse(Path(str(importlib.import_module(name).__file__)).read_text()))
    froms = [statement for statement in statements if isinstance(statement, ast.ImportFrom) and statement.module]
    modules = {f"{one.module}.{alias.name}" for one in froms for alias in one.names} | {str(one.module) for one in froms}
    return {module for module in modules if module.startswith("dmtl.benchmarks.") and is_file(module)}


def is_file(module: str) -> bool:
    try:
        spec = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return False
    return spec is not None and not spec.submodule_search_locations


@every
def test_scenes_have_their_files_in_order(trees: dict[str, Path], name: str) -> None:
    one, root = benchmark(name), tree_of(trees, name)
    for split, count in (("train", 2), ("val", 1)):
        ids = one.ids(root, split)
        assert len(ids) == len(set(ids)) == count
        assert ids == one.ids(root, split)
        for image_id in ids:
            files = one.files(root, split, image_id)
            assert len(files) == len(set(files))
            assert all((root / file).is_file() for file in files)


@every
@pytest.mark.parametrize("split", ["train", "val"])
def test_reading_gives_the_labels_that_the_tasks_declare(trees: dict[str, Path], name: str, split: str) -> None:
    one, root = benchmark(name), tree_of(trees, name)
    sample = one.read(root, split, one.ids(root, split)[0])
    size = sample.image.shape[:2]
    assert sample.image.dtype == np.uint8
    assert sample.image.shape == (*size, 3)
    assert set(sample.labels) == set(one.outputs)
    for task in one.tasks:
        label = sample.labels[task.name]
        channels = task.kind.label_channels(task.channels)
        assert label.shape == (size if channels == 1 else (*size, channels))
        assert label.dtype == np.uint8 or (task.kind.continuous and label.dtype == np.float32)
        if not task.kind.continuous:
            assert set(np.unique(label)) <= {*range(max(task.channels, 2)), IGNORE}
    assert all(extra.shape == size for extra in sample.extras.values())


@every
def test_a_sample_goes_into_a_shard_of_any_size(trees: dict[str, Path], name: str) -> None:
    one, root = benchmark(name), tree_of(trees, name)
    packed = pack(one.read(root, "train", one.ids(root, "train")[0]), (64, 96), one.fit, one.tasks)
    assert list(packed.chunks) == ["image", *one.outputs]
    assert packed.content_size == (64, 96) or (one.fit == "pad" and max(packed.content_size) <= 96)


def test_benchmarks_differ_in_name_and_title() -> None:
    for said in ("name", "title"):
        values = [getattr(one, said) for one in all_benchmarks()]
        assert len(set(values)) == len(values)
    assert all(isinstance(one, Benchmark) for one in all_benchmarks())
