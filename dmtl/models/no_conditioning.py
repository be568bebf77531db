"""Without multi-task conditioning (Table 2): Prediction Diffusion whose blocks attend to the task's own map alone.

https://prismformore.github.io/diffusionmtl/, Section 4.3; the blocks follow from the printed figures (docs/methods.md). The
printed 125 M hold only if the layers of the condition are counted although nothing uses them, so they are built, frozen, and
kept under `idle`, where `python -m dmtl cost` names them.
"""

from torch import nn

from dmtl.config import NetworkConfig
from dmtl.models.diffusion.denoiser import SelfDenoiser
from dmtl.models.diffusion.prediction import PredictionDiffusion
from dmtl.models.shared.method import Maps


class NoConditioning(PredictionDiffusion):
    """Each pair is denoised by itself: no task hears of another."""

    denoiser_type = SelfDenoiser

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.idle = nn.ModuleDict({"condition": self.condition.requires_grad_(False)})
        del self.condition

    def _condition(self, features: Maps, initial: Maps) -> None:
        return None


def build(network: NetworkConfig) -> NoConditioning:
    """The network of the ablation without multi-task conditioning."""
    return NoConditioning(network)
