"""Intervals of denoising steps as objectives of their own, weighted by uncertainty, after ANT (NeurIPS 2023).

https://gohyojun15.github.io/ANT_diffusion/: losses of diffusion steps that lie far apart are conflicting tasks, so steps are
clustered and the clusters balanced. How it is carried over: docs/methods.md, "step_intervals".
"""

from dmtl.config import NetworkConfig
from dmtl.models.diffusion.step_losses import StepLosses, network_with_step_losses


def build(network: NetworkConfig) -> StepLosses:
    """A diffusion network with a loss at every step, as `diffusion.network.step_intervals` says."""
    return network_with_step_losses(network)
