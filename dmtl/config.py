"""params.yaml and grid.yaml as frozen, validated objects.

No value has a default here: what a run uses stands in the two files, where DVC tracks it. Each stage of the pipeline has one
loader (`for_download`, `for_shards`, ...), which reads only the blocks that dvc.yaml declares for that stage; a test holds the
two together.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dmtl.errors import UserError, nearest
from dmtl.tasks import TASKS

Setting = Literal["onelabel", "randomlabels", "full"]
SETTINGS: tuple[str, ...] = get_args(Setting)
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0)]
NonNegative = Annotated[int, Field(ge=0)]
Side = Annotated[int, Field(ge=32)]  # the backbone halves it five times
Size = Annotated[tuple[Side, Side], Field(strict=False)]  # (height, width)


class Block(BaseModel):
    """A frozen piece of configuration that knows its keys, types and ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _known_tasks(weights: dict[str, float]) -> dict[str, float]:
    for task in weights if isinstance(weights, dict) else ():
        if task not in TASKS:
            raise ValueError(f"'{task}' is not a task; {nearest(str(task), TASKS)}")
    return weights


class Data(Block):
    """`scales.<scale>.data.<benchmark>`: where raw files come from and what the shards hold."""

    source: Literal["synthetic", "local", "download"]
    size: Size  # of the images in the shards, pixels
    train: Positive | None  # synthetic: how many scenes; else: how many of the images at most (null: all)
    val: Positive | None

    @model_validator(mode="after")
    def _counts(self) -> "Data":
        if self.source == "synthetic" and (self.train is None or self.val is None):
            raise ValueError("source synthetic needs the number of scenes: train and val")
        return self


class ScaleCrop(Block):
    """MTAN's and XTC's augmentation (NYUD, Cityscapes): a random zoom at full size, then a flip."""

    kind: Literal["scale_crop"]
    zooms: Annotated[tuple[Annotated[float, Field(ge=1)], ...], Field(strict=False, min_length=1)]
    flip: bool


class ScalePadCrop(Block):
    """ATRC's augmentation (PASCAL): random scale, crop to the shard's size, flip, photometric distortion, padding."""

    kind: Literal["scale_pad_crop"]
    scales: Annotated[tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]], Field(strict=False)]  # from, to
    cat_max_ratio: Annotated[float, Field(gt=0, le=1)]  # a crop is redrawn while one class of semseg has a larger share
    crop_by_hidden_semseg: bool  # the released code tests crops with semseg even where the setting hides it: a small label leak
    flip: bool
    photometric: bool


Augmentation = Annotated[ScaleCrop | ScalePadCrop, Field(discriminator="kind")]


class Train(Block):
    """`scales.<scale>.train.<benchmark>`: network size and recipe of every method on one benchmark (the paper's A.2)."""

    width: Positive  # channels after the fusion and in every decoder and denoiser
    pretrained: bool  # ImageNet weights for the backbone
    epochs: Positive
    batch: Positive
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    clip: Annotated[float, Field(gt=0)]  # largest norm of the gradient
    poly_power: Annotated[float, Field(ge=0)]  # learning rate times (1 - epoch / epochs) ** poly_power
    precision: Literal["32-true", "bf16-mixed"]
    augmentation: Augmentation
    workers: NonNegative  # loading processes
    threads: Positive | None  # of the CPU; another number gives other last digits; null: as many as the machine has cores
    devices: Positive  # of one machine; together they train the batch
    strategy: Literal["auto", "ddp"]  # auto: ddp where there are several devices
    compile: bool  # torch.compile of trunk and decoders
    task_weights: Annotated[dict[str, Annotated[float, Field(ge=0)]], BeforeValidator(_known_tasks)]


class Plain(Block):
    """`plain`: the multi-task and single-task baselines (models.md 2)."""

    decoder_blocks: Positive


class Condition(Block):
    """What the denoiser is conditioned on, and whether gradients pass through it."""

    source: Literal["predictions", "per_task_predictions", "features"]
    detach: bool


class DiffusionNetwork(Block):
    """`diffusion.network`: everything of the denoiser but the number of steps."""

    decoder_blocks: Positive
    blocks: Positive  # cross-attention blocks
    heads: Positive
    token_stride: Positive  # side of the square of 1/8-scale positions that one token stands for
    schedule: Literal["sqrt_linear", "linear"]
    beta_start: Annotated[float, Field(gt=0, lt=1)]
    beta_end: Annotated[float, Field(gt=0, lt=1)]
    sampler: Literal["posterior", "direct"]
    initial_weight: Annotated[float, Field(ge=0)]  # of the initial predictions' loss
    prediction: Condition
    feature: Condition


