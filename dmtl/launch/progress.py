"""One display for all cells: a bar on a terminal (what runs, what is done, time left), a line for each that ends anywhere."""

import time
from collections.abc import Sequence
from types import TracebackType

from tqdm import tqdm

from dmtl.launch.stale import Work
from dmtl.launch.timings import Timings

DONE = {"train": "trained", "evaluate": "evaluated"}
SHOWN = 2  # cells under way that the bar names


class Progress:
    """How far a launch is.

    Args:
        works: what is to be done.
        timings: how long it will take, and what it took.
    """

    def __init__(self, works: Sequence[Work], timings: Timings) -> None:
        self._left = {(stage, work.cell) for work in works for stage in work.stages}
        self._last = {work.cell: work.stages[-1] for work in works}
        self._timings = timings
        self._running: dict[str, tuple[str, float]] = {}  # cell -> stage, since when
        self._took: dict[str, list[str]] = {}
        self._most = 1  # cells at a time
        self._count = 0
        self._bar = tqdm(total=len(works), disable=None, bar_format="{n}/{total} cells |{bar}| {elapsed}{postfix}")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()

    def started(self, stage: str, cell: str) -> None:
        """A stage runs."""
        self._running[cell] = stage, time.monotonic()
        self._most = max(self._most, len(self._running))

    def ended(self, stage: str, cell: str, seconds: float) -> None:
        """A stage ended well; its cell is told of when it is done."""
        self._timings.note(stage, cell, seconds)
        self._left.discard((stage, cell))
        self._running.pop(cell, None)
        self._took.setdefault(cell, []).append(f"{DONE[stage]} in {_duration(seconds)}")
        if stage == self._last[cell]:
            self._done(cell, ", ".join(self._took[cell]))

    def failed(self, cell: str, problem: str) -> None:
        """Nothing more is done for a cell."""
        self._left = {(stage, other) for stage, other in self._left if other != cell}
        self._running.pop(cell, None)
        self._done(cell, problem)

    def say(self, line: str) -> None:
        """A line above the bar."""
        tqdm.write(line)

    def refresh(self) -> None:
        """Show what runs and how long all will take still."""
        names = [f"{stage} {cell}" for cell, (stage, _) in self._running.items()]
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        self._bar.set_postfix_str("; ".join(filter(None, [self.left(), ", ".join(names[:SHOWN]) + more])))

    def left(self) -> str:
        """The time left, in words; nothing as long as nothing was ever measured."""
        if not self._left or not self._timings.measured:
            return ""
        now = time.monotonic()
        rest = {key: self._timings.seconds(*key) for key in self._left}
        for cell, (stage, since) in self._running.items():
            if (stage, cell) in rest:
                rest[stage, cell] = max(0.0, rest[stage, cell] - (now - since))
        seconds = max(max(rest.values()), sum(rest.values()) / self._most)
        return f"about {_duration(seconds)} left"

    def _done(self, cell: str, what: str) -> None:
        self._count += 1
        self._bar.update()
        left = self.left() if self._bar.disable else ""
        self.say(f"[{self._count}/{len(self._last)}] {cell}: {what}{f' ({left})' if left else ''}")


def _duration(seconds: float) -> str:
    """Such as 7 s, 12 min, 3.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
