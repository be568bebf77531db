"""DiffusionMTL: first predictions, then joint denoising of all tasks (the paper's Section 3, models.md 1)."""

from abc import abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor

from dmtl.config import Condition as ConditionOptions
from dmtl.config import Network
from dmtl.data.batch import Batch
from dmtl.losses import upsampled_loss
from dmtl.models.diffusion.condition import Condition
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.diffusion.schedule import Schedule, make_schedule
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method
from dmtl.models.shared.trunk import Trunk

Draw = Callable[[str, int, tuple[int, ...]], Tensor]  # (task, step, (C, h, w)) -> noise of the task's pairs


class DiffusionNetwork(Method):
    """Trunk and decoders, whose maps are noised and denoised in the space that a subclass chooses (Sections 3.1 and 3.2).

    Args:
        network: what to build.
        condition: how the condition feature is made.
    """

    denoiser_type = Denoiser

    def __init__(self, network: Network, condition: ConditionOptions) -> None:
        super().__init__(network.outputs)
        options = network.diffusion()
        self.options = options.network
        self.width = network.width
        self.schedule: Schedule = make_schedule(
            options.steps, self.options.schedule, self.options.beta_start, self.options.beta_end
        )
        self.trunk = Trunk(network.backbone, network.width)
        self.decoders = Decoders(network.outputs, network.width, self.options.decoder_blocks)
        self.condition = Condition(condition, network.outputs, network.width)
        self.denoiser = self._make_denoiser()

    def forward(self, batch: Batch) -> Maps:
        features, initial = self.decoders(self.trunk(batch.images))
        final = self.denoise(features, initial, batch.rows, batch.keys, noise=1.0)
        return {
            task: (batch.weights[task] * self._pair_losses(task, final[task], initial[task][rows], batch.labels[task])).sum()
            for task, rows in batch.rows.items()
        }

    def maps(self, images: Tensor, noise: float, keys: Tensor) -> tuple[Maps, Maps]:
        features, initial = self.decoders(self.trunk(images))
        everything = torch.arange(len(images), device=images.device)
        return self.denoise(features, initial, dict.fromkeys(self.tasks, everything), keys, noise), initial

    def denoise(self, features: Maps, initial: Maps, rows: Maps, keys: Tensor, noise: float) -> Maps:
        """Final predictions of the pairs: task -> `(n_t, C, h, w)`.

        Args:
            features: task -> `(B, width, h, w)` of the decoders.
            initial: task -> `(B, C, h, w)`, the first predictions.
            rows: task -> `(n_t,)` int64, the images whose map of this task is denoised.
            keys: `(B,)` int64, what each image's noise is drawn from.
            noise: scale of every draw.
        """

        def draw(task: str, step: int, shape: tuple[int, ...]) -> Tensor:
            return noise * gaussian(keys[rows[task]], task, step, shape)

        condition = self._condition(features, initial)
        start = {task: self.start(features, initial)[task][index] for task, index in rows.items()}
        state = {task: self._diffuse(task, x, draw) for task, x in start.items()}
        for step in range(self.schedule.steps - 1, -1, -1):
            estimate = self.denoiser(state, step, condition, rows)
            state = self._advance(state, estimate, step, draw)
        return self.finish(state)

    @abstractmethod
    def start(self, features: Maps, initial: Maps) -> Maps:
        """The maps that are noised."""

    def finish(self, clean: Maps) -> Maps:
        """Denoised maps -> logits."""
        return clean

    @abstractmethod
    def _make_denoiser(self) -> Denoiser:
        """The denoiser for the maps of `start`."""

    def _denoiser(self, inputs: dict[str, int], outputs: dict[str, int] | None) -> Denoiser:
        o = self.options
        return self.denoiser_type(inputs, outputs, self.width, o.blocks, o.heads, o.token_stride)

    def _pair_losses(self, task: str, final: Tensor, initial: Tensor, label: Tensor) -> Tensor:
        """`(n_t,)`: final + 0.5 initial (models.md 1.2)."""
        return upsampled_loss(task, final, label) + self.options.initial_weight * upsampled_loss(task, initial, label)

    def _condition(self, features: Maps, initial: Maps) -> Tensor | None:
        """Tokens of the condition feature, `(B, N, width)`."""
        return self.denoiser.tokens(self.condition(features, initial))

    def _diffuse(self, task: str, x: Tensor, draw: Draw) -> Tensor:
        """x_init -> x_S in one jump (Eq. 3)."""
        return self.schedule.signal * x + self.schedule.noise * draw(task, self.schedule.steps, tuple(x.shape[1:]))

    def _advance(self, state: Maps, estimate: Maps, step: int, draw: Draw) -> Maps:
        """x_t and the estimate of x_0 -> x_{t-1}; the estimate itself at the last step or with the paper's `direct` sampler."""
        if step == 0 or self.options.sampler == "direct":
            return estimate
        p = self.schedule.posteriors[step - 1]
        return {
            task: p.predicted * x0 + p.current * state[task] + p.deviation * draw(task, step, x0.shape[1:])
            for task, x0 in estimate.items()
        }
