"""The scores of an evaluation, as `evaluate` and `scores` print them."""

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dmtl.metrics.metric import unit_and_arrow

if TYPE_CHECKING:
    from dmtl.metrics.per_image import PerImage


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How the scores are printed, and whether the statistics behind them are kept."""
    parser.add_argument("--json", action="store_true", help="print the result file's content instead of a table")
    parser.add_argument("--per-image", type=Path, metavar="FILE", help="also write each image's statistics, for 'scores'")


def print_scores(images: "PerImage", arguments: argparse.Namespace) -> None:
    """Print the scores of all `images`, and write their statistics where the user asks for them."""
    warn_of_unscored(images)
    if arguments.per_image:
        images.save(arguments.per_image)
    result = images.result()
    print(json.dumps(result, indent=1) if arguments.json else _table(result["metrics"], images.measures()))


def headline(images: "PerImage") -> str:
    """The headline metric of each task that has a score, in one line."""
    measures = images.measures()
    firsts = {task: next(name for of, name in measures if of == task) for task in images.outputs}
    told = images.headline().items()
    return ", ".join(f"{task} {firsts[task]} {value:.4g} {unit_and_arrow(*measures[task, firsts[task]])}" for task, value in told)


def warn_of_unscored(images: "PerImage") -> None:
    """Say on standard error which tasks have no score, and why."""
    if tasks := images.unscored():
        why = "no test image has a valid label of them: check how the labels were converted"
        print(f"warning: {images.about.get('cell') or 'this model'} has no score of {', '.join(tasks)}: {why}", file=sys.stderr)


def _table(metrics: dict[str, Any], measures: dict[tuple[str, str], tuple[str, bool]]) -> str:
    lines = [f"{'task':<12} {'metric':<14} {'unit':<12} {'final':>10} {'initial':>10}"]
    for task, scores in metrics["final"].items():
        for name, value in scores.items():
            initial = metrics["initial"][task][name] if metrics["initial"] else None
            unit = unit_and_arrow(*measures[task, name])
            lines.append(f"{task:<12} {name:<14} {unit:<12} {_number(value):>10} {_number(initial):>10}")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
