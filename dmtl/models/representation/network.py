"""What methods that shape the decoders' inputs or outputs share: the baseline's trunk and decoders, and terms of their own."""

from abc import abstractmethod

from torch import Tensor

from dmtl.config import NetworkConfig, Representation
from dmtl.data.batch import Batch
from dmtl.models.shared.decoders import Decoders
from dmtl.models.shared.method import Maps, Method, Stages
from dmtl.models.shared.trunk import Trunk


class RepresentationNetwork(Method):
    """Trunk, decoders and one prediction a task, as the MTL baseline, with something between them."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.options = network.options_as(Representation)
        self.trunk = Trunk(network.backbone, network.width)
        self.decoders = Decoders(network.outputs, network.width, self.options.decoder_blocks)

    def forward(self, batch: Batch) -> Maps:
        shared = self.trunk(batch.images)
        predictions, terms = self.predictions(batch.images, shared, batch.noise_keys)
        return {**self.supervised(predictions, batch), **terms}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        predictions, _ = self.predictions(images, self.trunk(images), noise_keys)
        return {"final": predictions}

    @abstractmethod
    def predictions(self, images: Tensor, shared: Tensor, noise_keys: Tensor) -> tuple[Maps, Maps]:
        """Images, the trunk's `(B, C, h, w)` and the images' keys `(B,)` -> task -> `(B, n, h, w)`, and in training the method's
        own terms, weighted."""
