"""Gaussian noise as a pure function of (image key, task, step): see `dmtl.models.shared.random`."""

import math

import torch
from torch import Tensor

from dmtl.models.shared.random import hashed, logical_shift, streams, unit

_CACHED_VALUES = 2**21  # at most so many at once: larger intermediates leave the cache and cost three times as much on a CPU
_GPU_VALUES = 2**24  # on a GPU, where each part costs some thirty launches; 128 MB an intermediate


def gaussian(noise_keys: Tensor, task: str, step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of each image: `(N,)` int64 keys -> `(N, *shape)` float32.

    Box-Muller on the two 32-bit halves of one hash per pair of values.
    """
    size, at_once = math.prod(shape), _GPU_VALUES if noise_keys.is_cuda else _CACHED_VALUES
    parts = [_normal(part, size) for part in streams(noise_keys, task, step).split(max(1, at_once // size))]
    return torch.cat(parts).reshape(len(noise_keys), *shape)


def _normal(stream: Tensor, size: int) -> Tensor:
    """`(N,)` int64 -> `(N, size)`."""
    bits = hashed(stream, (size + 1) // 2)
    radius = torch.sqrt(-2 * torch.log(unit(logical_shift(bits, 32))))
    angle = 2 * math.pi * unit(bits & 0xFFFFFFFF)
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1).flatten(1)[:, :size]
