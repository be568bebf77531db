"""Parameters and multiply-adds of each row of the tables at paper size, counted on shapes alone (models.md 0).

One multiply-add counts once; attention, norms and interpolation count as in fvcore, which the printed figures follow. Nothing is
pruned, and no weights, data or GPU are needed.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from dmtl.benchmarks.raw import benchmark_module
from dmtl.config import Cell, Grid, Project, Training, for_report, for_training
from dmtl.models import build, method_names
from dmtl.models.method import Method
from dmtl.report import published
from dmtl.report.published import Row
from dmtl.report.results import row_of

TABLES = (1, 2, 3, 4, 5)
BACKWARD = 2  # a backward pass costs about two forward ones


ATEN = torch.ops.aten
AN_OUTPUT = {ATEN.native_batch_norm: 2, ATEN.native_layer_norm: 5, ATEN.upsample_bilinear2d: 4}  # for each element of the output
AN_INPUT = {ATEN._adaptive_avg_pool2d: 1}


@dataclass(frozen=True)
class Cost:
    """What a network holds and what one image takes; `idle` are the parameters that no operation touches."""

    parameters: int
    idle: int
    multiply_adds: int


class _Counter(TorchDispatchMode):
    """Adds up the multiply-adds of every operation, and notes which tensors are handed to one."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0
        self.touched: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.touched |= {id(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        kind = func.overloadpacket
        if kind in flop_registry:  # convolutions and matrix products; torch counts a multiply-add twice
            self.multiply_adds += flop_registry[kind](*args, **(kwargs or {}), out_val=result) // 2
        elif kind in AN_OUTPUT:
            self.multiply_adds += AN_OUTPUT[kind] * tree_leaves(result)[0].numel()
        elif kind in AN_INPUT:
            self.multiply_adds += AN_INPUT[kind] * args[0].numel()
        return result


def cost_of(model: Method, size: tuple[int, int]) -> Cost:
    """Cost of `model.predict` on one image.

    Args:
        model: on the meta device; it is put into evaluation mode.
        size: (height, width) of the image.
    """
    image = torch.empty(1, 3, *size, device="meta")
    with _Counter() as counter:
        model.eval().predict(image)
    parameters = list(model.parameters())
    idle = sum(p.numel() for p in parameters if id(p) not in counter.touched)
    return Cost(sum(p.numel() for p in parameters), idle, counter.multiply_adds)
