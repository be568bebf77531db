"""Parts of the denoiser: attention against torch's, the embedding of a step against its formula."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.models.diffusion.blocks import Attention, StepEmbedding


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_torchs(heads: int) -> None:
    torch.manual_seed(0)
    attention = Attention(16, heads)
    query, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    q, (k, v) = attention.query(query), attention.key_value(memory).chunk(2, -1)
    split = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v)]
    expected = attention.out(F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
    assert torch.allclose(attention(query, memory), expected, atol=1e-6)


def test_step_embedding_has_the_sinusoids_of_the_raw_index() -> None:
    embedding = StepEmbedding(8)
    seen: list[Tensor] = []
    embedding.mlp[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    embedding(3)
    frequencies = [10000 ** (-k / 128) for k in range(128)]
    expected = [math.cos(3 * f) for f in frequencies] + [math.sin(3 * f) for f in frequencies]
    assert torch.allclose(seen[0], torch.tensor(expected), atol=1e-5)
