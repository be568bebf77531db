"""The network of Prediction Diffusion, which the ablations of Table 2 vary (models.md 1.3)."""

from dmtl.config import Network
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.shared.method import Maps


class PredictionDiffusion(DiffusionNetwork):
    """The state is the map of raw logits; every step ends in a 1x1 predictor."""

    def __init__(self, network: Network) -> None:
        super().__init__(network, network.diffusion().network.prediction)

    def _make_denoiser(self) -> Denoiser:
        return self._denoiser(self.outputs, self.outputs)

    def start(self, features: Maps, initial: Maps) -> Maps:
        return initial
