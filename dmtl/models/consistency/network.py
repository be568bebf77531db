"""The MTL baseline's network, trained on several views of every image (docs/methods.md, "semi_supervised", "xtc" and "jtr")."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from dmtl.config import Consistency, NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.consistency.view import View, draw_view
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.trunk import Trunk

CONSISTENCY = "consistency"  # the name of the loss term


@dataclass(frozen=True)
class FurtherView:
    """A view beside the first, and what the network says of it.

    Attributes:
        view: where its pixels lie in the first.
        predictions: task -> `(B, C, h, w)`.
        feature: `(B, C, H/32, W/32)`, the encoder's last.
    """

    view: View
    predictions: Maps
    feature: Tensor


@dataclass(frozen=True)
class Views:
    """A batch, whose images are the first view, and its further views.

    Attributes:
        first: task -> `(B, C, h, w)`, predictions of the first view.
    """

    batch: Batch
    first: Maps
    further: tuple[FurtherView, ...]


class ConsistencyNetwork(Method):
    """Trunk and decoders; the supervised loss on the first view and a subclass's consistency, all views in one forward batch.

    No task weight multiplies the consistency, which is a term of its own.

    Attributes:
        further_views: the names that the further views are drawn under.
        term: the name of the consistency among the losses.
    """

    further_views: tuple[str, ...] = ("second view",)
    term = CONSISTENCY

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.options = network.options_as(Consistency)
        self.trunk = Trunk(network.backbone, network.width)
        self.decoders = Decoders(network.outputs, network.width, self.options.decoder_blocks)

    def forward(self, batch: Batch) -> Maps:
        views = self.views(batch)
        losses = self.supervised(views.first, batch)
        consistency = self.consistency(views)
        return losses if consistency is None else {**losses, self.term: consistency}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        _, predictions = self.decoders(self.trunk(images))
        return {"final": predictions}

    def views(self, batch: Batch) -> Views:
        """Draw the further views and predict all."""
        size, o = batch.images.shape[-2:], self.options
        drawn = [draw_view(batch.noise_keys, size, o.zooms, o.on.flip, name) for name in self.further_views]
        further = [view.image(batch.images).to(batch.images.dtype) for view in drawn]
        pyramid = self.trunk.pyramid(torch.cat([batch.images, *further]))
        _, predictions = self.decoders(self.trunk.fused(pyramid))
        count = 1 + len(drawn)
        first, *rest = ({task: p.chunk(count)[k] for task, p in predictions.items()} for k in range(count))
        features = pyramid[-1].chunk(count)[1:]
        return Views(batch, first, tuple(map(FurtherView, drawn, rest, features)))

    @abstractmethod
    def consistency(self, views: Views) -> Tensor | None:
        """The scalar loss, already weighted; None where there is nothing to compare."""
