"""What the networks of a grid cost at the paper's size, beside what the paper prints; `dmtl.report.flops` counts a network."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from dmtl.benchmarks import benchmark
from dmtl.config import Cell, Plain, Project, TrainingConfig, for_download, for_report, resolve
from dmtl.config.blocks import validated
from dmtl.config.recipe import Recipe
from dmtl.errors import UserError
from dmtl.report import published
from dmtl.report.columns import FLOPS, PARAMS, Key
from dmtl.report.results import row_of
from dmtl.report.table_cells import BEYOND, TABLES, planned_cells, table_rows
from dmtl.tasks import describe_kinds

if TYPE_CHECKING:
    from dmtl.report.flops import Cost

STEPS = (1, 2, 3, 4, 5)  # of Fig. 6
FORWARDS = 3  # a training step in forward passes: one forward, and a backward that costs two
REASONS = {  # method -> why its rows cannot print what the paper prints
    "single_task": "219.64 M is 219 only when cut off; no such network takes 817 G (718 with its digits exchanged?)",
    "diffusion_prediction": "the condition is the text's; the printed figure is that of the switch prediction.source: features",
    "no_diffusion": "as diffusion_prediction, whose network it is",
    "mti_net": "the authors' modules; what the printed figures add to them is not known",
    "invpt": "the authors' decoder; the 66 M that the paper prints beyond it take no multiply-adds",
    "xtc": "the mapping network as released; the paper's must have one more layer, which is not known",
}
Told = Mapping[str, Mapping[str, Any]]  # cell -> a part of the configuration that it was trained with
Speed = float | Callable[[Cell], float]  # multiply-adds a second, or a cell's hours
THROUGHPUT = 2e13  # multiply-adds a second, which the report's hours stand on
ASSUMED = (
    "Assumed: a step costs three forward passes of all tasks; each image once an epoch; the epochs of params.yaml; no waiting.\n"
    "Not counted: evaluation, further views of an image, networks that only training has."
)
MEASURED = (
    "Measured: a step of each network at random data, not faster than images are loaded; one that was not measured is taken "
    "to compute as fast as the others of its benchmark.\nNot counted: evaluation."
)


@dataclass(frozen=True)
class Line:
    """One row of a table; the fields are the keys of `python -m dmtl cost --json`."""

    table: int
    benchmark: str
    method: str
    backbone: str
    params_m: float
    idle_params_m: float
    flops_g: float
    paper_params_m: float | None
    paper_flops_g: float | None


@dataclass(frozen=True)
class NetworkCost:
    """One network of the grid at the paper's size, with the GPU-hours of all its trainings; `paper_*` where it is printed."""

    benchmark: str
    backbone: str
    method: str
    params_m: float
    idle_params_m: float
    flops_g: float
    paper_params_m: float | None
    paper_flops_g: float | None
    trainings: int
    hours: float


@dataclass(frozen=True)
class CostReport:
    """The costs of a grid.

    Attributes:
        totals: of each table and of the whole grid its name, GPU-hours and trainings.
        throughput: multiply-adds a second that a GPU is taken to sustain.
        device: on which the hours were measured instead; empty where none was.
        assumed: what the hours stand on.
        reasons: why networks differ from the printed figures, and what is counted but not used.
    """

    networks: Sequence[NetworkCost]
    totals: Sequence[tuple[str, float, int]]
    throughput: float
    assumed: str
    reasons: Sequence[str]
    device: str = ""


@dataclass(frozen=True)
class Counted:
    """A cell's network: its cost, and of each part that is trained by itself the tasks and multiply-adds."""

    cost: "Cost"
    trained: tuple[tuple[tuple[str, ...], int], ...]


