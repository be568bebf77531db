"""DiffusionMTL, Prediction Diffusion: the task logits are noised and denoised.

https://prismformore.github.io/diffusionmtl/, Section 3.2 and Figs 2 and 4. No code of it was released; the layers follow the
paper's text where the printed parameters and FLOPs allow it (models.md 1.3, design B).
"""

from dmtl.config import Network
from dmtl.models.diffusion.prediction import PredictionDiffusion


def build(network: Network) -> PredictionDiffusion:
    """The network of Prediction Diffusion."""
    return PredictionDiffusion(network)
