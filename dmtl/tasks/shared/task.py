"""A task: a name, a kind, and what a benchmark says of it."""

from dataclasses import dataclass

from dmtl.tasks.shared.kind import Kind


@dataclass(frozen=True)
class Task:
    """One dense prediction task of a benchmark.

    Attributes:
        name: such as it stands in shards, results and tables.
        kind: how its labels are treated.
        channels: of a network's output.
        title: for people.
        classes: the names of an indexed task, in the order of their numbers.
        colours: theirs, `rrggbb` each, apart by spaces; VOC's where there are none.
        high, largest_error: the largest value and the largest error that pictures tell apart.
        unit: of the values.
    """

    name: str
    kind: Kind
    channels: int
    title: str
    classes: tuple[str, ...] = ()
    colours: str = ""
    high: float = 1.0
    largest_error: float = 1.0
    unit: str = ""

    @property
    def heading(self) -> str:
        """Task, metric, unit and the direction of better."""
        kind = self.kind
        unit = "" if kind.unit == "as stored" else f" {kind.unit}"
        return f"{self.title}: {kind.metric_title}{unit} {'↓' if kind.lower_is_better else '↑'}"
