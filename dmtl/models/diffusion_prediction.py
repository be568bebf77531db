"""DiffusionMTL, Prediction Diffusion: the task logits are noised and denoised.

https://prismformore.github.io/diffusionmtl/, Section 3.2 and Figs 2 and 4. No code of it was released; the layers follow the
paper's text where the printed parameters and FLOPs allow it (models.md 1.3, design B).
"""

from dmtl.config import Network
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.method import Maps


class PredictionDiffusion(DiffusionNetwork):
    """The state is the map of raw logits; every step ends in a 1x1 predictor."""

    def _make_denoiser(self) -> Denoiser:
        return self._denoiser(self.outputs, self.outputs)

    def start(self, features: Maps, initial: Maps) -> Maps:
        return initial


def build(network: Network) -> PredictionDiffusion:
    """The network of Prediction Diffusion."""
    return PredictionDiffusion(network, network.diffusion().network.prediction)
