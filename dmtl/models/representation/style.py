"""The network of `task_prototype` and of its ablation (docs/methods.md, "task_prototype")."""

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

    def predictions(self, images: Tensor, shared: Tensor) -> tuple[Maps, Maps]:
        features = torch.stack([self.decoders.decoders[task](shared) for task in self.tasks])  # (T, B, C, h, w)
        shares = affinities(features, self.prototypes, self.of.temperature)
        mixtures = torch.einsum("tbuhw,uc->tbchw", shares.exp(), self.prototypes.float()).to(features.dtype)
        added = self.retrieval(features.flatten(0, 1), mixtures.flatten(0, 1)).unflatten(0, features.shape[:2])
        enriched = dict(zip(self.tasks, features + added, strict=True))
        predictions = {task: self.decoders.heads[task](feature) for task, feature in enriched.items()}
        return predictions, self._terms(images, shared, features, shares) if self.training else {}

    def _terms(self, images: Tensor, shared: Tensor, features: Tensor, shares: Tensor) -> Maps:
        o = self.of
        terms = {"image": o.image * self.auto_encoder(shared, images)}
        if o.association:
            terms["association"] = o.association * association_loss(shares)
        return {**terms, "triplet": o.triplet * triplet_loss(features, o.margin)}
