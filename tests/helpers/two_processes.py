"""Train a cell on some CPU processes (gloo): `python two_processes.py FOLDER CELL PROCESSES DTYPE`; prints the loss of each step.

Batch statistics are reduced through a small differentiable layer, since torch's SyncBatchNorm refuses the CPU.
"""

import json
import os
import sys
from pathlib import Path

os.environ |= {"DMTL_TRACKING": "off", "CUDA_VISIBLE_DEVICES": ""}
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from dmtl.config import Project, for_training
from dmtl.training import devices, loop


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


def main(folder: Path, cell: str, processes: int, dtype: str) -> None:
    torch.set_num_threads(1)
    training = for_training(Project(folder), cell)
    precision = {"float64": "64-true", "float32": "32-true"}[dtype]
    recipe = training.recipe.model_copy(update={"devices": processes, "precision": precision})
    if processes > 1:
        devices._require_gpus = lambda: None
        loop.synchronise_batch_norm = reduce_batch_norm
    torch.set_default_dtype(getattr(torch, dtype))  # what Fabric hands the losses on in
    if dtype == "float64":  # the losses ask for float32; here they keep what they get
        original = Tensor.float
        Tensor.float = lambda x: x if x.dtype == torch.float64 else original(x)
    steps, add = [], loop.EpochLosses.add

    def noted(losses: loop.EpochLosses, fabric: object, step: dict) -> None:
        before = losses._state[0].clone()
        add(losses, fabric, step)
        steps.append((losses._state[0][: len(before)] - before).tolist())

    loop.EpochLosses.add = noted
    paths = Project(folder).paths
    loop.train(training.model_copy(update={"recipe": recipe}), paths)
    if int(os.environ.get("LOCAL_RANK", 0)) == 0:
        print(json.dumps(steps))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), sys.argv[4])
