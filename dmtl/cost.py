"""Parameters and multiply-adds of each row of the tables at paper size, counted on shapes alone (models.md 0).

One multiply-add counts once; attention, norms and interpolation count as in fvcore, which the printed figures follow. Nothing is
pruned, and no weights, data or GPU are needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from dmtl.benchmarks.raw import benchmark_module
from dmtl.config import Cell, Project, for_download, for_report, resolve
from dmtl.errors import UserError
from dmtl.losses import upsample
from dmtl.models import build
from dmtl.models.shared.method import Method
from dmtl.report import published
from dmtl.report.costs import CostReport, NetworkCost
from dmtl.report.entries import METHODS
from dmtl.report.published import Row
from dmtl.report.results import row_of

TABLES = (1, 2, 3, 4, 5)
FIGURE_6 = "cityscapes-onelabel-diffusion_prediction"
STEPS = (1, 2, 3, 4, 5)
FORWARDS = 3  # a training step in forward passes: one forward, and a backward that costs two
LABELS: dict[
    str, tuple[int, dict[str, tuple[int, ...]]]
] = {  # XTC's published mappings: training images, and how many of them carry each task's label (datasets-and-metrics 3)
    "pascal": (4998, {"onelabel": (1000, 999, 1000, 1000, 999), "randomlabels": (2450, 847, 2445, 2480, 2557)}),
    "nyud": (795, {"onelabel": (265, 265, 265), "randomlabels": (392, 408, 385)}),
    "cityscapes": (2975, {"onelabel": (1487, 1488), "randomlabels": (1487, 1488)}),
}
REASONS = {  # why a row cannot print what the paper prints
    "single_task": "219.64 M is 219 only when cut off; no such network takes 817 G (718 with its digits exchanged?)",
    "diffusion_prediction": "the condition is the text's; the printed figure is that of the switch prediction.source: features",
    "no_diffusion": "as diffusion_prediction, whose network it is",
    "mti_net": "the authors' modules; what the printed figures add to them is not known",
    "invpt": "the authors' decoder; the 66 M that the paper prints beyond it take no multiply-adds",
    "xtc": "the mapping network as released; the paper's must have one more layer, which is not known",
}
THROUGHPUT = 2e13  # multiply-adds a second, which the report's hours stand on
ASSUMED = (
    "Assumed: a step costs three forward passes of all tasks; each image once an epoch; the epochs of params.yaml; no waiting.\n"
    "Not counted: evaluation, further views of an image, networks that only training has."
)

ATEN = torch.ops.aten
AN_OUTPUT = {ATEN.native_batch_norm: 2, ATEN.native_layer_norm: 5, ATEN.upsample_bilinear2d: 4}  # an element of the output
AN_INPUT = {ATEN._adaptive_avg_pool2d: 1}


@dataclass(frozen=True)
class Cost:
    """What a network holds and what one image takes.

    Attributes:
        parameters: all of them, used or not, as the paper counts.
        idle: module -> those of its parameters that are frozen and that no operation touches.
        training_only: the same of parameters that are trained.
        multiply_adds: of one forward pass in evaluation mode.
    """

    parameters: int
    idle: dict[str, int]
    training_only: dict[str, int]
    multiply_adds: int


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


class _Counter(TorchDispatchMode):
    """Adds up the multiply-adds of every operation, and notes which tensors are handed to one."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0
        self.touched: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = func.overloadpacket
        if kind is ATEN.upsample_bilinear2d:  # torch works out its shape by running it in small steps: half of all the time
            result = args[0].new_empty((*args[0].shape[:2], *args[1]))
        else:
            result = func(*args, **(kwargs or {}))
        self.touched |= {id(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if kind in flop_registry:  # convolutions and matrix products; torch counts a multiply-add twice
            self.multiply_adds += flop_registry[kind](*args, **(kwargs or {}), out_val=result) // 2
        elif kind in AN_OUTPUT:
            self.multiply_adds += AN_OUTPUT[kind] * tree_leaves(result)[0].numel()
        elif kind in AN_INPUT:
            self.multiply_adds += AN_INPUT[kind] * args[0].numel()
        return result


def cost_of(model: Method, size: tuple[int, int]) -> Cost:
    """Cost of one image's final predictions at its size; initial ones stay at the network's, for only their loss enlarges them.

    Args:
        model: on the meta device; it is put into evaluation mode.
        size: (height, width) of the image.
    """
    image, keys = torch.empty(1, 3, *size, device="meta"), torch.empty(1, dtype=torch.int64, device="meta")
    with _Counter() as counter, torch.no_grad():
        final, _ = model.eval().maps(image, 1.0, keys)
        for prediction in final.values():
            upsample(prediction, size)
    idle: dict[str, int] = {}
    training_only: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) not in counter.touched:
            group, module = training_only if parameter.requires_grad else idle, ".".join(name.split(".")[:2])
            group[module] = group.get(module, 0) + parameter.numel()
    return Cost(sum(p.numel() for p in model.parameters()), idle, training_only, counter.multiply_adds)


class Costs:
    """The costs of a project's cells, each network counted once.

    Args:
        project: at scale `paper`.
    """

    def __init__(self, project: Project) -> None:
        self.project = project
        self.grid = for_report(project)
        self._cache = cache(self._count)

    def lines(self) -> Iterator[tuple[Line, Cost]]:
        """The rows of Tables 1-5 that the grid has, each network of a table once."""
        for table in TABLES:
            cells: dict[tuple[str, str, str], Cell] = {}
            for cell in self.table(table):
                cells.setdefault((cell.benchmark, cell.method, cell.backbone), cell)
            for network, cell in cells.items():
                cost, printed = self.of(cell), published.figures(table, row_of(cell))
                ours = cost.parameters / 1e6, sum(cost.idle.values()) / 1e6, cost.multiply_adds / 1e9
                yield Line(table, *network, *ours, printed.get(("", "params_m")), printed.get(("", "flops_g"))), cost

    def table(self, table: int) -> Iterator[Cell]:
        """The cells of a table, in its order."""
        cells: dict[Row, Cell] = {row_of(cell): cell for cell in self.grid.cells.values() if cell.steps is None and not cell.seed}
        return (cells[row] for row in published.rows(table) if row in cells)

    def networks(self, throughput: float) -> Iterator[NetworkCost]:
        """Every network of the grid that is trained, in the tables' order, with the GPU-hours of its trainings together."""
        benchmarks, methods = list(self.grid.benchmarks), list(METHODS)

        def place(network: tuple[str, str, str]) -> tuple[int, str, int]:
            benchmark, backbone, method = network
            return benchmarks.index(benchmark), backbone, methods.index(method) if method in methods else len(methods)

        cells: dict[tuple[str, str, str], list[Cell]] = {}
        for cell in self.grid.cells.values():
            if cell.steps is None:
                cells.setdefault((cell.benchmark, row_of(cell).backbone, cell.method), []).append(cell)
        for network in sorted(cells, key=place):
            own, cost = cells[network], self.of(cells[network][0])
            if hours := sum(self.hours(cell, throughput) for cell in own):  # a constant takes none
                printed = [published.figures(table, row_of(cell)) for table in TABLES for cell in own]
                paper = {key: value for figures in printed for key, value in figures.items()}
                ours = cost.parameters / 1e6, sum(cost.idle.values()) / 1e6, cost.multiply_adds / 1e9
                theirs = paper.get(("", "params_m")), paper.get(("", "flops_g"))
                yield NetworkCost(*network, *ours, *theirs, len(own), hours)

    def totals(self, throughput: float) -> list[tuple[str, float, int]]:
        """GPU-hours and trainings of each table and of the whole grid, in which one that several tables show counts once."""
        hours = {cell: self.hours(cell, throughput) for cell in self.grid.cells.values()}
        tables = [(f"Table {table}", list(self.table(table))) for table in TABLES]
        return [(name, sum(map(hours.__getitem__, cells)), len(cells)) for name, cells in (*tables, ("whole grid", list(hours)))]

    def steps(self) -> list[float]:
        """Multiply-adds in G of Prediction Diffusion on Cityscapes with each number of `STEPS` (Fig. 6)."""
        cell = self.project.cell(FIGURE_6)
        pinned = [cell.model_copy(update={"steps": steps, "tracks": "diffusion.network"}) for steps in STEPS]
        return [self.of(one).multiply_adds / 1e9 for one in pinned]

    def of(self, cell: Cell) -> Cost:
        """The cost of a cell's network."""
        return self._counted(cell)[0]

    def figures(self, cell: Cell) -> dict[str, float]:
        """Parameters in M and multiply-adds in G, under the names that the tables use."""
        cost = self.of(cell)
        return {"params_m": cost.parameters / 1e6, "flops_g": cost.multiply_adds / 1e9}

    def hours(self, cell: Cell, throughput: float) -> float:
        """GPU-hours of a cell's training.

        Args:
            throughput: multiply-adds a second that the GPU sustains.
        """
        images, labels = LABELS[cell.benchmark]
        shown = dict(zip(benchmark_module(cell.benchmark).TASKS, labels.get(cell.setting, ()), strict=False))
        _, trained = self._counted(cell)
        epoch = sum(adds * (shown.get(tasks[0], images) if len(tasks) == 1 else images) for tasks, adds in trained)
        return FORWARDS * epoch * resolve(self.project, cell).recipe.epochs / throughput / 3600

    def _counted(self, cell: Cell) -> tuple[Cost, tuple[tuple[tuple[str, ...], int], ...]]:
        """The cost of a cell's network, and of what it trains one after the other the tasks and multiply-adds."""
        return self._cache(cell.model_copy(update={"setting": "full"}))  # the setting changes nothing here

    def _count(self, cell: Cell) -> tuple[Cost, tuple[tuple[tuple[str, ...], int], ...]]:
        network = resolve(self.project, cell).network(benchmark_module(cell.benchmark).TASKS)
        size = for_download(self.project, cell.benchmark)[0].size
        with torch.device("meta"):
            model = build(network)
        cost = cost_of(model, size)
        trained = [(one.tasks, cost if one is model else cost_of(one, size)) for _, one in model.trainings()]
        return cost, tuple((tasks, each.multiply_adds) for tasks, each in trained)


def as_text(costs: Costs) -> str:
    """The rows beside the printed figures, and a line of reason for each that differs."""
    text: list[str] = []
    table = 0
    for line, cost in costs.lines():
        if line.table != table:
            table = line.table
            text += [f"Table {table:<34} {'params M (paper)':>20} {'multiply-adds G (paper)':>26} {'idle M':>8}"]
        params, flops = _beside(line.params_m, line.paper_params_m), _beside(line.flops_g, line.paper_flops_g)
        idle = f"{line.idle_params_m:.3f}" if cost.idle else "-"
        text += [f"  {line.benchmark:<11}{line.method:<21}{line.backbone:<9}{params:>18} {flops:>26} {idle:>8}"]
    steps = ", ".join(f"{value:.2f}" for value in costs.steps())
    text += [f"Fig. 6, cityscapes, diffusion_prediction with {STEPS[0]} to {STEPS[-1]} steps: {steps} G"]
    text += ["Why rows differ from the paper, and what is counted but not used:"]
    return "\n".join([*text, *(f"  {reason}" for reason in reasons(costs))])


def reasons(costs: Costs) -> list[str]:
    """Why rows differ from the printed figures, and what is counted but not used, each once."""
    found: dict[str, None] = {}
    for line, cost in costs.lines():
        if _differs(line.params_m, line.paper_params_m) or _differs(line.flops_g, line.paper_flops_g):
            found[f"{line.method}: {REASONS.get(line.method, 'not the printed figures; no reason is known')}"] = None
        for group, what in ((cost.idle, "used by nothing"), (cost.training_only, "used in training alone")):
            names = ", ".join(f"{name} {count / 1e6:.3f}" for name, count in group.items())
            found |= {f"{line.method} on {line.benchmark}: counted, but {what} (M): {names}": None} if group else {}
    return list(found)


def cost_report(costs: Costs, throughput: float = THROUGHPUT) -> CostReport:
    """What the page shows of a grid's costs."""
    totals = costs.totals(throughput)
    return CostReport(list(costs.networks(throughput)), totals, throughput, ASSUMED, reasons(costs))


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
    return [vars(line) for line, _ in costs.lines()]


def _beside(ours: float, paper: float | None) -> str:
    return f"{ours:.3f}" + ("" if paper is None else f" ({paper:g})")


def _differs(ours: float, paper: float | None) -> bool:
    return paper is not None and round(ours) != paper
