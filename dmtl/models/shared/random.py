"""Random numbers as a pure function of what they are for.

Each draw belongs to (image key, name, step) and is a counter-based hash of them, so batch composition, device, number of
processes and an interruption leave it as it is: there is no generator whose state could differ. The hash is SplitMix64
(Steele, Lea and Flood, OOPSLA 2014).
"""

import math
import zlib

import torch
from torch import Tensor

_GOLDEN = -7046029254386353131  # 0x9E3779B97F4A7C15, SplitMix64's increment, as a signed 64-bit number
_MIX_1 = -4658895280553007687  # 0xBF58476D1CE4E5B9
_MIX_2 = -7723592293110705685  # 0x94D049BB133111EB


def uniform(noise_keys: Tensor, name: str, step: int, shape: tuple[int, ...]) -> Tensor:
    """Uniform numbers of each image: `(N,)` int64 keys -> `(N, *shape)` float32 in (0, 1)."""
    bits = hashed(streams(noise_keys, name, step), math.prod(shape))
    return unit(bits & 0xFFFFFFFF).clamp(max=1 - 2.0**-24).reshape(len(noise_keys), *shape)


def streams(noise_keys: Tensor, name: str, step: int) -> Tensor:
    """`(N,)` int64 keys -> `(N,)` int64, where the draws of each image for (name, step) begin."""
    return _mix(_mix(noise_keys + zlib.crc32(name.encode())) + step)


def hashed(stream: Tensor, count: int) -> Tensor:
    """`(N,)` int64 streams -> `(N, count)` int64 of 64 random bits each."""
    counter = torch.arange(count, device=stream.device, dtype=torch.int64)
    return _mix(stream[:, None] + counter * _GOLDEN)


def unit(bits: Tensor) -> Tensor:
    """32 random bits -> (0, 1], never 0: the middle of 2^24 equal intervals as float32 rounds it, the last one to 1."""
    return (logical_shift(bits, 8).float() + 0.5) * 2.0**-24


def logical_shift(bits: Tensor, count: int) -> Tensor:
    """Logical shift right of 64-bit numbers (torch's own keeps the sign)."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


def _mix(bits: Tensor) -> Tensor:
    """SplitMix64's finaliser, in wrapping 64-bit arithmetic."""
    bits = (bits ^ logical_shift(bits, 30)) * _MIX_1
    bits = (bits ^ logical_shift(bits, 27)) * _MIX_2
    return bits ^ logical_shift(bits, 31)
