"""What was measured, as a terminal shows it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dmtl.config import Cell
from dmtl.report.costs import Costs
from dmtl.report.measured import LEAST_GAIN, Measured, address, milliseconds

HEAD = ("network", "precision", "way", "step ms", "of it outside", "images/s", "MB", "of peak", "image ms", "MB", "of peak")
ROW = "{:<46} {:>10} {:>8} {:>9} {:>13} {:>9} {:>7} {:>7} {:>9} {:>7} {:>7}"


def as_text(measured: Measured, costs: Costs, cells: Sequence[Cell]) -> str:
    """The table of networks, what loading gives, what pays, and the hours of each table."""
    peaks = ", ".join(f"{peak:.3g} TFLOP/s in {precision}" for precision, peak in measured.content["peaks"].items())
    lines = [f"{measured.device}: {peaks}", ROW.format(*HEAD)]
    lines += [line for cell in cells for line in _rows(measured, costs, cell)]
    lines += _failures(measured)
    lines += [line for name in costs.grid.benchmarks for line in _loading(measured, name)]
    lines += _choices(measured, costs, cells)
    return "\n".join([*lines, *_hours(measured, costs)])


def _rows(measured: Measured, costs: Costs, cell: Cell) -> Iterator[str]:
    predicted = cell.model_copy(update={"setting": "full"})
    for precision in measured.content["peaks"]:
        for way in ("eager", "layout", "compiled", "graphs"):
            step, image = measured.step(cell, precision, way), measured.content["images"].get(address(predicted, precision, way))
            image = None if image is None or "failed" in image else image
            if step:
                peak = measured.content["peaks"][precision]
                eager = measured.step(cell, precision, "eager")
                tflop = eager["tflop"] if eager else math.nan
                macs = costs.of(cell).multiply_adds
                yield ROW.format(cell.name(), precision, way, *_step(step, tflop, peak), *_image(image, macs, peak))


def _step(step: Mapping[str, Any] | None, tflop: float, peak: float) -> tuple[str, ...]:
    if step is None:
        return ("-",) * 5
    ms = milliseconds(step)
    rate = 1000 * step["batch"] * len(step["parts"]) / ms
    return f"{ms:.1f}", f"{step['outside_ms']:.1f}", f"{rate:.1f}", _megabytes(step), f"{1000 * tflop / ms / peak:.0%}"


def _image(image: Mapping[str, Any] | None, multiply_adds: float, peak: float) -> tuple[str, ...]:
    if image is None:
        return ("-",) * 3
    return f"{image['ms']:.1f}", _megabytes(image), f"{2e-9 * multiply_adds / image['ms'] / peak:.0%}"


def _megabytes(entry: Mapping[str, Any]) -> str:
    return "-" if entry["memory_mb"] is None else f"{entry['memory_mb']:.0f}"


def _failures(measured: Measured) -> Iterator[str]:
    for part in ("loading", "steps", "images"):
        for key, entry in measured.content[part].items():
            if "failed" in entry:
                yield f"failed: {key} ({part}): {entry['failed']}"


def _loading(measured: Measured, name: str) -> Iterator[str]:
    rates = measured.content["loading"].get(name, {})
    if rates and "failed" not in rates:
        each = ", ".join(f"{rate:.0f} with {workers}" for workers, rate in rates.items())
        yield f"loading, {name}: images a second by loading processes: {each}"


def _choices(measured: Measured, costs: Costs, cells: Sequence[Cell]) -> Iterator[str]:
    """What is to be set in params.yaml on this device, and whether another layout would pay."""
    for name in costs.grid.benchmarks:
        where = f"scales.{costs.project.paths.scale}.train.{name}"
        if workers := measured.workers(name):
            yield f"pays: {where}.workers={workers[0]}"
        own = {cell: costs.training(cell).recipe.precision for cell in cells if cell.benchmark == name}
        gains = _gains(measured, own)
        for way, value in (("compiled", "true"), ("graphs", "reduce-overhead")):
            if gain := gains.get(way):
                says = "pays" if gain >= LEAST_GAIN else "does not pay"
                yield f"{says}: {where}.compile={value} ({gain:.2f} times as fast, geometric mean of what was measured)"
        if gain := gains.get("layout"):
            says = "would pay" if gain >= LEAST_GAIN else "would not pay"
            yield f"{says} on {name}: the other memory layout than a training has ({gain:.2f} times as fast)"


def _gains(measured: Measured, own: Mapping[Cell, str]) -> dict[str, float]:
    """Way -> how many times as fast as eager, a geometric mean over the cells that have both."""
    gains: dict[str, list[float]] = {}
    for cell, precision in own.items():
        eager = measured.step(cell, precision, "eager")
        for way in ("compiled", "graphs", "layout"):
            if eager and (step := measured.step(cell, precision, way)):
                gains.setdefault(way, []).append(math.log(milliseconds(eager) / milliseconds(step)))
    return {way: math.exp(sum(logs) / len(logs)) for way, logs in gains.items()}


def _hours(measured: Measured, costs: Costs) -> Iterator[str]:
    yield f"Hours of each table on {measured.device} (the grid counts each training once)"
    for name, hours, count in costs.totals(measured.hours(costs)):
        known = "not measured" if math.isnan(hours) else f"{hours:.1f}"
        yield f"  {name + ':':<12}{known:>12}   ({count} trainings)"
