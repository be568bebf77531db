"""The devices of one training: Fabric's, and what several processes must agree on (docs/pipeline.md, "Several devices").

Fabric starts or finds the processes (its own, torchrun's, Slurm's). Each takes its share of the same global batch, and what they
compute together is what one would: gradients and losses are sums over the global batch, batch norm sees all of it, and noise
belongs to the image. Only the first process writes, tracks and shows progress.
"""

import logging
import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from dmtl.config import Recipe
from dmtl.errors import UserError
from dmtl.models.shared.backbone import has_timm
from dmtl.models.shared.precision import warn_of_emulation
from dmtl.training.fabric import DDPStrategy, Fabric


@contextmanager
def launched(recipe: Recipe) -> Iterator[Fabric]:
    """Fabric on the devices that the recipe asks for; processes that it started do not outlive the first one.

    Raises:
        UserError: there are not so many devices, or a batch is too small for them.
    """
    machines = int(os.environ.get("GROUP_WORLD_SIZE") or os.environ.get("SLURM_STEP_NUM_NODES") or 1)  # torchrun's, srun's
    if recipe.batch < recipe.devices * machines:
        raise UserError(f"params.yaml: a batch of {recipe.batch} is too small for {recipe.devices * machines} devices")
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    several = recipe.strategy == "ddp" or recipe.devices * machines > 1
    if several:
        _require_gpus()
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it would repeat the recipe's precision
    # a batch may label no image of some task, so that its decoder gets no gradient
    strategy = DDPStrategy(find_unused_parameters=True) if several else "auto"
    try:
        fabric = Fabric(devices=recipe.devices, num_nodes=machines, strategy=strategy, precision=recipe.precision)
    except Exception as error:
        raise UserError(f"params.yaml: devices {recipe.devices}: {' '.join(str(error).split())[:200]}") from None
    fabric.launch()
    if fabric.is_global_zero:
        warn_of_emulation(fabric.device, recipe.precision)
    try:
        yield fabric
    except BaseException:
        for process in getattr(fabric.strategy.launcher, "procs", []):
            process.kill()  # it may wait for this one for ever
        raise


def synchronise_batch_norm(network: nn.Module, fabric: Fabric) -> None:
    """Let every batch norm see the global batch (SyncBN, as released)."""
    if fabric.world_size == 1:
        return
    convert = nn.SyncBatchNorm.convert_sync_batchnorm
    if has_timm(network):  # torch's would drop the activations in timm's batch norms
        from timm.layers import convert_sync_batchnorm as convert
    convert(network)  # below the root, so in place


def _require_gpus() -> None:
    if not torch.cuda.is_available():
        raise UserError("params.yaml: several devices must be GPUs (SyncBatchNorm refuses the CPU): set devices to 1")


def share_of(fabric: Fabric) -> tuple[int, int]:
    """Which share of every batch is this process's: (number from 0, how many there are)."""
    return fabric.global_rank, fabric.world_size


class Agreement:
    """Whether some process was told to stop, known to all of them at the same step.

    Several processes ask each other in every step and read the answer two steps later, when it is long there: none waits.
    """

    def __init__(self, fabric: Fabric) -> None:
        self._fabric = fabric
        self._asked: deque[tuple[Tensor, torch.cuda.Event | None]] = deque()

    def __call__(self, requested: int | None) -> int | None:
        """This process's signal, or None -> that of any process."""
        if self._fabric.world_size == 1:
            return requested
        self._asked.append(self._ask(requested or 0))
        if len(self._asked) <= 2:
            return None
        answer, ready = self._asked.popleft()
        if ready is not None:
            ready.synchronize()
        return int(answer) or None

    def _ask(self, signal: int) -> tuple[Tensor, torch.cuda.Event | None]:
        device = self._fabric.device
        flag = torch.full((), signal, dtype=torch.int32, device=device)
        torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
        if device.type != "cuda":
            return flag, None
        answer = torch.empty((), dtype=torch.int32, pin_memory=True)
        answer.copy_(flag, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        return answer, ready
