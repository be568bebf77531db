"""Parameters and multiply-adds of a network, counted on shapes alone (docs/methods.md).

One multiply-add counts once; attention, norms and interpolation count as in fvcore, which the printed figures follow. Nothing is
pruned, and no weights, data or GPU are needed.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from dmtl.models.shared.method import Method
from dmtl.tasks.shared.pixels import upsample

ATEN = torch.ops.aten
AN_OUTPUT = {ATEN.native_batch_norm: 2, ATEN.native_layer_norm: 5, ATEN.upsample_bilinear2d: 4}  # an element of the output
AN_INPUT = {ATEN._adaptive_avg_pool2d: 1}


@dataclass(frozen=True)
class Cost:
    """What a network holds and what one image takes.

    Attributes:
        parameters: all of them, used or not, as the paper counts.
        idle: module -> those of its parameters that are frozen and that no operation touches.
        training_only: the same of parameters that are trained.
        multiply_adds: of one forward pass in evaluation mode.
    """

    parameters: int
    idle: dict[str, int]
    training_only: dict[str, int]
    multiply_adds: int


class _Counter(TorchDispatchMode):
    """Adds up the multiply-adds of every operation, and notes which tensors are handed to one."""

    def __init__(self) -> None:
        super().__init__()
        self.multiply_adds = 0
        self.touched: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kind = func.overloadpacket
        # Of these two torch works out the shape by running them in small steps, which would take most of the time.
        if kind is ATEN.upsample_bilinear2d:
            result = args[0].new_empty((*args[0].shape[:2], *args[1]))
        elif kind is ATEN.native_batch_norm:
            result = args[0].new_empty(args[0].shape), args[0].new_empty(0), args[0].new_empty(0)
        else:
            result = func(*args, **(kwargs or {}))
        self.touched |= {id(x) for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        if kind in flop_registry:  # convolutions and matrix products; torch counts a multiply-add twice
            self.multiply_adds += flop_registry[kind](*args, **(kwargs or {}), out_val=result) // 2
        elif kind in AN_OUTPUT:
            self.multiply_adds += AN_OUTPUT[kind] * tree_leaves(result)[0].numel()
        elif kind in AN_INPUT:
            self.multiply_adds += AN_INPUT[kind] * args[0].numel()
        return result


def cost_of(model: Method, size: tuple[int, int]) -> Cost:
    """Cost of one image's final predictions at its size; initial ones stay at the network's, for only their loss enlarges them.

    Args:
        model: on the meta device; it is put into evaluation mode.
        size: (height, width) of the image.
    """
    image, noise_keys = torch.empty(1, 3, *size, device="meta"), torch.empty(1, dtype=torch.int64, device="meta")
    with _Counter() as counter, torch.no_grad():
        stages = model.eval().maps(image, 1.0, noise_keys)
        for prediction in stages["final"].values():
            upsample(prediction, size)
    idle: dict[str, int] = {}
    training_only: dict[str, int] = {}
    for name, parameter in model.named_parameters():
        if id(parameter) not in counter.touched:
            group, module = training_only if parameter.requires_grad else idle, ".".join(name.split(".")[:2])
            group[module] = group.get(module, 0) + parameter.numel()
    return Cost(sum(p.numel() for p in model.parameters()), idle, training_only, counter.multiply_adds)
