"""params.yaml and grid.yaml: errors that name the key, nothing read that DVC does not watch, the paper's own settings."""

import copy
from pathlib import Path

import pytest
import yaml
from helpers.project import tiny_params, write_project
from pydantic import ValidationError

from dmtl.benchmarks import benchmark
from dmtl.config import Cell, Project, TrainingConfig, for_download, for_report, for_shards, for_training
from dmtl.errors import UserError
from dmtl.files import digest
from dmtl.models import method_names
from dmtl.report import published
from dmtl.report.results import row_of
from dmtl.report.table_cells import BEYOND, cells_of_table

CELL = "nyud-onelabel-diffusion_feature"


def _edited(folder: Path, key: str, value: object) -> Project:
    params = tiny_params()
    *parents, last = key.split(".")
    block = params
    for parent in parents:
        block = block[parent]
    block[last] = value
    return Project(write_project(folder, params))


def _load(folder: Path, key: str, value: object) -> None:
    project = _edited(folder, key, value)
    for_download(project, "nyud")
    for_training(project, CELL)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("scales.demo.train.nyud.epochz", 3, "epochz: unknown key; did you mean 'epochs'"),
        ("scales.demo.train.nyud.epochs", "ten", r"epochs: Input should be a valid integer.*'ten'"),
        ("scales.demo.train.nyud.epochs", 0, "epochs: Input should be greater than or equal to 1"),
        ("scales.demo.train.nyud.learning_rate", "fast", "learning_rate: Input should be a valid number"),
        ("scales.demo.train.nyud.precision", "bf16", "precision: Input should be '32-true' or 'bf16-mixed'"),
        ("scales.demo.train.nyud.task_weights", {"depth": "much"}, r"task_weights\.depth: Input should be a valid number"),
        ("diffusion.steps", -1, "steps: Input should be greater than or equal to 1"),
        ("diffusion.network.headz", 4, "headz: unknown key; did you mean 'heads'"),
        ("diffusion.network.sampler", "ddim", "sampler: Input should be 'posterior' or 'direct'"),
        ("diffusion.network.prediction.source", "image", "prediction.source: Input should be 'predictions', 'per_task"),
        ("seed", "zero", "seed is 'zero'"),
        ("scales.demo.train.nyud.width", 6, r"nyud\.width 6 is no multiple of diffusion\.network\.heads 4"),
        ("scales.demo.data.nyud.size", [16, 64], "size.0: Input should be greater than or equal to 32"),
        ("scale", "dmeo", "no key 'scales.dmeo'; did you mean 'demo'"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        _load(tmp_path, key, value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("consistency.zoomz", [1.0], "consistency.zoomz: unknown key; did you mean 'zooms'"),
        ("consistency.zooms", [0.5], "consistency.zooms.0: Input should be greater than or equal to 1"),
        ("consistency.xtc.resolution", "half", "xtc.resolution: Input should be 'eighth' or 'full'"),
        ("consistency.xtc.widths", [0.5, 1.0], "xtc.widths.2: "),
        ("consistency.semi_supervised.confidence", 1.5, "semi_supervised.confidence: Input should be less than 1"),
        ("consistency.benchmarks.nyud.wieght", 1.0, r"benchmarks\.nyud\.wieght: unknown key; did you mean 'weight'"),
        ("consistency.benchmarks.nyud.film_rate", 0.0, r"benchmarks\.nyud\.film_rate: Input should be greater than 0"),
        ("consistency.benchmarks", {"nyu": {}}, r"no key 'consistency\.benchmarks\.nyud'; did you mean 'nyu'"),
    ],
)
def test_a_wrong_value_of_consistency_is_named(tmp_path: Path, key: str, value: object, message: str) -> None:
    project = _edited(tmp_path, key, value)
    with pytest.raises(UserError, match=message) as caught:
        for_training(project, "nyud-onelabel-xtc")
    assert "\n" not in str(caught.value)


