"""Command lines: what every parser here does alike, numbers that know their range, model folders that know their neighbours."""

import argparse
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from dmtl.errors import in_one_line, nearest


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line on standard error, with the nearest option that there is."""

    def error(self, message: str) -> NoReturn:
        text = " ".join(message.split())
        unknown = text.partition("unrecognized arguments: ")[2].split()
        if unknown and unknown[0].startswith("--"):
            text += f"; {nearest(unknown[0], self._option_string_actions)}"
        print(f"error: {in_one_line(text[:400])} ('{self.prog} --help' lists what there is)", file=sys.stderr)
        raise SystemExit(2)

    def parse_args(self, args=None, namespace=None):  # type: ignore[no-untyped-def]
        """As argparse, but an option that no subcommand knows is told by the subcommand, whose options those are."""
        known, unknown = self.parse_known_args(args, namespace)
        if unknown:
            getattr(known, "parser", self).error(f"unrecognized arguments: {' '.join(unknown)}")
        return known


def whole(low: int, high: int) -> Callable[[str], int]:
    """An argument's type: a whole number from `low` to `high`."""

    def read(text: str) -> int:
        if not text.lstrip("+-").isdecimal() or len(text) > 20 or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text[:40]!r}: give a whole number from {low} to {high}")
        return int(text)

    return read


def number(low: float, high: float, above: bool = False) -> Callable[[str], float]:
    """An argument's type: a number from `low`, or above it, to `high`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not (low < value if above else low <= value) or not value <= high:
            start = f"above {low:g}" if above else f"from {low:g}"
            raise argparse.ArgumentTypeError(f"{text[:40]!r}: give a number {start} up to {high:g}")
        return value

    return read


def model_folder(text: str) -> Path:
    """An argument's type: the folder of a trained network; where there is none of this name, the nearest beside it are named."""
    folder = Path(text)
    beside = [] if folder.exists() else [file.parent for file in folder.parent.glob("*/model.json")]
    if beside:
        raise argparse.ArgumentTypeError(f"there is no folder {text[:200]!r}; {nearest(text, beside, most=3)}")
    return folder
