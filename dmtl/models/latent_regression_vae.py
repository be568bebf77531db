"""Latent regression whose latents are those of an autoencoder, trained first, on the labels that the setting shows.

https://github.com/astra-vision/StableMTL, whose autoencoder is Stable Diffusion's; here it is a small one (docs/methods.md,
"latent_regression_vae").
"""

from collections.abc import Iterable, Iterator

from torch import Tensor

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.diffusion.autoencoder import Autoencoder, LabelAutoencoder
from dmtl.models.diffusion.latent_network import LatentNetwork, label_images, latent_options
from dmtl.models.shared.method import Maps, Method, Stages


class LatentRegressionVae(Method):
    """The autoencoder, and the network that regresses its latents; they are trained one after the other."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        options = latent_options(network).vae
        coder = Autoencoder(label_images(network), self.outputs, network.width, options)
        self.autoencoder = LabelAutoencoder(network, coder, options.kl_weight)
        self.network = LatentNetwork(network, coder)

    def trainings(self) -> Iterator[tuple[str, Method]]:
        yield "autoencoder of labels", self.autoencoder
        yield "all", self.network

    def forward(self, batch: Batch) -> Maps:
        return {**self.autoencoder(batch), **self.network(batch)}

    def maps(self, images: Tensor, noise: float, noise_keys: Tensor) -> Stages:
        return self.network.maps(images, noise, noise_keys)

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        self.network.prepare(labels)

    def ceiling(self, labels: Maps) -> Maps:
        return self.network.ceiling(labels)


def build(network: NetworkConfig) -> LatentRegressionVae:
    """Both networks."""
    return LatentRegressionVae(network)