def test_xtcs_weights_are_its_benchmarks(root: Path) -> None:
    """As released; those of PASCAL are ours."""
    project = Project(root)
    on = {b: for_training(project, f"{b}-onelabel-xtc").options.on for b in ("nyud", "cityscapes", "pascal")}
    assert (on["nyud"].weight, on["nyud"].film_rate, on["nyud"].flip) == (2.0, 1e-3, False)
    assert (on["cityscapes"].weight, on["cityscapes"].film_rate, on["cityscapes"].flip) == (1.0, 1e-5, True)
    assert (on["pascal"].weight, on["pascal"].film_rate, on["pascal"].flip) == (1.0, 1e-3, False)
    options = for_training(project, "nyud-onelabel-xtc").options
    assert (options.decoder_blocks, options.zooms, options.xtc.film_halving) == (6, (1.0, 1.2, 1.5), 30)
    assert (options.semi_supervised.confidence, options.semi_supervised.largest_difference) == (0.95, 0.1)


def test_another_benchmarks_weights_do_not_change_a_training(tmp_path: Path) -> None:
    before = for_training(Project(write_project(tmp_path, tiny_params())), "nyud-onelabel-xtc")
    after = for_training(_edited(tmp_path, "consistency.benchmarks.cityscapes.weight", 9.0), "nyud-onelabel-xtc")
    assert _digest(before) == _digest(after)
    changed = for_training(_edited(tmp_path, "consistency.benchmarks.nyud.weight", 9.0), "nyud-onelabel-xtc")
    assert _digest(before) != _digest(changed)


def _digest(training: TrainingConfig) -> str:
    return digest(training.model_dump(mode="json"))


def test_numbers_as_dvc_writes_them_are_numbers(tmp_path: Path) -> None:
    """`dvc exp run -S ...learning_rate=1e-5` writes 1e-05, which YAML 1.1 takes for a text."""
    folder = write_project(tmp_path, tiny_params())
    text = (folder / "params.yaml").read_text()
    assert "learning_rate: 0.0015" in text
    (folder / "params.yaml").write_text(text.replace("learning_rate: 0.0015", "learning_rate: 1e-05"))
    assert for_training(Project(folder), CELL).recipe.learning_rate == 1e-5


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    params = tiny_params()
    del params["scales"]["demo"]["train"]["nyud"]["clip"]
    with pytest.raises(UserError, match=r"scales\.demo\.train\.nyud\.clip: missing"):
        for_training(Project(write_project(tmp_path, params)), CELL)


def test_a_wrong_cell_is_named(tmp_path: Path) -> None:
    project = Project(write_project(tmp_path, tiny_params()))
    with pytest.raises(UserError, match=f"no key 'cells.nyud-onelabel-diffusion_feture'; did you mean '{CELL}'"):
        for_training(project, "nyud-onelabel-diffusion_feture")


def test_a_synthetic_source_needs_counts(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="source synthetic needs the number of scenes"):
        for_download(_edited(tmp_path, "scales.demo.data.nyud.train", None), "nyud")


