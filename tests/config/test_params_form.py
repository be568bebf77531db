"""params.yaml stands as DVC writes it, so that an experiment changes the line of its parameter and no other."""

import shutil
from pathlib import Path

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from dvc.utils.serialize import modify_yaml
from helpers.own_data import make_collection

from dmtl.__main__ import main

OF_A_BENCHMARK = {  # scale -> what its benchmarks do not share
    "demo": {"epochs", "learning_rate", "augmentation", "task_weights"},
    "paper": {"epochs", "batch", "learning_rate", "augmentation", "task_weights"},
}


def _changed(file: Path, copy: Path, override: str) -> list[tuple[str, str]]:
    """The lines in which a copy differs after `dvc exp run -S`."""
    shutil.copy(file, copy)
    apply_overrides(copy, [override])
    before, after = file.read_text().splitlines(), copy.read_text().splitlines()
    assert len(before) == len(after)
    return [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]


@pytest.mark.parametrize("folder", [".", "study"])
def test_dvc_writes_the_file_as_it_is(root: Path, folder: str, tmp_path: Path) -> None:
    file, copy = root / folder / "params.yaml", tmp_path / "params.yaml"
    shutil.copy(file, copy)
    with modify_yaml(copy):
        pass
    assert copy.read_text() == file.read_text()


@pytest.mark.parametrize(
    ("folder", "override", "line"),
    [
        (".", "diffusion.steps=4", ("  steps: 2", "  steps: 4")),
        (".", "scales.demo.train.cityscapes.threads=2", ("        threads: 1", "        threads: 2")),
        ("study", "diffusion.steps=4", ("  steps: 2", "  steps: 4")),
    ],
)
def test_an_experiment_changes_one_line(root: Path, folder: str, override: str, line: tuple[str, str], tmp_path: Path) -> None:
    assert _changed(root / folder / "params.yaml", tmp_path / "params.yaml", override) == [line]


def test_an_experiment_with_ones_own_images_changes_one_line(tmp_path: Path) -> None:
    main(["init", str(tmp_path / "own"), "--data", str(make_collection(tmp_path / "data", ("semseg",)))])
    assert _changed(tmp_path / "own" / "params.yaml", tmp_path / "params.yaml", "seed=7") == [("seed: 0", "seed: 7")]


@pytest.mark.parametrize("scale", OF_A_BENCHMARK)
def test_the_recipes_of_a_scale_differ_in_what_is_known(root: Path, scale: str) -> None:
    """Each benchmark says all of its recipe, since DVC would write out what YAML merges; the rest is still one recipe."""
    recipes = list(yaml.safe_load((root / "params.yaml").read_text())["scales"][scale]["train"].values())
    assert {key for recipe in recipes for key in recipe if len({str(r[key]) for r in recipes}) > 1} == OF_A_BENCHMARK[scale]
