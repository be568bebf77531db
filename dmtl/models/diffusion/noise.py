"""Gaussian noise as a pure function of what it is for.

Each draw belongs to (image key, task, step) and is a counter-based hash of them, so batch composition, device, number of
processes and an interruption leave it as it is: there is no generator whose state could differ.
"""

import math
import zlib

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, SplitMix64's increment, as a signed 64-bit number
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB
_CACHED_VALUES = 2**21  # at most so many at once: larger intermediates leave the cache and cost three times as much on a CPU


def gaussian(keys: Tensor, task: str, step: int, shape: tuple[int, ...]) -> Tensor:
    """Standard normal noise of each image: `(N,)` int64 keys -> `(N, *shape)` float32.

    Box-Muller on two 32-bit uniforms of a SplitMix64 hash a pair of values (Steele, Lea and Flood, OOPSLA 2014).
    """
    size = math.prod(shape)
    streams = _mix(_mix(keys + zlib.crc32(task.encode())) + step)
    parts = [_normal(part, size) for part in streams.split(max(1, _CACHED_VALUES // size))]
    return torch.cat(parts).reshape(len(keys), *shape)


def _normal(streams: Tensor, size: int) -> Tensor:
    """`(N,)` int64 -> `(N, size)`."""
    counter = torch.arange((size + 1) // 2, device=streams.device, dtype=torch.int64)
    bits = _mix(streams[:, None] + counter * _GOLDEN)
    radius = torch.sqrt(-2 * torch.log(_uniform(_shift(bits, 32))))
    angle = 2 * math.pi * _uniform(bits & 0xFFFFFFFF)
    return torch.stack([radius * torch.cos(angle), radius * torch.sin(angle)], dim=-1).flatten(1)[:, :size]


def _shift(bits: Tensor, count: int) -> Tensor:
    """Logical shift right of 64-bit numbers (torch's own keeps the sign)."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser, in wrapping 64-bit arithmetic."""
    bits = (bits ^ _shift(bits, 30)) * _MIX_1
    bits = (bits ^ _shift(bits, 27)) * _MIX_2
    return bits ^ _shift(bits, 31)


def _uniform(bits: Tensor) -> Tensor:
    """32 random bits -> (0, 1), never 0: the middle of 2^24 equal intervals, exact in float32."""
    return (_shift(bits, 8).float() + 0.5) * 2.0**-24