class Diffusion(Block):
    """`diffusion`: DiffusionMTL's denoising network (the paper's Section 3.2)."""

    steps: Positive
    network: DiffusionNetwork


class MultiScale(Block):
    """`multiscale`: MTI-Net and InvPT (models.md 4 and 5)."""

    initial_weight: Annotated[float, Field(ge=0)]  # of the loss of each prediction before the final one
    heads: Positive  # InvPT's attention


class CrossTask(Block):
    """`consistency.xtc`: the mapping network into a joint space of all tasks (models.md 3.1 and 3.2)."""

    resolution: Literal["eighth", "full"]  # of the maps it sees: the predictions' own, or the images'
    widths: Annotated[tuple[Share, Share, Share, Share, Share], Field(strict=False)]  # of its groups, times the width
    gumbel_tau: Annotated[float, Field(gt=0)]  # temperature of the sampled classes
    film_halving: Positive  # epochs until gamma and beta's own learning rate is halved


class SelfConsistency(Block):
    """`consistency.semi_supervised`: which of a prediction the other view is taught (models.md 3.4)."""

    weight: Annotated[float, Field(ge=0)]
    confidence: Annotated[float, Field(ge=0, lt=1)]  # probability above which a class is a pseudo-label
    largest_difference: Annotated[float, Field(gt=0)]  # of depths and normals that are drawn together


class ConsistencyOnBenchmark(Block):
    """`consistency.benchmarks.<benchmark>`: what XTC's authors chose for each benchmark (models.md 3.3)."""

    weight: Annotated[float, Field(ge=0)]  # of the cross-task loss
    film_rate: Annotated[float, Field(gt=0)]  # first learning rate of gamma and beta
    flip: bool  # whether the second view may be mirrored


class Consistency(Block):
    """`consistency`: the baseline's network with a loss between two views or tasks; `on` is one of `benchmarks`."""

    decoder_blocks: Positive
    zooms: Annotated[tuple[Annotated[float, Field(ge=1)], ...], Field(strict=False, min_length=1)]  # of the second view
    xtc: CrossTask
    semi_supervised: SelfConsistency
    on: ConsistencyOnBenchmark


class Uncertainty(Block):
    """`optim.uncertainty`: learned log-variances."""

    learning_rate: Annotated[float, Field(gt=0)]  # Adam's, the same in every epoch


class Cagrad(Block):
    """`optim.cagrad`: conflict-averse descent."""

    c: Annotated[float, Field(ge=0)]  # radius about the mean gradient, as a share of its norm


class Dibs(Block):
    """`optim.dibs`: DiBS-MTL (models.md 6.3)."""

    iterations: Positive
    rate: Annotated[float, Field(gt=0)]  # of each iteration, as a share of the ball's radius


class Optim(Block):
    """`optim`: how the losses of several tasks become one gradient, in every training."""

    balance: Literal["fixed", "uncertainty", "pcgrad", "mgda", "imtl_g", "aligned_mtl", "cagrad", "upgrad", "dibs"]
    uncertainty: Uncertainty
    cagrad: Cagrad
    dibs: Dibs


Family = Literal["plain", "diffusion", "consistency", "multiscale"]
Options = Plain | Diffusion | Consistency | MultiScale
FAMILIES: dict[str, type[Block]] = {
    "plain": Plain,
    "diffusion": Diffusion,
    "consistency": Consistency,
    "multiscale": MultiScale,
}


class Cell(Block):
    """One training of the grid: what it is made of."""

    benchmark: str
    setting: Setting
    method: str
    family: Family
    tracks: Family | Literal["diffusion.network"]
    backbone: Annotated[str, Field(pattern=r"^[a-z0-9_]+$")]  # a ResNet of torchvision, or a network of timm
    scratch: bool = False  # random weights in the backbone even where the recipe says pretrained
    steps: Positive | None = None  # pinned; then `tracks` leaves diffusion.steps out
    seed: NonNegative = 0  # added to the seed of params.yaml; a further seed is a further cell

    @model_validator(mode="after")
    def _tracks_what_it_reads(self) -> "Cell":
        wanted = "diffusion.network" if self.steps is not None else self.family
        if self.tracks != wanted:
            raise ValueError(f"tracks must be '{wanted}', or the training goes stale unseen")
        return self

    def name(self) -> str:
        """The cell's key in grid.yaml, where only what differs from the default is spelled out."""
        parts = [self.benchmark, self.setting, self.method]
        parts += [self.backbone] if self.backbone != "resnet18" else []
        parts += ["scratch"] if self.scratch else []
        parts += [f"steps{self.steps}"] if self.steps is not None else []
        parts += [f"seed{self.seed}"] if self.seed else []
        return "-".join(parts)


