"""DiffusionMTL, Prediction Diffusion: the task logits are noised and denoised.

https://prismformore.github.io/diffusionmtl/, Section 3.2 and Figs 2 and 4. No code of it was released; the layers follow the
paper's text where the printed parameters and FLOPs allow it (docs/methods.md, "diffusion_prediction").
"""

from dmtl.config import NetworkConfig
from dmtl.models.diffusion.prediction import PredictionDiffusion


def build(network: NetworkConfig) -> PredictionDiffusion:
    """The network of Prediction Diffusion."""
    return PredictionDiffusion(network)
