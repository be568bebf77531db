"""XTC: cross-task consistency in a joint space, re-implemented on the MTL baseline as the paper's XTC*.

https://arxiv.org/abs/2111.14893; layers, constants and loss as the authors released them (docs/methods.md, "xtc").
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.config import NetworkConfig
from dmtl.models.consistency.codecs import encode_label, encode_prediction, resize_label, resize_prediction
from dmtl.models.consistency.losses import cross_task_loss
from dmtl.models.consistency.mapping import MappingNetwork
from dmtl.models.consistency.network import ConsistencyNetwork, Views
from dmtl.models.consistency.pairs import TaskPairs, pack_pairs
from dmtl.models.shared.method import Maps


class CrossTaskConsistency(ConsistencyNetwork):
    """Each unlabelled task's prediction and each label of the image are mapped together, on the second view alone."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.xtc = self.options.xtc
        widths = [max(1, round(share * network.width)) for share in self.xtc.widths]
        width, channels = widths[-1], self.trunk.channels[-1]
        self.mapping = MappingNetwork(network.outputs, widths, pools=5 if self.xtc.resolution == "full" else 2)
        # ResNet-50's feature has more channels. The projection is fixed: a trained one could turn every feature into one vector.
        projection = nn.init.orthogonal_(torch.empty(width, channels))[..., None, None] if channels != width else None
        self.projection: Tensor | None
        self.register_buffer("projection", projection)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """gamma and beta have a learning rate of their own, halved every few epochs."""
        film = self.mapping.film_parameters()
        own = {id(parameter) for parameter in film}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in own]
        return [{"params": rest}, {"params": film, "rate": self.film_rate}]

    def film_rate(self, epoch: int) -> float:
        """Learning rate of gamma and beta in an epoch, from 0."""
        return self.options.on.film_rate * 0.5 ** (epoch // self.xtc.film_halving)

    def consistency(self, views: Views) -> Tensor | None:
        batch = views.batch
        pairs = pack_pairs(batch.host_index, len(batch.images), self.tasks).to(batch.images.device)
        if not len(pairs):
            return None
        bank = self.mapping.bank(self._encoded(views, pairs))
        mapped = self.mapping(bank[torch.cat([pairs.prediction, pairs.label])], pairs.film.repeat(2))
        source, target = mapped.chunk(2)
        feature = self._feature(views.further[0].feature, source.shape[-2:])[pairs.image]
        losses = batch.image_weights[pairs.image] * cross_task_loss(source, target, feature)
        return self.options.on.weight * losses.sum()

    def _encoded(self, views: Views, pairs: TaskPairs) -> Maps:
        """Task -> its encoded predictions, then its encoded labels, as `TaskPairs` expects them."""
        batch, second, encoded = views.batch, views.further[0], {}
        for task, index in pairs.sources.items():
            kind = self.kinds[task]
            size = batch.images.shape[-2:] if self.xtc.resolution == "full" else second.predictions[task].shape[-2:]
            prediction = resize_prediction(second.predictions[task][index], size)
            maps = [encode_prediction(task, kind, prediction, batch.noise_keys[index], self.xtc.gumbel_tau)]
            if task in batch.image_index:
                label = resize_label(kind, second.view.label(kind, batch.labels[task], batch.image_index[task]), size)
                maps.append(encode_label(kind, label, self.outputs[task]))
            encoded[task] = torch.cat(maps)
        return encoded

    def _feature(self, feature: Tensor, size: torch.Size) -> Tensor:
        """The encoder's feature, without gradient, in the joint space's channels and size (mostly its own)."""
        feature = feature.detach()
        if self.projection is not None:
            feature = F.conv2d(feature, self.projection)
        return F.adaptive_avg_pool2d(feature, (size[0], size[1]))


def build(network: NetworkConfig) -> CrossTaskConsistency:
    """The network of XTC."""
    return CrossTaskConsistency(network)