class Costs:
    """The costs of a project's cells, each network counted once.

    Args:
        project: at scale `paper`.
        trained: cell -> the options of its family that it was trained with, where they are known: those are counted, not
            what params.yaml has now. What a scale says of single-task networks' images stays the scale's.
        recipes: cell -> the recipe of its training, where `project` is at the scale of that training: its width is counted.
    """

    def __init__(self, project: Project, trained: Told | None = None, recipes: Told | None = None) -> None:
        self.project = project
        self.trained, self.recipes = trained or {}, recipes or {}
        self.grid = for_report(project)
        self._cache = cache(self._count)

    def lines(self) -> Iterator[tuple[Line, "Cost"]]:
        """The printed rows of Tables 1-5 that the grid has, and ours beyond the paper, each network of a table once."""
        for table in TABLES:
            cells: dict[tuple[str, str, str], Cell] = {}
            for cell in self.table(table):
                cells.setdefault((cell.benchmark, cell.method, cell.backbone), cell)
            for network, cell in cells.items():
                cost, printed = self.of(cell), published.figures(table, row_of(cell))
                yield Line(table, *network, *_ours(cost), *_theirs(printed)), cost

    def beyond(self) -> Iterator[tuple[Cell, "Cost"]]:
        """A cell of every network that is trained and that no table has, and its cost."""
        shown = {(line.benchmark, line.method, line.backbone) for line, _ in self.lines()}
        for cell in self.grid.cells.values():
            network = (cell.benchmark, cell.method, row_of(cell).backbone)
            if network not in shown and cell.steps is None and self._counted(cell).trained:
                shown.add(network)
                yield cell, self.of(cell)

    def table(self, table: int) -> Iterator[Cell]:
        """The cells of a table that are trained, in its order."""
        cells = {row: cell for row, cell in planned_cells(table, self.grid).items() if row.method != "constant"}
        rows = table_rows(table, self.grid) if table == BEYOND else published.rows(table)
        return (cells[row] for row in rows if row in cells)

    def networks(self, speed: Speed) -> Iterator[NetworkCost]:
        """Every network of the grid that is trained, in the tables' order, with the GPU-hours of its trainings together."""
        cells: dict[tuple[str, str, str], list[Cell]] = {}
        unpinned = {cell.method for cell in self.grid.cells.values() if cell.steps is None}
        for cell in self.grid.cells.values():
            if cell.steps is None or cell.method not in unpinned:
                cells.setdefault((cell.benchmark, row_of(cell).backbone, cell.method), []).append(cell)
        benchmarks, methods = list(self.grid.benchmarks), self.grid.method_order(method for *_, method in cells)

        def place(network: tuple[str, str, str]) -> tuple[int, str, int]:
            name, backbone, method = network
            return benchmarks.index(name), backbone, methods.index(method)

        for network in sorted(cells, key=place):
            same = cells[network]
            if hours := sum(self.hours(cell, speed) for cell in same):  # a constant takes none
                printed: dict[Key, float] = {}
                for table in TABLES:
                    for cell in same:
                        printed |= published.figures(table, row_of(cell))
                yield NetworkCost(*network, *_ours(self.of(same[0])), *_theirs(printed), len(same), hours)

    def totals(self, speed: Speed) -> list[tuple[str, float, int]]:
        """GPU-hours and trainings of each table and of the whole grid, in which one that several tables show counts once."""
        hours = {cell: self.hours(cell, speed) for cell in self.grid.cells.values()}
        tables = [(f"Table {table}", list(self.table(table))) for table in TABLES]
        return [(name, sum(map(hours.__getitem__, cells)), len(cells)) for name, cells in (*tables, ("whole grid", list(hours)))]

    def pinned(self) -> Cell | None:
        """The first cell that pins its diffusion steps, whose network Fig. 6 is of; None where none does."""
        return next((cell for cell in self.grid.cells.values() if cell.steps is not None), None)

    def steps(self) -> list[float]:
        """Multiply-adds in G of `pinned` with each number of `STEPS` (Fig. 6); empty where there is none."""
        cell = self.pinned()
        each = [cell.model_copy(update={"steps": steps}) for steps in STEPS] if cell else []
        return [self.of(one).multiply_adds / 1e9 for one in each]

    def of(self, cell: Cell) -> "Cost":
        """The cost of a cell's network."""
        return self._counted(cell).cost

    def figures(self, cell: Cell) -> dict[str, float]:
        """Parameters in M and multiply-adds in G, under the names that the tables use."""
        params, _, flops = _ours(self.of(cell))
        return {PARAMS.metric: params, FLOPS.metric: flops}

    def hours(self, cell: Cell, speed: Speed) -> float:
        """GPU-hours of a cell's training; NaN where it is not known how many images there are.

        Args:
            speed: multiply-adds a second that the GPU sustains, or the hours of each cell where they were measured.
        """
        if callable(speed):
            return speed(cell)
        batch = self.training(cell).recipe.batch
        return sum(adds * FORWARDS * batch * steps for _, adds, steps in self.training_steps(cell)) / speed / 3600

    def training_steps(self, cell: Cell) -> list[tuple[tuple[str, ...], int, float]]:
        """Of each network that a cell trains, one after the other: its tasks, the multiply-adds of an image, and its steps.

        A batch without any label, of which there is the forward pass alone, counts as a third of a step.
        """
        data, training = benchmark(cell.benchmark), self.training(cell)
        images = data.images.get("train") or for_download(self.project, cell.benchmark)[0].train or math.nan
        labels = data.masks.labels.get(cell.setting, ()) if data.masks else ()
        labelled = dict(zip(data.outputs, labels, strict=False))

        def passes(tasks: tuple[str, ...]) -> float:
            """Forward passes of an epoch."""
            shown = labelled.get(tasks[0], images) if len(tasks) == 1 else images
            if not isinstance(training.options, Plain) or training.options.single_task_images == "labelled" or shown == images:
                return FORWARDS * shown
            without = _share_of_batches_without(int(images), int(shown), training.recipe.batch)
            return images * (FORWARDS * (1 - without) + without)

        steps_a_pass = training.recipe.epochs / (FORWARDS * training.recipe.batch)
        return [(tasks, adds, passes(tasks) * steps_a_pass) for tasks, adds in self._counted(cell).trained]

    def training(self, cell: Cell) -> TrainingConfig:
        """The training with the options, and where it was at this scale the recipe, that it had."""
        today = resolve(self.project, cell)
        trained = {key: value for key, value in self.trained.get(cell.name(), {}).items() if key != "single_task_images"}
        try:
            options = validated(type(today.options), today.options.model_dump(mode="json") | trained, cell.name())
            recipe = validated(Recipe, self.recipes.get(cell.name(), today.recipe.model_dump(mode="json")), cell.name())
        except UserError:  # options of another version of the code; the row is marked as trained with others
            return today
        return today.model_copy(update={"options": options, "recipe": recipe})

    def _counted(self, cell: Cell) -> Counted:
        same = cell.model_copy(update={"setting": "full", "seed": 0})  # neither changes anything here
        training = self.training(cell)
        return self._cache(same, training.options.model_dump_json(), training.recipe.width)

    def _count(self, cell: Cell, options_json: str, width: int) -> Counted:
        from dmtl.models import hollow
        from dmtl.report.flops import cost_of

        data = benchmark(cell.benchmark)
        today = resolve(self.project, cell)
        options, recipe = type(today.options).model_validate_json(options_json), today.recipe.model_copy(update={"width": width})
        training = today.model_copy(update={"options": options, "recipe": recipe})
        kinds = describe_kinds({task.name: task.kind for task in data.tasks})
        size = for_download(self.project, cell.benchmark)[0].size
        model = hollow(training.network(data.outputs, kinds))
        cost = cost_of(model, size)
        parts = [(one.tasks, cost if one is model else cost_of(one, size)) for _, one in model.trainings()]
        return Counted(cost, tuple((tasks, part.multiply_adds) for tasks, part in parts))


