"""Values of params.yaml from the command line."""

from pathlib import Path

import pytest
import yaml

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.launch.overrides import set_values


def test_values_are_written_into_the_file_for_dvc_to_see(tiny: Path) -> None:
    before = Project(tiny).params
    set_values(Project(tiny), ["diffusion.steps=4", "scales.demo.train.nyud.learning_rate=1e-4"])
    after = Project(tiny).params
    assert (after["diffusion"]["steps"], after["scales"]["demo"]["train"]["nyud"]["learning_rate"]) == (4, 1e-4)
    after["diffusion"]["steps"] = before["diffusion"]["steps"]
    after["scales"]["demo"]["train"]["nyud"]["learning_rate"] = before["scales"]["demo"]["train"]["nyud"]["learning_rate"]
    assert after == before


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("diffusion.stepz=4", r"no key 'diffusion.stepz'; did you mean 'steps'\?"),
        ("diffusion.steps", r"-S diffusion.steps: give KEY=VALUE"),
        ("diffusion.steps=many", r"diffusion.*steps.*(got 'many')"),
        ("diffusion.steps=[", r"-S diffusion.steps=\["),
        ("scales.demo.data.nyud.train=-1", r"scales.demo.data.nyud.*train"),
    ],
)
def test_a_wrong_one_is_told_and_changes_nothing(tiny: Path, override: str, said: str) -> None:
    before = (tiny / "params.yaml").read_bytes()
    with pytest.raises(UserError, match=said) as told:
        set_values(Project(tiny), [override, "seed=3"])
    assert "\n" not in str(told.value)
    assert (tiny / "params.yaml").read_bytes() == before


def test_comments_stay(tiny: Path) -> None:
    params = tiny / "params.yaml"
    params.write_text(f"# what every run uses\n{params.read_text()}")
    set_values(Project(tiny), ["seed=3"])
    assert params.read_text().startswith("# what every run uses\n")
    assert yaml.safe_load(params.read_text())["seed"] == 3
