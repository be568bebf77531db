"""One latent loss for all tasks, by the network of DiffusionMTL (docs/methods.md, "latent_regression")."""

from abc import abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dmtl.config import Condition as ConditionOptions
from dmtl.config import Diffusion, Latent, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.models.diffusion.condition import Condition
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.label_images import LabelImages
from dmtl.models.diffusion.latents import LabelCoder, latent_loss
from dmtl.models.shared.decoders import decoder
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.trunk import Trunk
from dmtl.tasks import kinds_of

TERM = "latent"  # the one loss; its name is no task's, so no task weight multiplies it
STEP = 0  # the denoiser is called once, at a fixed index and without noise


class LatentMethod(Method):
    """A network whose estimate of a pair is its label's latent.

    Args:
        coder: labels <-> latents. It is no part of this network, which neither trains nor saves it; its owner does.
    """

    def __init__(self, network: NetworkConfig, coder: LabelCoder) -> None:
        super().__init__(network)
        self._coder = (coder,)  # in a tuple, where torch does not look for modules

    @property
    def coder(self) -> LabelCoder:
        """Labels <-> latents."""
        return self._coder[0]

    @abstractmethod
    def latents(self, images: Tensor, image_index: Maps, noise_keys: Tensor | None = None) -> Maps:
        """Those of the pairs `image_index`, task -> `(n_t,)` positions in `images` `(B, 3, H, W)`: task -> `(n_t, c, h, w)`.

        What a training draws is drawn from `noise_keys`, `(B,)`.
        """

    def latent_losses(self, batch: Batch) -> Maps:
        """The error of latents of each labelled pair, weighted and summed: task -> scalar."""
        latents = self.latents(batch.images, batch.image_index, batch.noise_keys)

        def losses(task: str, index: Tensor) -> Tensor:
            height, width = latents[task].shape[-2:]
            target, cells = self.coder.target(task, batch.labels[task], (height, width))
            return latent_loss(latents[task], target, cells)

        return self.weighted(batch, losses)

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        every_pair = dict.fromkeys(self.tasks, torch.arange(len(images), device=images.device))
        latents = self.latents(images, every_pair)
        return {"final": {task: self.coder.prediction(task, latent) for task, latent in latents.items()}}

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        self.coder.images.learn_spans(labels)

    def ceiling(self, labels: Maps) -> Maps:
        return self.coder.ceiling(labels)


class LatentNetwork(LatentMethod):
    """Trunk, decoders without heads, and one call of the denoiser."""

    def __init__(self, network: NetworkConfig, coder: LabelCoder) -> None:
        super().__init__(network, coder)
        o, width = network.options_as(Diffusion).network, network.width
        self.trunk = Trunk(network.backbone, width)
        self.decoders = nn.ModuleDict({task: decoder(width, o.decoder_blocks) for task in network.outputs})
        of_features = ConditionOptions(source="features", detach=latent_options(network).detach)
        self.condition = Condition(of_features, network.outputs, width)
        inputs, outputs = dict.fromkeys(network.outputs, width), dict.fromkeys(network.outputs, coder.channels)
        self.denoiser = Denoiser(inputs, outputs, width, o.blocks, o.heads, o.token_stride)

    def forward(self, batch: Batch) -> Maps:
        return {TERM: torch.stack(list(self.latent_losses(batch).values())).sum()}

    def latents(self, images: Tensor, image_index: Maps, noise_keys: Tensor | None = None) -> Maps:
        shared = self.trunk(images)
        features = {task: of_task(shared) for task, of_task in self.decoders.items()}
        state = {task: features[task][index] for task, index in image_index.items()}
        return self.denoiser(state, STEP, self.denoiser.tokens(self.condition(features, {})), image_index)


def label_images(network: NetworkConfig) -> LabelImages:
    """How a network's tasks are drawn."""
    kinds = kinds_of(network.outputs, network.kinds)
    return LabelImages(kinds, dict(network.outputs), latent_options(network).sharpness)


def latent_options(network: NetworkConfig) -> Latent:
    """The options `latent` of a network.

    Raises:
        UserError: it has none.
    """
    options = network.options_as(Diffusion).network.latent
    if options is None:
        raise UserError(f"method '{network.method}' needs the block diffusion.network.latent in params.yaml")
    return options
