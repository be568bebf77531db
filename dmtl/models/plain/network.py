"""The baselines' network: trunk, decoders, one prediction a task (models.md 2)."""

from torch import Tensor

from dmtl.config import Network
from dmtl.data.batch import Batch
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method
from dmtl.models.shared.trunk import Trunk


class PlainNetwork(Method):
    """Shared trunk and a decoder a task; the loss of each labelled pair, once."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.outputs)
        self.trunk = Trunk(network.backbone, network.width)
        self.decoders = Decoders(network.outputs, network.width, network.plain().decoder_blocks)

    def forward(self, batch: Batch) -> Maps:
        _, predictions = self.decoders(self.trunk(batch.images))
        return self.supervised(predictions, batch)

    def maps(self, images: Tensor, noise: float, keys: Tensor) -> tuple[Maps, Maps]:
        _, predictions = self.decoders(self.trunk(images))
        return predictions, {}
