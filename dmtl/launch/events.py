"""What runners tell the launch, and how a launch is told to stop."""

import signal
from dataclasses import dataclass
from types import FrameType, TracebackType
from typing import Any


@dataclass(frozen=True)
class Event:
    """A stage of a cell has started, or ended.

    Attributes:
        stage: its name.
        cell: of the grid.
        status: its exit status; None: it has started.
        line: why it failed; empty if it did not.
        seconds: that it took.
    """

    stage: str
    cell: str
    status: int | None = None
    line: str = ""
    seconds: float = 0.0


class Stop:
    """SIGTERM and Ctrl-C ask for an end, within which trainings save their state; a second one asks for an end at once."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self.impatient = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "Stop":
        for number in (signal.SIGTERM, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.impatient = self.requested is not None
        self.requested = number
