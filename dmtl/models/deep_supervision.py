"""A loss at every denoising step, all weighing the same: the control of `step_intervals` (docs/methods.md)."""

from dmtl.config import Diffusion, NetworkConfig
from dmtl.models.diffusion.step_losses import StepLosses, network_with_step_losses, step_intervals_of


def build(network: NetworkConfig) -> StepLosses:
    """The network of `step_intervals` with a single interval and nothing to balance."""
    options = network.options_as(Diffusion)
    single = step_intervals_of(network).model_copy(update={"weights": "equal", "intervals": 1})
    of_network = options.network.model_copy(update={"step_intervals": single})
    return network_with_step_losses(network.model_copy(update={"options": options.model_copy(update={"network": of_network})}))
