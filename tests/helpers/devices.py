"""Trainings and evaluations on a device that a test names."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from dmtl.config import Project, for_training
from dmtl.training import devices, loop
from dmtl.training.epoch_losses import EpochLosses
from dmtl.training.fabric import Fabric


class ReducedBatchNorm(nn.BatchNorm2d):
    """Batch norm over the batches of all processes."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        count = all_reduce(x.new_tensor(float(x.numel() // x.shape[1])))
        mean = all_reduce(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = all_reduce((centred**2).sum((0, 2, 3))) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked.add_(1)
        scale = self.weight * (variance + self.eps) ** -0.5
        return centred * scale[:, None, None] + self.bias[:, None, None]


def reduce_batch_norm(network: nn.Module, fabric: object) -> None:
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = ReducedBatchNorm


@contextmanager
def full_float32() -> Iterator[None]:
    """Neither convolutions nor matrix products in TF32."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before


@contextmanager
def on(device: torch.device) -> Iterator[None]:
    """Trainings and evaluations within happen on `device`, whatever else the machine has."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(devices, "Fabric", partial(Fabric, accelerator=device.type)))
        if device.type == "cpu":
            stack.enter_context(patch.object(torch.cuda, "is_available", lambda: False))
        yield


def set_recipe(folder: Path, **recipe: object) -> None:
    """Change the recipe of NYUD in a tiny project."""
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"] |= recipe
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


def trained(folder: Path, cell: str, device: torch.device) -> np.ndarray:
    """Train a cell on a device; the losses of each step in the order of `EpochLosses`, without the gradient's norm."""
    steps, add, project = [], EpochLosses.add, Project(folder)

    def noted(losses: EpochLosses, fabric: Fabric, step: dict) -> None:
        add(losses, fabric, step)
        steps.append([float(value) for name, value in step.items() if value is not None and name != "gradient"])

    with on(device), patch.object(EpochLosses, "add", noted):
        loop.train(for_training(project, cell), project.paths)
    width = max(map(len, steps))
    return np.array([step + [0.0] * (width - len(step)) for step in steps])
