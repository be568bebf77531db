"""The losses of an epoch, kept on the device: no step waits for them, and the first bad one is known all the same."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dmtl.training.fabric import Fabric

GRADIENT = "gradient"  # the name under which the norm of the gradient is watched; it is no loss


class EpochLosses:
    """Sums over the steps of an epoch, of all processes together.

    Args:
        tasks: whose losses there may be, whether a batch labels them or not; further names are taken up as they come.
        device: where the losses are.
        figures: the names among them that are no losses (`Method.figures`).
    """

    def __init__(self, tasks: tuple[str, ...], device: torch.device, figures: tuple[str, ...] = ()) -> None:
        self._figures = figures
        self._names = [*tasks, "total", GRADIENT]
        self._zero, self._one = torch.zeros((), device=device), torch.ones((), device=device)
        # rows: sums, steps in which there was such a loss, steps until its sum was not finite
        self._state = torch.zeros(3, len(self._names), dtype=torch.float64, device=device)

    def add(self, fabric: Fabric, step: Mapping[str, Tensor | None]) -> None:
        """Take up one step: name -> scalar of this process's share of the batch, `total` and the gradient's norm among them."""
        self._take_up([name for name in step if name not in self._names])
        given = {name: value.detach() for name, value in step.items() if value is not None}
        values = [given.get(name, self._zero) for name in self._names]
        present = [self._one if name in given else self._zero for name in self._names]
        row = fabric.all_reduce(torch.stack([*values, *present]).double(), reduce_op="mean")
        assert isinstance(row, Tensor)
        summands, counted = row.chunk(2)
        self._state[0] += summands
        self._state[1] += counted > 0
        self._state[2] += self._state[0].isfinite()

    def means(self, steps: int) -> dict[str, float]:
        """Name -> mean over the epoch's `steps` of each loss that was there; waits for the device."""
        sums, counts, _ = self._state.tolist()
        seen = zip(self._names, sums, counts, strict=True)
        hidden = {GRADIENT, *self._figures}
        return {name: total / steps for name, total, count in seen if name == "total" or (count and name not in hidden)}

    def figures(self) -> dict[str, float]:
        """Name -> mean of each figure over those of the epoch's steps that gave it; waits for the device."""
        sums, counts, _ = self._state.tolist()
        seen = zip(self._names, sums, counts, strict=True)
        return {name: total / count for name, total, count in seen if name in self._figures}

    def first_bad(self) -> tuple[str, int] | None:
        """Name and step, from 0, of the epoch's first loss or gradient that was not finite; waits for the device."""
        sums, _, finite = self._state.cpu()
        bad = [(int(finite[i]), i) for i in range(len(self._names)) if not sums[i].isfinite()]
        if not bad:
            return None
        step, i = min(bad)
        return self._names[i], step

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint must hold to go on."""
        return {"names": self._names, "state": self._state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`."""
        self._names, self._state = list(state["names"]), state["state"].to(self._state.device)

    def _take_up(self, names: list[str]) -> None:
        """Names that are no task, such as a method's own term; in each of several processes they come at the same step."""
        for name in names:
            self._names.insert(-2, name)
            column = self._state[:, -1:].clone()
            column[:2] = 0
            self._state = torch.cat([self._state[:, :-2], column, self._state[:, -2:]], dim=1)
