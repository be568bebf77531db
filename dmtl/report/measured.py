"""What `dmtl hardware` measured, as the report and the command read it: reports/hardware/<device>.json."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from dmtl.config import Cell
from dmtl.config.records import read_hardware
from dmtl.report.columns import TRAIN_MEMORY
from dmtl.report.costs import CostReport, Costs, cost_report
from dmtl.report.table_cells import CostOf

CHOICES = ("eager", "compiled", "graphs")  # what a recipe's `compile` can choose: false, true, reduce-overhead
LEAST_GAIN = 1.03  # a choice that gains less is not worth its trouble


def folder_of(root: Path) -> Path:
    """Where the records of a project's devices lie."""
    return root / "reports" / "hardware"


def address(cell: Cell, precision: str, way: str) -> str:
    """The key of a measurement: seeds and pretrained weights change nothing."""
    return f"{cell.model_copy(update={'seed': 0, 'scratch': False}).name()}/{precision}/{way}"


@dataclass(frozen=True)
class Measured:
    """The record of one device.

    Attributes:
        content: `device`, `scale`, `peaks`, `loading`, `steps`, `images`, as `dmtl.hardware.record` writes them.
    """

    content: Mapping[str, Any]

    @property
    def device(self) -> str:
        return str(self.content["device"]["name"])

    @property
    def on_gpu(self) -> bool:
        return self.content["device"]["type"] == "cuda"

    def step(self, cell: Cell, precision: str, way: str) -> Mapping[str, Any] | None:
        """A measured training step; None where it was not measured or could not be."""
        entry = self.content["steps"].get(address(cell, precision, way))
        return None if entry is None or "failed" in entry else entry

    def choice(self, cell: Cell, precision: str) -> tuple[str, Mapping[str, Any]] | None:
        """The way of `CHOICES` that pays for a cell, and its step; None where none was measured."""
        steps = {way: step for way in CHOICES if (step := self.step(cell, precision, way))}
        if "eager" not in steps:
            return None
        best = min(steps, key=lambda way: milliseconds(steps[way]))
        pays = milliseconds(steps["eager"]) >= LEAST_GAIN * milliseconds(steps[best])
        return (best, steps[best]) if pays else ("eager", steps["eager"])

    def workers(self, benchmark: str) -> tuple[int, float] | None:
        """The fewest loading processes that give nearly the most images a second, and how many those are."""
        loading = self.content["loading"].get(benchmark)
        if not loading or "failed" in loading:
            return None
        rates = {int(workers): rate for workers, rate in loading.items()}
        enough = max(rates.values()) / LEAST_GAIN
        return next((workers, rate) for workers, rate in sorted(rates.items()) if rate >= enough)

    def memory_mb(self, cell: Cell, precision: str) -> float | None:
        """Most memory that a training took on a GPU, in MB; None for a CPU."""
        step = self.step(cell, precision, "eager") if self.on_gpu else None
        return None if step is None else step["memory_mb"]

    def hours(self, costs: Costs) -> Callable[[Cell], float]:
        """Cell -> hours of its training: measured steps, no faster than images are loaded.

        A cell that was not measured is taken to compute as many multiply-adds a second as the measured ones of its benchmark;
        NaN where there is none.
        """
        precisions = {cell.name(): costs.training(cell).recipe.precision for cell in costs.grid.cells.values()}

        def measured(cell: Cell) -> float | None:
            chosen = self.choice(cell, precisions[cell.name()])
            if chosen is None:
                return None
            step = chosen[1]
            loading = self.workers(cell.benchmark)
            least = 1000 * step["batch"] / loading[1] if loading else 0.0
            each = (max(least, ms) for ms in step["parts"].values())
            return sum(ms * steps for ms, (_, _, steps) in zip(each, costs.training_steps(cell), strict=True)) / 3.6e6

        known = {cell.name(): measured(cell) for cell in costs.grid.cells.values()}
        speeds: dict[str, list[float]] = {}
        for cell in costs.grid.cells.values():
            if hours := known[cell.name()]:
                speeds.setdefault(cell.benchmark, []).append(costs.hours(cell, 1.0) / hours)

        def hours_of(cell: Cell) -> float:
            own = known[cell.name()]
            if own is not None:
                return own
            work = costs.hours(cell, 1.0)
            return work / median(speeds[cell.benchmark]) if cell.benchmark in speeds else (math.nan if work else 0.0)

        return hours_of


def milliseconds(step: Mapping[str, Any]) -> float:
    """Of one step of each network of a method."""
    return sum(step["parts"].values())


def load_measured(root: Path) -> Measured | None:
    """The record at scale `paper` of the GPU, or else the CPU, of which most was measured; None where there is none.

    Raises:
        UserError: a record is damaged.
    """
    records = []
    for file in sorted(folder_of(root).glob("*.json")):
        content = read_hardware(file)
        if content["scale"] == "paper" and content["steps"]:
            records.append(Measured(content))
    return max(records, key=lambda record: (record.on_gpu, len(record.content["steps"])), default=None)


def with_memory(costs: Costs, measured: Measured | None) -> CostOf:
    """Counted figures of a cell, and the memory of its training where a GPU measured it."""

    def figures(cell: Cell) -> dict[str, float]:
        memory = measured.memory_mb(cell, costs.training(cell).recipe.precision) if measured else None
        return costs.figures(cell) | ({} if memory is None else {TRAIN_MEMORY.metric: memory})

    return figures


def report_of(costs: Costs, measured: Measured | None) -> CostReport:
    """The costs of the page: hours measured on a GPU, or else estimated."""
    if measured is None or not measured.on_gpu:
        return cost_report(costs)
    return cost_report(costs, measured.hours(costs), measured.device)
