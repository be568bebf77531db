"""Noise: standard normal, each draw its own, the same however many are drawn and from one version to the next."""

import torch

from dmtl.models.diffusion.noise import gaussian


def test_noise_is_standard_normal_and_its_own() -> None:
    keys = torch.tensor([1, 2, 3])
    shape = (8, 100, 100)
    draw = gaussian(keys, "depth", 1, shape).double()
    assert draw.mean().abs() < 0.01
    assert (draw.std() - 1).abs() < 0.01
    assert (draw.pow(4).mean() - 3).abs() < 0.1
    flat = torch.cat([draw.flatten(1), *(gaussian(keys, *stream, shape).flatten(1) for stream in (("depth", 2), ("semseg", 1)))])
    assert (torch.corrcoef(flat) - torch.eye(9)).abs().max() < 0.02
    assert (draw[:, :, 1:] * draw[:, :, :-1]).mean().abs() < 0.01


def test_noise_does_not_depend_on_how_many_are_drawn() -> None:
    keys = torch.arange(40)
    together = gaussian(keys, "semseg", 2, (13, 90, 75))  # more than one cache-sized part, odd number of values
    assert torch.equal(together[[5, 39]], gaussian(keys[[5, 39]], "semseg", 2, (13, 90, 75)))


def test_noise_stays_what_it_was() -> None:
    """Weights trained with it are only made again with the same draws."""
    draw = gaussian(torch.tensor([1, -5]), "depth", 1, (2,)).flatten()
    assert torch.allclose(draw, torch.tensor([0.1752311, -1.3220313, -0.1480625, -1.7828501]), atol=1e-6)
