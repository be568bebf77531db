"""Two trainings inside a cell: a network is trained, then frozen, and a second one is trained that looks at it."""

from collections.abc import Iterator
from typing import Any

from dmtl.models.shared.method import Method


class TwoStage(Method):
    """What is trained second, holding as `first` what was trained before it. Each has the whole recipe, so the cell costs twice.

    Derive from this and from the second network's class, in that order, and set `first` in `__init__`. While the second is
    trained, the first stays in evaluation mode and to the bit as it was; its user calls it without gradients.
    """

    first: Method
    stages = ("first", "second")  # names of the two in history.json

    def trainings(self) -> Iterator[tuple[str, Method]]:
        yield self.stages[0], self.first
        yield self.stages[1], self

    def train(self, mode: bool = True) -> "TwoStage":
        super().train(mode)
        if hasattr(self, "first"):  # a trained network may have gone without it (`training_only`)
            self.first.eval()
        return self

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All but the first network's."""
        frozen = set(self.first.parameters())
        return [{"params": [parameter for parameter in self.parameters() if parameter not in frozen]}]
