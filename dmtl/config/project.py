"""params.yaml and grid.yaml of a pipeline: one loader a stage, and where its files lie."""

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from dmtl.config.blocks import LARGEST_SEED, Block, dig, require_plain_name, shortened, validated
from dmtl.config.grid import Cell, Grid, require_name
from dmtl.config.methods import FAMILIES, ConsistencyOnBenchmark, Diffusion, NetworkConfig, Options, Plain, Representation
from dmtl.config.own import OwnBenchmark
from dmtl.config.recipe import Data, Optim, Recipe
from dmtl.config.yaml_file import load_yaml, until_changed
from dmtl.errors import UserError, nearest

UNWEIGHTED = ("stable_mtl",)  # methods with one loss for all tasks: whatever the recipe says, each task weighs 1


class TrainingConfig(Block):
    """One training, resolved: the cell, its recipe, its method's own block and how its tasks are balanced."""

    cell: Cell
    recipe: Recipe
    options: Options
    optim: Optim
    seed: int

    @cached_property
    def name(self) -> str:
        """The cell's name."""
        return self.cell.name()

    @property
    def pretrained(self) -> bool:
        """Whether the backbone starts from ImageNet weights."""
        return self.recipe.pretrained and not self.cell.scratch

    def network(self, outputs: Mapping[str, int], kinds: Mapping[str, Any] | None = None) -> NetworkConfig:
        """The network of this training for a benchmark's `outputs` (task -> channels) and the `kinds` of tasks of its own."""
        cell = self.cell
        return NetworkConfig(
            method=cell.method,
            family=cell.family,
            backbone=cell.backbone,
            width=self.recipe.width,
            outputs=dict(outputs),
            kinds=dict(kinds or {}),
            options=self.options,
        )


class Paths(Block):
    """Where a scale's files lie, below the project's folder."""

    root: Path
    scale: str

    def manifest(self, benchmark: str) -> Path:
        return self.root / "data" / "raw" / self.scale / f"{benchmark}.json"

    def raw(self, benchmark: str) -> Path:
        return self.root / "data" / "raw" / self.scale / benchmark

    def shard(self, benchmark: str, split: str) -> Path:
        return self.root / "data" / "shards" / self.scale / benchmark / f"{split}.h5"

    def model(self, cell: str) -> Path:
        return self.root / "models" / self.scale / cell

    def result(self, cell: str) -> Path:
        return self.root / "results" / self.scale / f"{cell}.json"

    def statistics(self, cell: str) -> Path:
        return self.result(cell).with_suffix(".npz")

    def gallery(self, cell: str) -> Path:
        return self.result(cell).with_suffix(".gallery.npz")

    def scores(self, cell: str) -> Path:
        return self.result(cell).with_suffix(".scores.json")

    def step_gradients(self, cell: str) -> Path:
        return self.result(cell).with_suffix(".gradients.json")

    def reports(self) -> Path:
        return self.root / "reports" / self.scale

    def curves(self) -> Path:
        return self.root / "plots" / self.scale / "curves.csv"


class Project:
    """A pipeline's folder with its params.yaml and grid.yaml: the repository's root, `study/`, or a user's own.

    Args:
        folder: which also holds dvc.yaml, and below which data, models, results and reports lie.
        scale: instead of the one that params.yaml names.

    Raises:
        UserError: a file is missing or is no YAML mapping.
    """

    def __init__(self, folder: Path, scale: str | None = None) -> None:
        self.params = load_yaml(Path(folder) / "params.yaml")
        self.grid = load_yaml(Path(folder) / "grid.yaml")
        named = require_plain_name(scale or self.block("scale"), "scale", "params.yaml")
        self.paths = Paths(root=Path(folder), scale=named)

    @property
    def own(self) -> OwnBenchmark | None:
        """The user's own benchmark, where the folder describes one."""
        return load_own(self.paths.root)

    def block(self, key: str) -> Any:
        """The value at a dotted key of params.yaml."""
        return dig(self.params, key, "params.yaml")

    def mapping(self, key: str) -> dict[str, Any]:
        """The same, where it must be keys and values.

        Raises:
            UserError: it is something else.
        """
        block = self.block(key)
        if not isinstance(block, dict) or not all(isinstance(name, str) for name in block):
            raise UserError(f"params.yaml: {key} must hold keys and values, but is {shortened(block)}")
        return block

    def cell(self, key: str) -> Cell:
        """One cell of grid.yaml."""
        cell = validated(Cell, dig(self.grid, f"cells.{key}", "grid.yaml"), f"grid.yaml: cells.{key[:200]}")
        require_name(key, cell)
        return cell


