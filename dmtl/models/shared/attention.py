"""Scaled dot-product attention: one fused kernel on a GPU, two matrix products elsewhere."""

import torch
import torch.nn.functional as F
from torch import Tensor


def attend(query: Tensor, key: Tensor, value: Tensor, fused: bool | None = None) -> Tensor:
    """softmax(Q K' / sqrt(d)) V of each head.

    Args:
        query: `(P, heads, N, d)`.
        key, value: `(P, heads, M, d)`.
        fused: by torch's fused kernel, which never holds the N x M weights and rounds otherwise in the last digits. None: on a
            GPU alone, so that a CPU's weights keep their bits, and FLOP counters on shapes see the two products that fvcore saw.

    Returns:
        `(P, heads, N, d)`.
    """
    if query.is_cuda if fused is None else fused:
        return F.scaled_dot_product_attention(query, key, value)
    return torch.softmax(query @ key.transpose(-2, -1) * query.shape[-1] ** -0.5, dim=-1) @ value
