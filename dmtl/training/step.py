"""What a step of training is made of: the loop repeats it, and `dmtl hardware` times the same code."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dmtl.config import Recipe
from dmtl.data.batch import Batch
from dmtl.models.shared.method import Method
from dmtl.training.adam import Adam
from dmtl.training.balance import Balance
from dmtl.training.epoch_losses import GRADIENT
from dmtl.training.fabric import Fabric, FabricModule, FabricOptimizer

Rate = Callable[[int], float] | None  # epoch -> learning rate; None: the recipe's


def has_channels_last(recipe: Recipe) -> bool:
    """Whether a training's weights lie channels last: twice as fast in bfloat16, no gain for small maps in float32 on a CPU."""
    return recipe.precision == "bf16-mixed"


def place(model: Method, device: torch.device, channels_last: bool) -> None:
    """Bring a network to its device and into the layout that convolutions are fastest in."""
    model.to(device)
    if channels_last:
        model.to(memory_format=torch.channels_last)


def make_optimiser(network: Method, recipe: Recipe) -> tuple[Adam, list[Rate]]:
    """Adam, and for each group of parameters the learning rate of its own, if it has one."""
    groups = network.parameter_groups()
    own_rates = [group.pop("rate", None) for group in groups]  # functions, which have no place in a checkpoint
    return Adam(groups, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True), own_rates


def take_step(
    fabric: Fabric,
    balance: Balance,
    module: FabricModule,
    optimiser: FabricOptimizer,
    batch: Batch,
    at: tuple[int, int],
    clip: float,
    figures: Sequence[str] = (),
) -> dict[str, Tensor | None]:
    """One step of the optimiser, in which nothing waits for the device (only a balance of gradients does).

    A batch without any label of the network's tasks, which only `Method.every_image` lets come, moves the statistics of batch
    norm and nothing else, as in XTC's released single-task training (docs/methods.md, "single_task").

    Args:
        batch: on the device.
        at: epoch and number of the batch, from which a balance draws.
        clip: the largest norm of the gradient.
        figures: names among what the network returns that are no losses.

    Returns:
        Its losses, the figures and the norm of its gradient, all on the device.
    """
    if not batch.image_index:
        with torch.no_grad():
            module(batch)
        return {}
    optimiser.zero_grad()
    losses = module(batch)
    noted = {name: losses.pop(name) for name in figures if name in losses}
    losses = balance.backward(fabric, losses, at)
    norm = fabric.clip_gradients(module, optimiser, max_norm=clip, error_if_nonfinite=False)
    optimiser.step()
    return {**losses, **noted, GRADIENT: norm}
