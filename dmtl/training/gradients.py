"""Each task's own gradient, what the tasks' gradients have in common, and their weighted sum."""

from collections.abc import Sequence
from itertools import combinations_with_replacement

import torch
from torch import Tensor, nn

from dmtl.training.fabric import Fabric

Row = tuple[Tensor | None, ...]  # one parameter's gradients, one per task; None where a task does not reach it


def task_gradients(
    fabric: Fabric, losses: Sequence[Tensor], parameters: Sequence[nn.Parameter], keep_graph: bool = False
) -> list[Row]:
    """One backward pass per task: the `T` gradients of each parameter.

    A pass visits only what its own loss reaches, so the decoders of other tasks cost nothing; passes through all losses at once
    (vmap over a Jacobian) would hold every intermediate gradient T times. `.grad` is None afterwards.
    """
    passes = []
    for number, loss in enumerate(losses, start=1):
        fabric.backward(loss, retain_graph=keep_graph or number < len(losses))
        passes.append([parameter.grad for parameter in parameters])
        for parameter in parameters:
            parameter.grad = None
    return list(zip(*passes, strict=True))


def inner_products(rows: Sequence[Row]) -> Tensor:
    """Inner products of each parameter's gradients, `(P, T, T)`, each to about 1e-5 of the norms; one copy to the CPU a step."""
    tasks = len(rows[0])
    i, j = zip(*combinations_with_replacement(range(tasks), 2), strict=True)
    device = next(gradient.device for row in rows for gradient in row if gradient is not None)
    nothing = torch.zeros((), device=device)
    flat = [[None if gradient is None else _flat(gradient) for gradient in row] for row in rows]
    dots = [_dot(row[a], row[b], nothing) for row in flat for a, b in zip(i, j, strict=True)]
    products = torch.zeros(len(rows), tasks, tasks, dtype=torch.float64)
    products[:, i, j] = products[:, j, i] = torch.stack(dots).cpu().double().view(len(rows), len(i))
    return products


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


def _flat(gradient: Tensor) -> Tensor:
    """A view of all numbers in the order of memory, which autograd makes that of the parameter, whatever the task."""
    return gradient.as_strided((gradient.numel(),), (1,))


def _dot(a: Tensor | None, b: Tensor | None, nothing: Tensor) -> Tensor:
    return nothing if a is None or b is None else torch.dot(a, b)
