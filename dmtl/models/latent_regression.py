"""Latent regression: every label as an image, every image as a latent, one loss for all tasks, after StableMTL (CVPR 2026).

https://github.com/astra-vision/StableMTL. Latents are here a fixed transform of blocks of 8x8 pixels; how the idea is carried
over without Stable Diffusion: docs/methods.md, "latent_regression".
"""

from dmtl.config import NetworkConfig
from dmtl.models.diffusion.latent_network import LatentNetwork, label_images, latent_options
from dmtl.models.diffusion.latents import BlockTransform


class LatentRegression(LatentNetwork):
    """The network with the coder that needs no training."""

    def __init__(self, network: NetworkConfig) -> None:
        blocks = BlockTransform(label_images(network), dict(network.outputs), latent_options(network).coefficients)
        super().__init__(network, blocks)
        self.blocks = blocks


def build(network: NetworkConfig) -> LatentRegression:
    """The network that regresses the coefficients of blocks."""
    return LatentRegression(network)
