"""DiffusionMTL: first predictions, then joint denoising of all tasks (the paper's Section 3; docs/methods.md)."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dmtl.config import Condition as ConditionOptions
from dmtl.config import Diffusion, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.diffusion.condition import Condition
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.diffusion.schedule import Schedule, make_schedule
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.trunk import Trunk

Draw = Callable[[str, int, tuple[int, ...]], Tensor]  # (task, step, (C, h, w)) -> noise of the task's pairs


class DiffusionNetwork(Method):
    """Trunk and decoders, whose maps are noised and denoised in the space that a subclass chooses (Sections 3.1 and 3.2).

    Args:
        network: what to build.
        condition: how the condition feature is made.
    """

    denoiser_type = Denoiser
    denoises_predictions = False  # rather than features

    def __init__(self, network: NetworkConfig, condition: ConditionOptions) -> None:
        super().__init__(network)
        options = network.options_as(Diffusion)
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
        estimates, _ = self.denoise(features, initial, batch.image_index, batch.noise_keys, noise=1.0)
        denoised = [(weight, self.finish(estimates[step])) for step, weight in self.step_weights().items()]

        def losses(task: str, index: Tensor) -> Tensor:
            first = initial[task][index]
            terms = [weight * self.pair_losses(task, maps[task], batch) for weight, maps in denoised]
            return sum(terms) + self.options.initial_weight * self.pair_losses(task, first, batch)

        return self.weighted(batch, losses)

    def step_weights(self) -> Mapping[int, float | Tensor]:
        """Step index -> what the loss of that step's estimate counts in training: the last one's alone."""
        return {0: 1.0}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        features, initial = self.decoders(self.trunk(images))
        every_pair = dict.fromkeys(self.tasks, torch.arange(images.shape[0], device=images.device))
        estimates, noisy = self.denoise(features, initial, every_pair, noise_keys, noise)
        return {"final": self.finish(estimates[0]), "initial": initial} | ({"noisy": noisy} if self.denoises_predictions else {})

    def denoise(
        self, features: Maps, initial: Maps, image_index: Maps, noise_keys: Tensor, noise: float
    ) -> tuple[list[Maps], Maps]:
        """Each step's estimate of the pairs' clean maps, and the noisy maps x_S that they were made from.

        Both are task -> `(n_t, C, h, w)`; the estimates stand at their steps' index, so that the result is the first.

        Args:
            features: task -> `(B, width, h, w)` of the decoders.
            initial: task -> `(B, C, h, w)`, the first predictions.
            image_index: task -> `(n_t,)` int64, the images whose map of this task is denoised.
            noise_keys: `(B,)` int64, what each image's noise is drawn from.
            noise: scale of every draw.
        """

        def draw(task: str, step: int, shape: tuple[int, ...]) -> Tensor:
            if noise == 0:  # the draws are left out of what is exported too
                return next(iter(initial.values())).new_zeros(image_index[task].shape[0], *shape)
            return noise * gaussian(noise_keys[image_index[task]], task, step, shape)

        condition = self._condition(features, initial)
        start = {task: self.start(features, initial)[task][index] for task, index in image_index.items()}
        state = noisy = {task: self._diffuse(task, x, draw) for task, x in start.items()}
        estimates: list[Maps] = []
        for step in range(self.schedule.steps - 1, -1, -1):
            estimates.insert(0, self.denoiser(state, step, condition, image_index))
            if step:
                state = self._advance(state, estimates[0], step, draw)
        return estimates, noisy

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

    def _condition(self, features: Maps, initial: Maps) -> Tensor | None:
        """Tokens of the condition feature, `(B, N, width)`."""
        return self.denoiser.tokens(self.condition(features, initial))

    def _diffuse(self, task: str, x: Tensor, draw: Draw) -> Tensor:
        """x_init -> x_S in one jump (Eq. 3)."""
        return self.schedule.signal * x + self.schedule.noise * draw(task, self.schedule.steps, tuple(x.shape[1:]))

    def _advance(self, state: Maps, estimate: Maps, step: int, draw: Draw) -> Maps:
        """x_t and the estimate of x_0 -> x_{t-1}, t > 0; the estimate itself with the paper's `direct` sampler."""
        if self.options.sampler == "direct":
            return estimate
        p = self.schedule.posteriors[step - 1]
        return {
            task: p.predicted * x0 + p.current * state[task] + p.deviation * draw(task, step, x0.shape[1:])
            for task, x0 in estimate.items()
        }
