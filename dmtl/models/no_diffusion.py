"""Without diffusion (Table 2): iterative refinement by the network of Prediction Diffusion.

https://prismformore.github.io/diffusionmtl/, Section 4.3. The paper says no more than "an iterative refinement model using an
identical network structure"; how its steps follow each other is our reading (docs/methods.md, "no_diffusion").
"""

from torch import Tensor

from dmtl.config import NetworkConfig
from dmtl.models.diffusion.network import Draw
from dmtl.models.diffusion.prediction import PredictionDiffusion
from dmtl.models.shared.method import Maps


class IterativeRefinement(PredictionDiffusion):
    """The same layers and calls, step embedding included, but no noise: each estimate is the next state."""

    def _diffuse(self, task: str, x: Tensor, draw: Draw) -> Tensor:
        return x

    def _advance(self, state: Maps, estimate: Maps, step: int, draw: Draw) -> Maps:
        return estimate


def build(network: NetworkConfig) -> IterativeRefinement:
    """The network of the ablation without diffusion."""
    return IterativeRefinement(network)