def as_text(costs: Costs) -> str:
    """The rows beside the printed figures, and a line of reason for each that differs."""
    text: list[str] = []
    table = 0
    for line, cost in costs.lines():
        if line.table != table:
            table = line.table
            text += [f"Table {table:<34} {'params M (paper)':>20} {'multiply-adds G (paper)':>26} {'idle M':>8}"]
        params, flops = _beside(line.params_m, line.paper_params_m), _beside(line.flops_g, line.paper_flops_g)
        text += [_row(line.benchmark, line.method, line.backbone, params, flops, cost)]
    beyond = list(costs.beyond())
    text += ["In no table"] if beyond else []
    for cell, cost in beyond:
        params, _, flops = (f"{value:.3f}" for value in _ours(cost))
        text += [_row(cell.benchmark, cell.method, row_of(cell).backbone, params, flops, cost)]
    if pinned := costs.pinned():
        steps = ", ".join(f"{value:.2f}" for value in costs.steps())
        text += [f"Fig. 6, {pinned.benchmark}, {pinned.method} with {STEPS[0]} to {STEPS[-1]} steps: {steps} G"]
    text += ["Why rows differ from the paper, and what is counted but not used:"]
    return "\n".join([*text, *(f"  {reason}" for reason in reasons(costs))])


def reasons(costs: Costs) -> list[str]:
    """Why rows differ from the printed figures, and what is counted but not used, each once."""
    lines: dict[str, None] = {}
    for line, cost in costs.lines():
        if _differs(line.params_m, line.paper_params_m) or _differs(line.flops_g, line.paper_flops_g):
            lines[f"{line.method}: {REASONS.get(line.method, 'not the printed figures; no reason is known')}"] = None
        lines |= dict.fromkeys(_unused(f"{line.method} on {line.benchmark}", cost))
    for cell, cost in costs.beyond():
        lines |= dict.fromkeys(_unused(f"{cell.method} on {cell.benchmark}", cost))
    return list(lines)


