"""The mapping network of XTC."""

import pytest
import torch
from helpers.networks import NYUD

from dmtl.models.consistency.mapping import MappingNetwork


@pytest.mark.parametrize(("pools", "size"), [(2, (36, 48)), (2, (16, 32)), (2, (6, 8)), (5, (288, 384))])
def test_the_joint_space_lies_at_a_thirty_second(pools: int, size: tuple[int, int]) -> None:
    mapping = MappingNetwork(NYUD, (2, 2, 2, 2, 3), pools)
    out = mapping(mapping.bank({"depth": torch.rand(2, 1, *size)}), torch.tensor([0, 3]))
    factor = 2**pools
    assert out.shape == (2, 3, -(-size[0] // factor), -(-size[1] // factor))
    assert len(mapping.layers) == 13


def test_gamma_and_beta_begin_as_nothing_and_are_a_pairs_own() -> None:
    torch.manual_seed(0)
    mapping = MappingNetwork(NYUD, (4, 4, 4, 4, 4), 2).eval()
    assert [p.shape for p in mapping.film_parameters()] == [(4, 6)] * 26
    x = mapping.bank({"depth": torch.rand(1, 1, 8, 8)}).expand(2, -1, -1, -1)
    same = mapping(x, torch.tensor([1, 4]))
    assert torch.equal(same[0], same[1])
    mapping.film_parameters()[0].data[:, 4] *= 2
    other = mapping(x, torch.tensor([1, 4]))
    assert torch.equal(other[0], same[0])
    assert not torch.equal(other[1], same[1])
