"""InfoMTL: the trunk keeps what two views of an image have in common, each decoder only what its task needs.

https://arxiv.org/abs/2503.04667 (AAAI 2025), written for texts; how its two terms are carried over: docs/methods.md, "info_mtl".
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.config import Consistency, InfoTerms, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.models.consistency.view import draw_view
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.random import uniform
from dmtl.models.shared.trunk import Trunk

LARGEST_LOG_VARIANCE = 8.0
FIRST_LOG_VARIANCE = -4.0  # the noise begins small, at 0.14 of a feature's own scale


class Bottleneck(nn.Module):
    """Two 1x1 convolutions from a feature to the mean and the log-variance of what is kept of it; at first all of it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mean, self.log_variance = nn.Conv2d(width, width, 1), nn.Conv2d(width, width, 1)
        nn.init.dirac_(self.mean.weight)
        nn.init.zeros_(self.mean.bias)  # type: ignore[arg-type]
        nn.init.zeros_(self.log_variance.weight)
        nn.init.constant_(self.log_variance.bias, FIRST_LOG_VARIANCE)  # type: ignore[arg-type]

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, C, h, w)` -> mean and log-variance of the same shape."""
        return self.mean(feature), self.log_variance(feature).clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)


class InfoMTL(Method):
    """The baseline's network with a bottleneck before each head, and in training a second view of the images in the trunk."""

    training_only = ("project",)

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.options = network.options_as(Consistency)
        self.info = terms_of(self.options)
        width = network.width
        self.trunk = Trunk(network.backbone, width)
        self.decoders = Decoders(network.outputs, width, self.options.decoder_blocks)
        self.bottlenecks = nn.ModuleDict({task: Bottleneck(width) for task in network.outputs})
        self.project = nn.Linear(width, width)

    def forward(self, batch: Batch) -> Maps:
        terms: Maps = {}
        if self.info.alpha:
            shared, further = self.trunk(torch.cat([batch.images, self._second_view(batch)])).chunk(2)
            terms["info_max"] = self.info.alpha * contrast(self._code(shared), self._code(further), self.info.temperature)
        else:
            shared = self.trunk(batch.images)
        predictions, kept = {}, []
        for task in self.tasks:
            mean, log_variance = self.bottlenecks[task](self.decoders.decoders[task](shared))
            kept.append(divergence(mean, log_variance).mean())
            draw = standard_normal(batch.noise_keys, f"bottleneck of {task}", tuple(mean.shape[1:]))
            sample = mean + (self.info.noise * draw * (log_variance.float() / 2).exp()).to(mean.dtype)
            predictions[task] = self.decoders.heads[task](sample)
        if self.info.beta:
            terms["info_min"] = self.info.beta * torch.stack(kept).sum()
        return {**self.supervised(predictions, batch), **terms}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        shared = self.trunk(images)
        means = {task: self.bottlenecks[task].mean(self.decoders.decoders[task](shared)) for task in self.tasks}  # type: ignore[operator]
        return {"final": {task: self.decoders.heads[task](mean) for task, mean in means.items()}}

    def _code(self, shared: Tensor) -> Tensor:
        """`(B, C, h, w)` -> `(B, C)` unit vectors, one an image."""
        return F.normalize(self.project(shared.float().mean((2, 3))).float(), dim=1)

    def _second_view(self, batch: Batch) -> Tensor:
        o = self.options
        view = draw_view(batch.noise_keys, batch.images.shape[-2:], o.zooms, o.on.flip)
        return view.image(batch.images).to(batch.images.dtype)


def contrast(codes: Tensor, others: Tensor, temperature: float) -> Tensor:
    """InfoNCE, both ways: `(B, C)` unit vectors of two views -> scalar, 0 for a single image, log B where nothing differs."""
    scores = codes.float() @ others.float().T / temperature
    own = torch.arange(len(scores), device=scores.device)
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Of N(mean, exp(log_variance)) from N(0, 1): `(B, C, h, w)` twice -> `(B,)`, a mean over channels and positions."""
    mean, log_variance = mean.float(), log_variance.float()
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).flatten(1).mean(1)


def standard_normal(noise_keys: Tensor, name: str, shape: tuple[int, ...]) -> Tensor:
    """Of each image its own: `(B,)` int64 keys -> `(B, *shape)` float32."""
    return torch.special.ndtri(uniform(noise_keys, name, 0, shape))


def terms_of(options: Consistency) -> InfoTerms:
    """The method's own options.

    Raises:
        UserError: params.yaml has none.
    """
    if options.info_mtl is None:
        raise UserError("params.yaml: consistency.info_mtl is missing, the options of this method")
    return options.info_mtl


def build(network: NetworkConfig) -> InfoMTL:
    """The network with bottlenecks."""
    return InfoMTL(network)