def _unused(network: str, cost: "Cost") -> Iterator[str]:
    """What is counted of a network but not used where it predicts."""
    for group, what in ((cost.idle, "used by nothing"), (cost.training_only, "used in training alone")):
        names = ", ".join(f"{name} {count / 1e6:.3f}" for name, count in group.items())
        if group:
            yield f"{network}: counted, but {what} (M): {names}"


def cost_report(costs: Costs, speed: Speed = THROUGHPUT, device: str = "") -> CostReport:
    """What the page shows of a grid's costs; `device` is the one on which the hours were measured, if any."""
    totals, throughput = costs.totals(speed), THROUGHPUT if callable(speed) else speed
    assumed = MEASURED if device else ASSUMED
    return CostReport(list(costs.networks(speed)), totals, throughput, assumed, reasons(costs), device)


def hours_as_text(costs: Costs, throughput: float) -> str:
    """Estimated GPU-hours of each table, and of the whole grid, in which a training that several tables show counts once.

    Raises:
        UserError: the throughput is not positive.
    """
    if not throughput > 0:
        raise UserError(f"--throughput is {throughput:g}, but must be a positive number of multiply-adds a second, such as 2e13")
    lines = [f"GPU-hours at {throughput:g} multiply-adds a second (the grid counts each training once)"]
    lines += [f"  {name + ':':<12}{hours:9.1f}   ({count} trainings)" for name, hours, count in costs.totals(throughput)]
    return "\n".join([*lines, ASSUMED])


def as_records(costs: Costs) -> list[dict[str, Any]]:
    """What `--json` prints, unrounded."""
    return [asdict(line) for line, _ in costs.lines()]


def _share_of_batches_without(images: int, labelled: int, batch: int) -> float:
    """The share of batches in which no image is labelled: such a batch takes one forward pass and no step."""
    return math.comb(images - labelled, batch) / math.comb(images, batch)


def _ours(cost: "Cost") -> tuple[float, float, float]:
    """Parameters and idle ones in M, multiply-adds in G."""
    return cost.parameters / 1e6, sum(cost.idle.values()) / 1e6, cost.multiply_adds / 1e9


def _theirs(printed: dict[Key, float]) -> tuple[float | None, float | None]:
    """The paper's parameters and multiply-adds, where it prints them."""
    return printed.get(PARAMS.key), printed.get(FLOPS.key)


def _row(benchmark: str, method: str, backbone: str, params: str, flops: str, cost: "Cost") -> str:
    idle = f"{sum(cost.idle.values()) / 1e6:.3f}" if cost.idle else "-"
    return f"  {benchmark:<11}{method:<21}{backbone:<9}{params:>18} {flops:>26} {idle:>8}"


def _beside(ours: float, paper: float | None) -> str:
    return f"{ours:.3f}" + ("" if paper is None else f" ({paper:g})")


def _differs(ours: float, paper: float | None) -> bool:
    return paper is not None and round(ours) != paper
