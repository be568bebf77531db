"""Losses of the estimates at several of the denoiser's steps (docs/methods.md, "step_intervals")."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dmtl.config import Condition, Diffusion, NetworkConfig, StepIntervals
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.models.diffusion.feature import FeatureDiffusion
from dmtl.models.diffusion.intervals import cheapest_intervals, step_positions
from dmtl.models.diffusion.network import DiffusionNetwork, Draw
from dmtl.models.diffusion.prediction import PredictionDiffusion
from dmtl.models.diffusion.schedule import signal_to_noise
from dmtl.models.shared.method import Maps

TERM = "step intervals"  # the name of what learned weights add to the losses


class StepLosses(DiffusionNetwork):
    """A diffusion network whose every estimate has a loss: one objective for each of k intervals of steps.

    An interval's objective is the mean loss of its steps' estimates. `equal` takes the mean of the k objectives; `uw` learns a
    log-variance s of each and takes the mean of exp(-s) L / 2, plus the sum of s / 2; `last` is the network without all this.
    """

    def __init__(self, network: NetworkConfig, condition: Condition) -> None:
        super().__init__(network, condition)
        self.step_options, steps = step_intervals_of(network), self.schedule.steps
        o = self.options
        positions = step_positions(self.step_options.cost, signal_to_noise(steps, o.schedule, o.beta_start, o.beta_end))
        self.intervals = cheapest_intervals(positions, min(self.step_options.intervals, steps))
        if self.step_options.weights == "uw":
            self.log_variances = nn.Parameter(torch.zeros(len(self.intervals)))

    def forward(self, batch: Batch) -> Maps:
        losses = super().forward(batch)
        return losses | {TERM: self.log_variances.sum() / 2} if self.step_options.weights == "uw" else losses

    def step_weights(self) -> Mapping[int, float | Tensor]:
        if self.step_options.weights == "last":
            return super().step_weights()
        count = len(self.intervals)
        factors: Any = torch.exp(-self.log_variances) / 2 if self.step_options.weights == "uw" else [1.0] * count
        spread = zip(factors, self.intervals, strict=True)
        return {step: factor / (count * (b - a + 1)) for factor, (a, b) in spread for step in range(a, b + 1)}

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The log-variances learn at a constant rate of their own, without weight decay, as ANT's."""
        if self.step_options.weights != "uw":
            return super().parameter_groups()
        others = [p for p in self.parameters() if p is not self.log_variances]
        own = {"params": [self.log_variances], "rate": lambda _: self.step_options.uw_rate, "weight_decay": 0.0}
        return [{"params": others}, own]

    def _advance(self, state: Maps, estimate: Maps, step: int, draw: Draw) -> Maps:
        following = super()._advance(state, estimate, step, draw)
        return {task: x.detach() for task, x in following.items()} if self.step_options.detach else following


class PredictionStepLosses(PredictionDiffusion, StepLosses):
    """Prediction Diffusion with them."""


class FeatureStepLosses(FeatureDiffusion, StepLosses):
    """Feature Diffusion with them."""


def step_intervals_of(network: NetworkConfig) -> StepIntervals:
    """The options `step_intervals` of a network.

    Raises:
        UserError: it has none.
    """
    options = network.options_as(Diffusion).network.step_intervals
    if options is None:
        raise UserError(f"method '{network.method}' needs the block diffusion.network.step_intervals in params.yaml")
    return options


def network_with_step_losses(network: NetworkConfig) -> StepLosses:
    """The diffusion network that `step_intervals.denoises` names, with losses at its steps."""
    if step_intervals_of(network).denoises == "features":
        return FeatureStepLosses(network)
    return PredictionStepLosses(network)
