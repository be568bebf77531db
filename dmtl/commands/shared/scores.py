"""The scores of an evaluation, as `evaluate` and `scores` print them."""

import argparse
import json
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
    if arguments.per_image:
        images.save(arguments.per_image)
    result = images.result()
    print(json.dumps(result, indent=1) if arguments.json else _table(result["metrics"], images.measures()))


def _table(metrics: dict[str, Any], measures: dict[tuple[str, str], tuple[str, bool]]) -> str:
    lines = [f"{'task':<12} {'metric':<14} {'unit':<12} {'final':>10} {'initial':>10}"]
    for task, scores in metrics["final"].items():
        for name, value in scores.items():
            initial = f"{metrics['initial'][task][name]:.4f}" if metrics["initial"] else "-"
            lines.append(f"{task:<12} {name:<14} {unit_and_arrow(*measures[task, name]):<12} {value:>10.4f} {initial:>10}")
    return "\n".join(lines)


def headline(images: "PerImage") -> str:
    """The headline metric of each task, in one line."""
    final, measures = images.scores()["final"] or {}, images.measures()
    firsts = {task: next(iter(values.items())) for task, values in final.items()}
    return ", ".join(
        f"{task} {name} {value:.4g} {unit_and_arrow(*measures[task, name])}" for task, (name, value) in firsts.items()
    )