class Network(Block):
    """All that is needed to rebuild a network; written into model.json."""

    method: str
    family: Family
    backbone: str
    width: Positive
    outputs: dict[str, Positive]  # task -> channels, in the benchmark's order
    options: Options

    def plain(self) -> Plain:
        """The options of a method of the plain family."""
        if isinstance(self.options, Plain):
            return self.options
        raise UserError(f"method '{self.method}' is of family 'plain', but its cell says '{self.family}'")

    def diffusion(self) -> Diffusion:
        """The options of a method of the diffusion family."""
        if isinstance(self.options, Diffusion):
            return self.options
        raise UserError(f"method '{self.method}' is of family 'diffusion', but its cell says '{self.family}'")

    def multiscale(self) -> MultiScale:
        """The options of a method of the multiscale family."""
        if isinstance(self.options, MultiScale):
            return self.options
        raise UserError(f"method '{self.method}' is of family 'multiscale', but its cell says '{self.family}'")

    def consistency(self) -> Consistency:
        """The options of a method of the consistency family."""
        if isinstance(self.options, Consistency):
            return self.options
        raise UserError(f"method '{self.method}' is of family 'consistency', but its cell says '{self.family}'")


class Training(Block):
    """One training, resolved: the cell, its recipe, its method's own block and how its tasks are balanced."""

    cell: Cell
    recipe: Train
    options: Options
    optim: Optim
    seed: int

    @property
    def pretrained(self) -> bool:
        """Whether the backbone starts from ImageNet weights."""
        return self.recipe.pretrained and not self.cell.scratch

    def network(self, outputs: Mapping[str, int]) -> Network:
        """The network of this training for a benchmark's `outputs` (task -> channels)."""
        cell = self.cell
        return Network(
            method=cell.method,
            family=cell.family,
            backbone=cell.backbone,
            width=self.recipe.width,
            outputs=dict(outputs),
            options=self.options,
        )


class Paths(Block):
    """Where a scale's files lie, below the project's root."""

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

    def reports(self) -> Path:
        return self.root / "reports" / self.scale

    def curves(self) -> Path:
        return self.root / "plots" / self.scale / "curves.csv"


class Grid(Block):
    """grid.yaml: every training, and why those that fill no table are there."""

    benchmarks: Annotated[tuple[str, ...], Field(strict=False)]
    cells: dict[str, Cell]
    extra: dict[str, str]  # cell in no table -> the reason for it

    @model_validator(mode="after")
    def _names_agree(self) -> "Grid":
        for key, cell in self.cells.items():
            _require_name(key, cell)
            if cell.benchmark not in self.benchmarks:
                raise ValueError(f"cells.{key}: benchmark '{cell.benchmark}' is not in benchmarks")
        for key in self.extra:
            if key not in self.cells:
                raise ValueError(f"extra: '{key}' is not a cell; {nearest(key, self.cells)}")
        return self


def _require_name(key: str, cell: Cell) -> None:
    if cell.name() != key:
        raise UserError(f"grid.yaml: cells.{key} describes the cell '{cell.name()}': mend the name or the fields")


class Project:
    """The two files of a pipeline: params.yaml and grid.yaml in the repository's root or, for the study, in `study/`.

    Args:
        root: the repository's root, below which data, models, results and reports lie.
        folder: where the two files are, relative to `root`.
        scale: instead of the one that params.yaml names.

    Raises:
        UserError: a file is missing or is no YAML mapping.
    """

    def __init__(self, root: Path, folder: str = ".", scale: str | None = None) -> None:
        self.folder = Path(root) / folder
        self.params = load_yaml(self.folder / "params.yaml")
        self.grid = load_yaml(self.folder / "grid.yaml")
        self.paths = Paths(root=Path(root), scale=scale or str(self.block("scale")))

    def block(self, key: str) -> Any:
        """The value at a dotted key of params.yaml."""
        return _dig(self.params, key, "params.yaml")

    def cell(self, key: str) -> Cell:
        """One cell of grid.yaml."""
        cell = _validated(Cell, _dig(self.grid, f"cells.{key}", "grid.yaml"), f"grid.yaml: cells.{key}")
        _require_name(key, cell)
        return cell


