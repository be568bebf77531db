"""Each task's own gradient, what the tasks' gradients have in common, and their weighted sum."""

from collections.abc import Sequence

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

Row = tuple[Tensor | None, ...]  # one parameter's gradients, one a task; None where a task does not reach it


def task_gradients(fabric: Fabric, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter]) -> list[Row]:
    """One backward pass a task: the `T` gradients of each parameter.

    A pass visits only what its own loss reaches, so the decoders of other tasks cost nothing; passes through all losses at once
    (vmap over a Jacobian) would hold every intermediate gradient T times. `.grad` is None afterwards.
    """
    passes = []
    for number, loss in enumerate(losses, start=1):
        fabric.backward(loss, retain_graph=number < len(losses))
        passes.append([parameter.grad for parameter in parameters])
        for parameter in parameters:
            parameter.grad = None
    return list(zip(*passes, strict=True))


def inner_products(rows: Sequence[Row]) -> Tensor:
    """Inner products of each parameter's gradients, `(P, T, T)` on the CPU: one copy from the device a step.

    In float64, since tasks whose losses differ a thousandfold differ a millionfold here, and some methods invert this matrix.
    """
    return torch.stack([_products(row) for row in rows]).cpu()


def shared_by_tasks(products: Tensor) -> Tensor:
    """`(P,)` bool: the parameters that more than one task's loss moves.

    Told from values and not from the graph: where tasks are packed into one batch, as in the denoiser, the graph reaches
    the other tasks' layers too, with gradients of exactly 0.
    """
    return (products.diagonal(dim1=1, dim2=2) > 0).sum(1) > 1


def weighted_sum(row: Row, weights: Sequence[float]) -> Tensor | None:
    """Sum of weight times gradient over the tasks that reach a parameter; overwrites the gradients."""
    total: Tensor | None = None
    for gradient, weight in zip(row, weights, strict=True):
        if gradient is None:
            continue
        total = gradient.mul_(weight) if total is None else total.add_(gradient, alpha=weight)
    return total


def _products(row: Row) -> Tensor:
    """`(T, T)` of one parameter; zeros where fewer than two tasks reach it, since nothing is asked of those."""
    present = [gradient for gradient in row if gradient is not None]
    if len(present) < 2:
        device = present[0].device if present else None
        return torch.zeros(len(row), len(row), device=device, dtype=torch.float64)
    flat = torch.stack([(torch.zeros_like(present[0]) if g is None else g).flatten() for g in row]).double()
    return flat @ flat.T
