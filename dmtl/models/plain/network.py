"""The baselines' network: trunk, decoders, one prediction per task (docs/methods.md, "mtl_baseline")."""

from torch import Tensor

from dmtl.config import NetworkConfig, Plain
from dmtl.data.batch import Batch
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.trunk import Trunk


class PlainNetwork(Method):
    """Shared trunk and a decoder per task; the loss of each labelled pair, once."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.trunk = Trunk(network.backbone, network.width)
        self.decoders = Decoders(network.outputs, network.width, network.options_as(Plain).decoder_blocks)

    def forward(self, batch: Batch) -> Maps:
        _, predictions = self.decoders(self.trunk(batch.images))
        return self.supervised(predictions, batch)

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        _, predictions = self.decoders(self.trunk(images))
        return {"final": predictions}
