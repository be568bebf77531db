"""DiBS against its algorithm on explicit gradients."""

import pytest
import torch
from torch import Tensor

from dmtl.training.dibs import dibs_weights


def _plain_dibs(directions: Tensor, iterations: int, radius: float, rate: float) -> Tensor:
    """The algorithm on the gradients themselves: -> weights, not scaled."""
    units = [g / g.norm() for g in directions]
    preferred = [-radius * u for u in units]
    moved, weights = torch.zeros_like(directions[0]), torch.zeros(len(directions), dtype=directions.dtype)
    for _ in range(iterations):
        distances = [(moved - state).norm() for state in preferred]
        for i, distance in enumerate(distances):
            weights[i] += rate * distance / directions[i].norm()
        moved = moved - rate * sum(d * u for d, u in zip(distances, units, strict=True))
        if moved.norm() > radius:
            break
    return weights


@pytest.mark.parametrize(("iterations", "rate"), [(1, 0.01), (5, 2e-4), (5, 0.1), (50, 0.3)])
def test_dibs_is_its_definition_on_explicit_gradients(iterations: int, rate: float) -> None:
    directions = torch.randn(4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    directions *= torch.tensor([[1e-3], [1.0], [5.0], [200.0]])
    directions[2] -= 3 * directions[1]  # a conflict
    weights = dibs_weights(directions @ directions.T, iterations, rate)
    plain = _plain_dibs(directions, iterations, 1e-3, rate)
    assert torch.allclose(weights, plain / plain.mean(), rtol=1e-9)
    assert float(weights.mean()) == pytest.approx(1)


def test_dibs_as_released_is_nearly_normalised_gradients_and_bargains_at_a_higher_rate() -> None:
    directions = torch.tensor([[2.0, 0.0], [0.1, 0.1], [0.0, -9.0]])
    inverse = 1 / directions.norm(dim=1)
    released = dibs_weights(directions @ directions.T, 5, 2e-4)
    assert torch.allclose(released, inverse / inverse.mean(), rtol=2e-3)
    bargained = dibs_weights(directions @ directions.T, 5, 0.2)
    assert (bargained / released - 1).abs().max() > 0.05