def for_download(project: Project, benchmark: str) -> tuple[Data, int]:
    """The `data` block of a benchmark and the seed of its synthetic scenes: all that `download` and `shards` may read."""
    key = f"scales.{project.paths.scale}.data.{benchmark}"
    return _validated(Data, project.block(key), f"params.yaml: {key}"), _seed(project)


for_shards = for_download


def for_training(project: Project, key: str) -> Training:
    """Everything that decides a cell's training."""
    return resolve(project, project.cell(key))


def resolve(project: Project, cell: Cell) -> Training:
    """`for_training` of a cell that need not be in the grid."""
    where = f"scales.{project.paths.scale}.train.{cell.benchmark}"
    recipe = _validated(Train, project.block(where), f"params.yaml: {where}")
    options = _options(project, cell)
    if isinstance(options, Diffusion) and recipe.width % options.network.heads:
        raise UserError(
            f"params.yaml: {where}.width {recipe.width} is no multiple of diffusion.network.heads {options.network.heads}"
        )
    optim = _validated(Optim, project.block("optim"), "params.yaml: optim")
    return Training(cell=cell, recipe=recipe, options=options, optim=optim, seed=_seed(project) + cell.seed)


def for_report(project: Project) -> Grid:
    """The whole grid: what the tables must hold."""
    return _validated(Grid, project.grid, "grid.yaml")


def _options(project: Project, cell: Cell) -> Options:
    block = project.block(cell.tracks)
    if cell.tracks == "diffusion.network":
        block = {"steps": cell.steps, "network": block}
    if cell.family == "consistency":
        block = _on_benchmark(project, cell.benchmark)
    options = _validated(FAMILIES[cell.family], block, f"params.yaml: {cell.family}")
    assert isinstance(options, Options)
    return options


def _on_benchmark(project: Project, benchmark: str) -> dict[str, Any]:
    """The block `consistency` with the values of one benchmark in place of those of all."""
    where = f"consistency.benchmarks.{benchmark}"
    on = _validated(ConsistencyOnBenchmark, project.block(where), f"params.yaml: {where}")
    common = {key: value for key, value in project.block("consistency").items() if key != "benchmarks"}
    return {**common, "on": on}


def _seed(project: Project) -> int:
    seed = project.block("seed")
    if not isinstance(seed, int) or seed < 0:
        raise UserError(f"params.yaml: seed is {seed!r}, but must be a whole number from 0 up")
    return seed


def digest(*parts: Any) -> str:
    """SHA-256 of JSON-serialisable values (pydantic objects included): the identity of a training's inputs."""
    plain = [part.model_dump(mode="json") if isinstance(part, BaseModel) else part for part in parts]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> dotted key -> value."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds keys and values."""
    try:
        loaded = YAML(typ="safe").load(path)  # YAML 1.2, as DVC writes it: 1e-05 is a number
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run from a clone of the project, or name its folder with --project") from None
    except YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold keys and values, but holds {type(loaded).__name__}")
    return loaded


def _dig(tree: Any, key: str, where: str) -> Any:
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(tree, dict) or part not in tree:
            known = tree if isinstance(tree, dict) else {}
            raise UserError(f"{where}: no key '{'.'.join(parts[: depth + 1])}'; {nearest(part, known)}")
        tree = tree[part]
    return tree


AnyBlock = TypeVar("AnyBlock", bound=Block)


def _validated(kind: type[AnyBlock], value: Any, where: str) -> AnyBlock:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{where}{_explain(kind, error)}") from None


def _explain(kind: type[Block], error: ValidationError) -> str:
    """The first problem of a ValidationError in one line: the key, what is wrong, the nearest valid key."""
    problem = error.errors()[0]
    location = ".".join(str(part) for part in problem["loc"])
    key = f".{location}" if location else ""
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(str(problem['loc'][-1]), _fields_at(kind, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (got {problem['input']!r})" if location else f": {message}"


def _fields_at(kind: Any, location: tuple[Any, ...]) -> list[str]:
    for part in location:
        annotation = kind.model_fields[part].annotation if hasattr(kind, "model_fields") and part in kind.model_fields else None
        kind = annotation if hasattr(annotation, "model_fields") else kind
    return list(getattr(kind, "model_fields", {}))
