"""The MTL baseline's network, trained on two views of every image (docs/methods.md, "semi_supervised" and "xtc")."""

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
class TwoViews:
    """A batch, its second view and what the network says of both.

    Attributes:
        first, second: task -> `(B, C, h, w)`, predictions of the views.
        feature: `(B, C, H/32, W/32)`, the encoder's last, of the second view.
    """

    batch: Batch
    view: View
    first: Maps
    second: Maps
    feature: Tensor


class ConsistencyNetwork(Method):
    """Trunk and decoders; the supervised loss on the first view and a subclass's consistency, both views in one forward batch.

    No task weight multiplies the consistency, which is a term of its own.
    """

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.options = network.options_as(Consistency)
        self.trunk = Trunk(network.backbone, network.width)
        self.decoders = Decoders(network.outputs, network.width, self.options.decoder_blocks)

    def forward(self, batch: Batch) -> Maps:
        views = self.two_views(batch)
        losses = self.supervised(views.first, batch)
        consistency = self.consistency(views)
        return losses if consistency is None else {**losses, CONSISTENCY: consistency}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        _, predictions = self.decoders(self.trunk(images))
        return {"final": predictions}

    def two_views(self, batch: Batch) -> TwoViews:
        """Draw the second view and predict both."""
        view = draw_view(batch.noise_keys, batch.images.shape[-2:], self.options.zooms, self.options.on.flip)
        pyramid = self.trunk.pyramid(torch.cat([batch.images, view.image(batch.images).to(batch.images.dtype)]))
        _, predictions = self.decoders(self.trunk.fused(pyramid))
        first, second = ({task: p.chunk(2)[k] for task, p in predictions.items()} for k in (0, 1))
        return TwoViews(batch, view, first, second, pyramid[-1].chunk(2)[1])

    @abstractmethod
    def consistency(self, views: TwoViews) -> Tensor | None:
        """The scalar loss, each image weighted like its supervised losses; None where there is nothing to compare."""
