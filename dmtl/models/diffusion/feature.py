"""The network of Feature Diffusion, the one that the authors released (docs/methods.md, "diffusion_feature")."""

from dmtl.config import Diffusion, NetworkConfig
from dmtl.models.diffusion.denoiser import Denoiser
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.shared.decoders import prediction_heads
from dmtl.models.shared.method import Maps


class FeatureDiffusion(DiffusionNetwork):
    """The state is the task's feature map; a 1x1 head predicts after the last step."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network, network.options_as(Diffusion).network.feature)
        self.final_heads = prediction_heads(network.outputs, network.width)

    def _make_denoiser(self) -> Denoiser:
        return self._denoiser(dict.fromkeys(self.outputs, self.width), None)

    def start(self, features: Maps, initial: Maps) -> Maps:
        return features

    def finish(self, clean: Maps) -> Maps:
        return {task: self.final_heads[task](x) for task, x in clean.items()}
