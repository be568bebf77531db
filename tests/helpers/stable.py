"""StableMTL's networks on tiny networks of diffusers."""

import torch
from torch import Tensor, nn

from dmtl.models.stable_mtl import MultiStream
from helpers.networks import NYUD, fresh

TASKS = tuple(NYUD)
ALL = torch.arange(4)
EVERY_PAIR = dict.fromkeys(TASKS, ALL)


def stable_model(**options: object) -> MultiStream:
    """The whole method: auto-encoder, single stream and multi stream."""
    model = fresh("stable_mtl", **options)
    assert isinstance(model, MultiStream)
    return model


def awake(**options: object) -> MultiStream:
    """The multi stream at its beginning, but that its last layers are no longer zero."""
    model = stable_model(**options)
    model.begin()
    for layer in model.task_attention:
        nn.init.normal_(layer.out.weight, std=0.1)
    return model


def take_step(model: nn.Module, losses: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    """One step down the sum of the losses."""
    optimiser.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    optimiser.step()
