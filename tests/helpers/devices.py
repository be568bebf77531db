"""Trainings and evaluations on a device that a test names."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import yaml

from dmtl.config import Project, for_training
from dmtl.training import devices, loop
from dmtl.training.epoch_losses import EpochLosses
from dmtl.training.fabric import Fabric


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
