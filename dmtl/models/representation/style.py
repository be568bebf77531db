"""The network of `task_prototype` and of its ablation (docs/methods.md, "task_prototype")."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.models.representation.network import RepresentationNetwork
from dmtl.models.representation.prototypes import Retrieval, affinities, association_loss, triplet_loss
from dmtl.models.representation.quantiser import ImageAutoEncoder
from dmtl.models.shared.method import Maps


class TaskPrototype(RepresentationNetwork):
    """The baseline's features, plus what they retrieve from the prototypes, of labelled and unlabelled tasks alike."""

    training_only = ("auto_encoder",)

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.of = self.options.task_prototype
        width = network.width
        self.prototypes = nn.Parameter(0.02 * torch.randn(len(network.outputs), width))
        self.retrieval = Retrieval(width, self.of.heads, self.of.blocks)
        self.auto_encoder = ImageAutoEncoder(width, self.of.codes_per_channel * width, self.of.commitment)

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        """Count the training images, for the codebook to know when an epoch has ended."""
        self.auto_encoder.codebook.images = sum(1 for _ in labels)

    def predictions(self, images: Tensor, shared: Tensor, noise_keys: Tensor) -> tuple[Maps, Maps]:
        features = torch.stack([self.decoders.decoders[task](shared) for task in self.tasks])  # (T, B, C, h, w)
        shares = affinities(features, self.prototypes, self.of.temperature)
        mixtures = torch.einsum("tbuhw,uc->tbchw", shares.exp(), self.prototypes.float()).to(features.dtype)
        added = self.retrieval(features.flatten(0, 1), mixtures.flatten(0, 1)).unflatten(0, features.shape[:2])
        enriched = dict(zip(self.tasks, features + added, strict=True))
        predictions = {task: self.decoders.heads[task](feature) for task, feature in enriched.items()}
        if not self.training:
            return predictions, {}
        image = self.of.image * self.auto_encoder(shared, images, noise_keys)
        return predictions, {"image": image, **self._terms(features, shares)}

    def _terms(self, features: Tensor, shares: Tensor) -> Maps:
        o = self.of
        terms = {"triplet": o.triplet * triplet_loss(features, o.margin)}
        return {"association": o.association * association_loss(shares), **terms} if o.association else terms
