"""Dual encoders: a shared feature and one of each task's own, read by layers whose shared parts are kept alike.

After https://arxiv.org/abs/2505.24281, known by its abstract alone and written for tables; a test of the idea
(docs/methods.md, "dual_encoder").
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.models.representation.network import RepresentationNetwork
from dmtl.models.representation.similarity import correlation_penalty, similarity_penalty
from dmtl.models.shared.method import Maps

NARROWEST = 4  # channels within an own encoder: the norm after a single one takes back whatever its scale learns


class DualEncoder(RepresentationNetwork):
    """The decoders read a mixture of the trunk's feature and their task's own; at first the trunk's alone, as it is."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.of, width = self.options.dual_encoder, network.width
        self.shared = nn.ModuleDict({task: nn.Conv2d(width, width, 1) for task in network.outputs})
        for layer in self.shared.values():
            nn.init.dirac_(layer.weight)  # type: ignore[arg-type]
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        own = round(self.of.own_width * width)
        self.encoders = nn.ModuleDict({task: own_encoder(own) for task in network.outputs} if own else {})
        self.own = nn.ModuleDict({task: nn.Conv2d(own, width, 1, bias=False) for task in self.encoders})
        for layer in self.own.values():
            nn.init.zeros_(layer.weight)  # type: ignore[arg-type]
        if self.of.similarity == "adaptive":
            self.centre = nn.Parameter(torch.eye(width)[..., None, None])

    def predictions(self, images: Tensor, shared: Tensor, noise_keys: Tensor) -> tuple[Maps, Maps]:
        predictions, correlated = {}, []
        for task in self.tasks:
            mixed = self.shared[task](shared)
            if task in self.encoders:
                own = self.encoders[task](images)
                own = nn.functional.interpolate(own, size=shared.shape[-2:], mode="bilinear", align_corners=False)
                mixed = mixed + self.own[task](own)
                if self.training and self.of.orthogonality:
                    correlated.append(correlation_penalty(shared, own))
            predictions[task] = self.decoders.heads[task](self.decoders.decoders[task](mixed))
        return predictions, self._terms(correlated) if self.training else {}

    def _terms(self, correlated: list[Tensor]) -> Maps:
        o = self.of
        weights = torch.stack([self.shared[task].weight for task in self.tasks])  # type: ignore[misc]
        centre = self.centre if o.similarity == "adaptive" else None
        terms = {"similarity": o.weight * similarity_penalty(weights, centre) + o.size * weights.float().square().sum()}
        return {**terms, "orthogonality": o.orthogonality * torch.stack(correlated).sum()} if correlated else terms


def own_encoder(width: int) -> nn.Sequential:
    """Three strided 3x3 convolutions with batch norm and ReLU: `(B, 3, H, W)` -> `(B, width, H/8, W/8)`, sides rounded up."""
    layers: list[nn.Module] = []
    for before, after in pairwise((3, max(NARROWEST, width // 4), max(NARROWEST, width // 2), width)):
        layers += [nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers)


def build(network: NetworkConfig) -> DualEncoder:
    """The network with an encoder more a task."""
    return DualEncoder(network)
