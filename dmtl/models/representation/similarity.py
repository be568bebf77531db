"""How alike the tasks' shared layers are, and how much own features repeat shared ones (docs/methods.md, "dual_encoder")."""

import torch
from torch import Tensor

SMALLEST = 1e-6  # a channel that varies less counts as constant, and is correlated with nothing


def similarity_penalty(weights: Tensor, centre: Tensor | None) -> Tensor:
    """`(T, ...)` weights of all tasks -> scalar: the sum over tasks of their distance from a centre.

    Without a centre the squared distance from their mean; from a free one `(...)` the distance itself, which lets a task that
    differs break away.
    """
    weights = weights.float().flatten(1)
    if centre is None:
        return (weights - weights.mean(0)).square().sum()
    return torch.linalg.vector_norm(weights - centre.float().flatten(), dim=1).sum()


def correlation_penalty(shared: Tensor, own: Tensor) -> Tensor:
    """`(B, C, h, w)` and `(B, D, h, w)` -> scalar: the squared correlations of their channels over positions.

    A sum over pairs of channels, a mean over images; the scale and the mean of a channel do not matter.
    """
    return (_standard(shared) @ _standard(own).mT).square().sum((1, 2)).mean()


def _standard(features: Tensor) -> Tensor:
    """`(B, C, h, w)` -> `(B, C, h w)`, each channel centred and of length 1, or 0 where it is constant."""
    flat = features.float().flatten(2)
    centred = flat - flat.mean(2, keepdim=True)
    length = torch.linalg.vector_norm(centred, dim=2, keepdim=True)
    return centred / length.masked_fill(length < SMALLEST, float("inf"))