@pytest.mark.parametrize("text", ["[1, 2", "- a\n- b\n", ""])
def test_a_broken_file_is_named(tmp_path: Path, text: str) -> None:
    folder = write_project(tmp_path, tiny_params())
    (folder / "params.yaml").write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        Project(folder)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"params\.yaml is missing"):
        Project(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("method", "mtl_baseline", "describes the cell 'nyud-onelabel-mtl_baseline'"),
        ("benchmark", "nyu", "describes the cell 'nyu-"),
        ("params_block", "plain", "params_block must be 'diffusion'"),
        ("setting", "one", "setting: Input should be"),
    ],
)
def test_a_cell_that_contradicts_itself_is_refused(tmp_path: Path, field: str, value: str, message: str) -> None:
    folder = write_project(tmp_path, tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    grid["cells"][CELL][field] = value
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    for load in (for_report, lambda project: for_training(project, CELL)):
        with pytest.raises(UserError, match=message):
            load(Project(folder))


def test_pinned_steps_do_not_read_the_number_of_steps(tmp_path: Path) -> None:
    folder = write_project(tmp_path, tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    grid["cells"][f"{CELL}-steps4"] = grid["cells"][CELL] | {"steps": 4, "params_block": "diffusion.network"}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    read, _, project = _recording(Project(folder))
    assert for_training(project, f"{CELL}-steps4").options.steps == 4
    assert "diffusion.network" in read
    assert "diffusion.steps" not in read
    assert for_report(project).cells[f"{CELL}-steps4"].steps == 4


class _Recorded(dict):
    """A mapping that notes the dotted path of every value taken from it."""

    def __init__(self, content: dict, path: str, read: set[str]) -> None:
        super().__init__(content)
        self.path, self.read = path, read

    def __getitem__(self, key: str) -> object:
        value = super().__getitem__(key)
        path = f"{self.path}{key}"
        self.read.add(path)
        return _Recorded(value, f"{path}.", self.read) if isinstance(value, dict) else value


def _recording(project: Project) -> tuple[set[str], set[str], Project]:
    """What is read of params.yaml and of grid.yaml, as dotted paths, and the project that notes it."""
    params: set[str] = set()
    grid: set[str] = set()
    project.params, project.grid = _Recorded(project.params, "", params), _Recorded(project.grid, "", grid)
    return params, grid, project


def _unwatched(read: set[str], declared: set[str]) -> set[str]:
    """Paths that were read and are neither declared nor on the way to what is."""
    on_the_way = {path for path in read if any(key.startswith(f"{path}.") for key in declared)}
    return {path for path in read - on_the_way if not any(f"{path}.".startswith(f"{key}.") for key in declared)}


def _stages(root: Path) -> dict[str, dict[str, set[str]]]:
    """Stage -> params file -> the dotted keys that DVC watches, as DVC itself resolves dvc.yaml."""
    from dvc.dependency.param import ParamsDependency
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        found = {}
        for stage in repo.stage.load_all(str(root / "dvc.yaml")):
            params = [dep for dep in stage.deps if isinstance(dep, ParamsDependency)]
            found[stage.name] = {Path(dep.fs_path).name: set(dep.params) for dep in params}
    return found


@pytest.mark.parametrize("folder", [".", "study"])
def test_each_stage_reads_only_what_dvc_watches(root: Path, folder: str) -> None:
    """But for a training's cell, whose name, which is its address and its folder, says all of it (the test below)."""
    loaders = {"download": for_download, "shards": for_shards, "train": for_training, "gradients": for_training}
    stages, unread = _stages(root / folder), Project(root / folder)
    assert {name.partition("@")[0] for name in stages} == {*loaders, "evaluate", "report"}
    for name, declared in stages.items():
        stage, _, argument = name.partition("@")
        if stage == "evaluate":  # all that it must know stands in model.json
            assert declared == {}
            continue
        params, grid, project = _recording(copy.copy(unread))
        if stage == "report":  # validates the whole grid at once
            for_report(project)
            assert declared["grid.yaml"] == set(project.grid)
        else:
            loaders[stage](project, argument)
        assert _unwatched(params, declared.get("params.yaml", set())) == set(), name
        cell = {f"cells.{argument}"} if stage in ("train", "gradients") else set()
        assert _unwatched(grid, declared.get("grid.yaml", set()) | cell) == set(), name


def test_a_cells_name_says_all_of_it(root: Path) -> None:
    """So nothing of a cell can change under its name: each other value gives another name, or is refused."""
    fields = Project(root).grid["cells"][CELL]
    others = {"benchmark": "pascal", "setting": "full", "method": "no_diffusion", "backbone": "resnet50", "scratch": True}
    others |= {"steps": 3, "seed": 1, "family": "plain", "params_block": "plain"}
    assert set(others) == set(Cell.model_fields)
    for field, value in others.items():
        changed = fields | {field: value} | ({"params_block": "diffusion.network"} if field == "steps" else {})
        try:
            name = Cell.model_validate(changed).name()
        except ValidationError:
            continue
        assert name != CELL, field


def test_a_value_that_is_not_watched_is_noticed(root: Path) -> None:
    """The test above can fail: what training reads is more than what evaluation declares."""
    params, grid, project = _recording(Project(root))
    for_training(project, CELL)
    assert _unwatched(params, {"seed"}) >= {"diffusion"}
    assert _unwatched(grid, {"cells.nyud-full-constant"}) == {f"cells.{CELL}"}


def test_only_config_opens_the_two_files(root: Path) -> None:
    """So that no stage can read a value that its loader does not show."""
    sources = [*root.glob("dmtl/**/*.py"), *root.glob("stages/*.py")]
    readers = {
        p.relative_to(root).as_posix() for p in sources if '"params.yaml"' in p.read_text() or '"grid.yaml"' in p.read_text()
    }
    writers = {"dmtl/init/write.py", "dmtl/launch/overrides.py"}  # of a new project, and of values for a launch
    earlier = {"dmtl/tracking/origin.py"}  # those of a commit, which `Project` then reads
    assert readers == {"dmtl/config/project.py", *writers, *earlier}


def test_the_grid_holds_the_tables_and_says_why_for_the_rest(root: Path) -> None:
    """Every row of Tables 1-5 is a cell; every cell in no table, that beyond the paper included, has a reason.

    Rows count whose figures the paper copies from [6]: SS is in no other. A reason for a cell that a table shows does no harm,
    unless the paper prints that row: the summary leaves out what has one.
    """
    grid = for_report(Project(root))
    printed = {p.row for p in published.published()}
    assert set(grid.benchmarks) == {row.benchmark for row in printed}
    ours = {row_of(cell) for key, cell in grid.cells.items() if key not in grid.extra}
    assert printed <= ours
    shown = printed.union(row_of(grid.cells[key]) for key in cells_of_table(BEYOND, grid))
    assert {str(row) for row in ours - shown} == set()
    assert all(len(reason) > 20 for reason in grid.extra.values())


def test_the_grid_holds_figure_6_and_what_delta_m_needs(root: Path) -> None:
    cells = for_report(Project(root)).cells
    pinned = {key: cell for key, cell in cells.items() if cell.steps is not None}
    figure = [key for key, cell in pinned.items() if (cell.benchmark, cell.method) == ("cityscapes", "diffusion_prediction")]
    assert figure == [f"cityscapes-onelabel-diffusion_prediction-steps{steps}" for steps in (1, 2, 3, 4, 5)]
    assert {cell.params_block for cell in pinned.values()} == {"diffusion.network"}
    rows = {row_of(cell) for cell in cells.values()}
    assert {row._replace(method="single_task") for row in rows if row.method != "constant"} <= rows
    assert {cell.benchmark for cell in cells.values() if cell.method == "constant"} == {"nyud", "pascal", "cityscapes"}


def test_every_cell_resolves(root: Path) -> None:
    for folder in (".", "study"):
        project = Project(root / folder)
        for key, cell in for_report(project).cells.items():
            training = for_training(project, key)
            assert training.cell == cell
            assert cell.method in method_names()


def test_scale_paper_is_the_papers_appendix(root: Path) -> None:
    """A.2 of the paper; Adam's weight decay, clipping and the poly power are stated in the released code alone."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    paper = params["scales"]["paper"]
    assert paper["data"]["nyud"]["size"] == [288, 384]
    nyud = paper["train"]["nyud"]
    assert (nyud["epochs"], nyud["batch"], nyud["learning_rate"]) == (200, 4, 2e-5)
    assert (nyud["width"], nyud["pretrained"]) == (512, True)
    assert nyud["augmentation"] == {"kind": "scale_crop", "zooms": [1.0, 1.2, 1.5], "flip": True}
    assert (nyud["weight_decay"], nyud["clip"], nyud["poly_power"]) == (1e-6, 10.0, 0.9)
    assert set(nyud["task_weights"].values()) == {1.0}
    pascal, cityscapes = paper["train"]["pascal"], paper["train"]["cityscapes"]
    assert (paper["data"]["pascal"]["size"], paper["data"]["cityscapes"]["size"]) == ([512, 512], [128, 256])
    assert (pascal["epochs"], pascal["batch"], pascal["learning_rate"], pascal["width"]) == (100, 6, 2e-5, 512)
    assert (cityscapes["epochs"], cityscapes["batch"], cityscapes["learning_rate"], cityscapes["width"]) == (200, 8, 1e-4, 512)
    assert params["plain"]["decoder_blocks"] == 6
    assert params["multiscale"] == {"initial_weight": 1.0, "heads": 2}
    network = params["diffusion"]["network"]
    assert params["diffusion"]["steps"] == 2
    assert (network["decoder_blocks"], network["blocks"], network["beta_start"], network["beta_end"]) == (2, 4, 1e-3, 1e-2)


def test_paper_scale_builds_every_cell(root: Path) -> None:

    from dmtl.models import hollow

    project = Project(root, scale="paper")
    networks = {}
    for key, cell in for_report(project).cells.items():
        network = for_training(project, key).network(benchmark(cell.benchmark).outputs)
        assert network.width == 512
        networks[digest(network.model_dump(mode="json"))] = network
    for network in networks.values():
        assert hollow(network).tasks == tuple(network.outputs)
