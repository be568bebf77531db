"""Train a cell alone in the project ONE and on two CPU processes (gloo) in TWO: `python two_processes.py ONE TWO CELL DTYPE`.

Prints the losses of each step, of both. The process that Fabric starts runs this file too, for its share of the second.
Batch statistics are reduced through a small differentiable layer, since torch's SyncBatchNorm refuses the CPU.
"""

import json
import os
import sys
from pathlib import Path
from unittest.mock import patch

os.environ |= {"DMTL_TRACKING": "off", "CUDA_VISIBLE_DEVICES": ""}
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(1, str(Path(__file__).resolve().parents[1]))  # for `helpers`

import torch
from torch import Tensor

from dmtl.config import Project, for_training
from dmtl.training import devices, loop
from dmtl.training.epoch_losses import EpochLosses
from helpers.devices import reduce_batch_norm
from helpers.narrow_resnet import narrow_backbones


def keep(dtype: torch.dtype) -> None:
    """Compute in `dtype` throughout; the losses ask for float32, and here keep what they get."""
    torch.set_default_dtype(dtype)  # what Fabric hands the losses on in
    if dtype == torch.float64:
        original = Tensor.float
        Tensor.float = lambda x: x if x.dtype == torch.float64 else original(x)


def train(folder: Path, cell: str, processes: int, precision: str) -> list[list[float]]:
    """The losses of each step."""
    project, steps, add = Project(folder), [], EpochLosses.add
    training = for_training(project, cell)
    recipe = training.recipe.model_copy(update={"devices": processes, "precision": precision})

    def noted(losses: EpochLosses, fabric: object, step: dict) -> None:
        before = losses._state[0].clone()
        add(losses, fabric, step)
        steps.append((losses._state[0][: len(before)] - before).tolist())

    with patch.object(EpochLosses, "add", noted), narrow_backbones():
        loop.train(training.model_copy(update={"recipe": recipe}), project.paths)
    return steps


def main(one: Path, two: Path, cell: str, dtype: str) -> None:
    torch.set_num_threads(1)
    keep(getattr(torch, dtype))
    precision = {"float64": "64-true", "float32": "32-true"}[dtype]
    first = "LOCAL_RANK" not in os.environ  # Fabric sets it
    alone = train(one, cell, 1, precision) if first else []
    devices._require_gpus = lambda: None
    loop.synchronise_batch_norm = reduce_batch_norm
    shared = train(two, cell, 2, precision)
    if first:
        print(json.dumps([alone, shared]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], sys.argv[4])
