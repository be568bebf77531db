"""DiffusionMTL, Feature Diffusion: the decoders' features are noised and denoised.

https://prismformore.github.io/diffusionmtl/, Section 3.2 and Fig. 3; layers and constants as the authors released them
(docs/methods.md, "diffusion_feature").
"""

from dmtl.config import NetworkConfig
from dmtl.models.diffusion.feature import FeatureDiffusion


def build(network: NetworkConfig) -> FeatureDiffusion:
    """The network of Feature Diffusion."""
    return FeatureDiffusion(network)
