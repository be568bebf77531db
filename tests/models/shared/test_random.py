"""Uniform draws by key."""

import torch

from dmtl.models.shared.random import uniform


def test_uniform_draws() -> None:
    draws = uniform(torch.arange(4), "anything", 0, (5, 10_001)).double()
    assert draws.min() > 0
    assert draws.max() < 1
    assert (draws.mean() - 0.5).abs() < 0.005
    assert (draws.var() - 1 / 12).abs() < 0.001
    assert torch.equal(draws[2:3], uniform(torch.tensor([2]), "anything", 0, (5, 10_001)).double())
    assert not torch.equal(draws, uniform(torch.arange(4), "another", 0, (5, 10_001)).double())