def load_own(folder: Path) -> OwnBenchmark | None:
    """A project folder's benchmark.yaml; None where there is none.

    Raises:
        UserError: it is no YAML, or holds what does not belong there.
    """
    file = folder / "benchmark.yaml"
    return _own_benchmark(file) if file.is_file() else None


@until_changed
def _own_benchmark(file: Path) -> OwnBenchmark:
    """Read once and not anew for each image."""
    return validated(OwnBenchmark, load_yaml(file), str(file))


def for_download(project: Project, benchmark: str) -> tuple[Data, int]:
    """The `data` block of a benchmark and the seed of its synthetic scenes: all that `download` and `shards` may read.

    Of a user's own benchmark benchmark.yaml says it.
    """
    if (own := project.own) and own.name == benchmark:
        return Data(source="local", size=own.size, train=None, val=None), _seed(project)
    key = f"scales.{project.paths.scale}.data.{require_plain_name(benchmark, 'benchmark', 'the command line')}"
    return validated(Data, project.block(key), f"params.yaml: {key}"), _seed(project)


for_shards = for_download


def for_training(project: Project, key: str) -> TrainingConfig:
    """Everything that decides a cell's training."""
    return resolve(project, project.cell(key))


def resolve(project: Project, cell: Cell) -> TrainingConfig:
    """`for_training` of a cell that need not be in the grid."""
    where = f"scales.{project.paths.scale}.train.{cell.benchmark}"
    recipe = validated(Recipe, project.block(where), f"params.yaml: {where}")
    options = _options(project, cell)
    if isinstance(options, Diffusion):
        network = options.network
        for block, heads in (("heads", network.heads), ("task_attention.heads", network.task_attention.heads)):
            if recipe.width % heads:
                raise UserError(f"params.yaml: {where}.width {recipe.width} is no multiple of diffusion.network.{block} {heads}")
    if isinstance(options, Representation) and recipe.width % (heads := options.task_prototype.heads):
        key = "representation.task_prototype.heads"
        raise UserError(f"params.yaml: {where}.width {recipe.width} is no multiple of {key} {heads}")
    if cell.method == "teacher_control" and isinstance(options, Plain) and options.teacher_control:
        for task in options.teacher_control.thresholds:
            if task not in recipe.task_weights:
                known = nearest(task, recipe.task_weights)
                raise UserError(f"params.yaml: plain.teacher_control.thresholds.{cell.benchmark}: no task '{task}'; {known}")
    if cell.method in UNWEIGHTED:
        recipe = recipe.model_copy(update={"task_weights": dict.fromkeys(recipe.task_weights, 1.0)})
    optim = validated(Optim, project.block("optim"), "params.yaml: optim")
    return TrainingConfig(cell=cell, recipe=recipe, options=options, optim=optim, seed=_seed(project) + cell.seed)


def default_steps(project: Project) -> int:
    """The diffusion steps of the cells that pin none."""
    return validated(Diffusion, project.block("diffusion"), "params.yaml: diffusion").steps


def for_report(project: Project) -> Grid:
    """The whole grid: what the tables must hold."""
    return validated(Grid, project.grid, "grid.yaml")


def _options(project: Project, cell: Cell) -> Options:
    block = project.block(cell.params_block)
    if cell.params_block == "diffusion.network":
        block = {"steps": cell.steps, "network": block}
    if cell.family == "consistency":
        block = _on_benchmark(project, cell.benchmark)
    if cell.family == "plain":
        block = _plain(project, cell.benchmark)
    options = validated(FAMILIES[cell.family], block, f"params.yaml: {cell.family}")
    assert isinstance(options, Options)
    return options


def _on_benchmark(project: Project, benchmark: str) -> dict[str, Any]:
    """The block `consistency` with the values of one benchmark in place of those of all."""
    where = f"consistency.benchmarks.{benchmark}"
    on = validated(ConsistencyOnBenchmark, project.block(where), f"params.yaml: {where}")
    common = {key: value for key, value in project.mapping("consistency").items() if key != "benchmarks"}
    return {**common, "on": on}


def _plain(project: Project, benchmark: str) -> dict[str, Any]:
    """The block `plain` with what single-task networks see at the project's scale, and one benchmark's thresholds."""
    images = project.block(f"plain.single_task.images.{project.paths.scale}")
    common = {key: value for key, value in project.mapping("plain").items() if key != "single_task"}
    teacher = project.mapping("plain.teacher_control")
    thresholds = project.mapping("plain.teacher_control.thresholds").get(benchmark, {})
    return {**common, "single_task_images": images, "teacher_control": {**teacher, "thresholds": thresholds}}


def _seed(project: Project) -> int:
    seed = project.block("seed")
    if type(seed) is not int or not 0 <= seed <= LARGEST_SEED:
        raise UserError(f"params.yaml: seed is {shortened(seed)}, but must be a whole number from 0 to {LARGEST_SEED}")
    return seed
