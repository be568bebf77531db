"""The network of Prediction Diffusion, which the ablations of Table 2 vary (docs/methods.md, "diffusion_prediction")."""

from dmtl.config import Diffusion, NetworkConfig
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.shared.method import Maps


class PredictionDiffusion(DiffusionNetwork):
    """The state is the map of raw logits; every step ends in a 1x1 predictor."""

    denoises_predictions = True

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network, network.options_as(Diffusion).network.prediction)

    def _make_denoiser(self) -> Denoiser:
        return self._denoiser(self.outputs, self.outputs)

    def start(self, features: Maps, initial: Maps) -> Maps:
        return initial
