"""What every method of the tables is to the training loop, the evaluation and the user."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.losses import upsampled_loss
from dmtl.tasks import kinds_of
from dmtl.tasks.shared.pixels import upsample

Maps = dict[str, Tensor]  # task -> a map of that task
LARGEST = 10.0  # beyond any normalised image, of which no value is more than some three deviations from the mean
Stages = dict[str, Maps]  # "final", and "initial" and "noisy" where a method has them


class Method(nn.Module, ABC):
    """A network for several dense tasks and how it is trained on partial labels.

    A method is one file in `dmtl/models/` that has its name and offers `build(network: dmtl.config.NetworkConfig) -> Method`.
    `forward` takes a `Batch` and returns task -> scalar training loss, only of tasks that the batch labels. It may add a term
    of its own under a name that is no task; no task weight multiplies that, but that of `<term>/<task>` is the task's.

    Attributes:
        balance: which balance of `optim.balance` is the method's own, whatever `optim` says; None leaves it to that.
        every_image: whether a training also sees the images that carry no label of its tasks.
        figures: names under which `forward` also returns what is no loss, for the history alone.
        training_only: submodules that `maps` never uses; a model folder leaves them out.
    """

    balance: str | None = None
    every_image = False
    figures: tuple[str, ...] = ()
    training_only: tuple[str, ...] = ()

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__()
        self.config = network
        self.outputs = dict(network.outputs)
        self.kinds = kinds_of(network.outputs, network.kinds)

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in the benchmark's order."""
        return tuple(self.outputs)

    @abstractmethod
    def forward(self, batch: Batch) -> Maps:
        """Training losses of a batch: task -> scalar, without the task weights."""

    @abstractmethod
    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        """Predictions `(B, C, h, w)` at the network's own resolution: `final`, where a method predicts twice `initial`, and where
        it denoises predictions `noisy`, what it starts from."""

    def ceiling(self, labels: Maps) -> Maps:
        """The best that the method could predict of test labels, task -> `(B, 1 or C, H, W)`, where what it learns stands for
        them and loses something: task -> `(B, C, H, W)` logits or values. Empty for most, which could predict anything."""
        return {}

    def trainings(self) -> Iterator[tuple[str, "Method"]]:
        """The networks to be trained one after the other: (name, network); most methods are a single network."""
        yield "all", self

    def begin(self) -> None:
        """Called once on each network of `trainings` before its optimiser is made, when those before it have ended; a training
        that goes on skips it. What it changes is therefore what a checkpoint keeps: values of parameters and buffers."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """What the optimiser is made of: groups of `params`; one with a `rate`, epoch (from 0) -> learning rate, follows that
        instead of the recipe's decay. Called on each network of `trainings`."""
        return [{"params": list(self.parameters())}]

    def supervised(self, predictions: Maps, batch: Batch) -> Maps:
        """Loss of each labelled pair, weighted and summed: task -> scalar, for predictions task -> `(B, C, h, w)`."""
        return self.weighted(batch, lambda task, index: self.pair_losses(task, predictions[task][index], batch))

    def pair_losses(self, task: str, predictions: Tensor, batch: Batch) -> Tensor:
        """Loss of each labelled pair of a task: predictions `(n_t, C, h, w)` -> `(n_t,)`."""
        return upsampled_loss(self.kinds[task], predictions, batch.labels[task])

    @staticmethod
    def weighted(batch: Batch, losses: Callable[[str, Tensor], Tensor]) -> Maps:
        """(task, image_index) -> `(n_t,)` losses of its pairs, weighted and summed: task -> scalar."""
        weights = batch.image_weights
        return {task: (weights[index] * losses(task, index)).sum() for task, index in batch.image_index.items()}

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        """See the allowed training labels of each image once before training: task -> `(C, H, W)`. Most need nothing."""

    @torch.no_grad()
    def predict(self, images: Tensor, noise: float = 1.0, noise_keys: Tensor | None = None, noisy: bool = False) -> Stages:
        """All tasks for normalised images.

        Args:
            images: `(B, 3, H, W)`, normalised as `config.normalisation` says.
            noise: scale of every noise draw of a diffusion method; 0 makes it deterministic.
            noise_keys: `(B,)` int64 that the noise of each image is drawn from; without it all images get the same draw.
            noisy: whether to return the noisy maps too that a method's denoising starts from, where those are predictions.

        Returns:
            `{"final": {task: (B, C, H, W) logits or values}, "initial": {...}}` at the images' size; `initial` is empty
            for methods that predict once. With `noisy` also `"noisy"`, likewise.

        Raises:
            TypeError, ValueError: the images are no floats `(B, 3, H, W)`, or cannot have been normalised.
        """
        _require_normalised(images)
        keys = torch.zeros(len(images), dtype=torch.int64, device=images.device) if noise_keys is None else noise_keys
        stages = self.maps(images, noise, keys)
        wanted = ("final", "initial", "noisy") if noisy else ("final", "initial")
        size = images.shape[-2:]
        return {stage: {task: upsample(m, size) for task, m in stages.get(stage, {}).items()} for stage in wanted}


def _require_normalised(images: Tensor) -> None:
    """Refuse what would be predicted without an error, and wrongly; what only looks so is told in a warning."""
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images must be (B, 3, H, W), but are {tuple(images.shape)}")
    if not images.is_floating_point():
        raise TypeError(f"images must be normalised floats, but are {images.dtype}: dmtl.Predictor normalises them by itself")
    if not images.numel():
        return
    low, high = (float(end) for end in images.aminmax())
    if max(-low, high) > LARGEST:
        raise ValueError(
            f"images must be normalised, but reach from {low:g} to {high:g}: dmtl.Predictor normalises them by itself"
        )
    if 0 <= low < 0.1 and 0.9 < high <= 1:  # normalised photos have values below 0, flat grey ones aside
        warnings.warn("images from 0 to 1 look as if they were not normalised: dmtl.Predictor does it by itself", stacklevel=4)
