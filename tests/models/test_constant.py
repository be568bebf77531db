"""The constant prediction."""

from collections.abc import Iterator

import torch
from helpers.networks import fresh
from torch import Tensor


def test_the_constant_is_the_best_constant() -> None:
    def labels() -> Iterator[dict[str, Tensor]]:
        depth = torch.tensor([1.0, 2.0, 9.0, 255.0]).view(1, 2, 2)
        normals = torch.tensor([0.6, 0.0, 0.8]).view(3, 1, 1).expand(3, 2, 2)
        yield {"semseg": torch.tensor([3.0, 3.0, 7.0, 255.0]).view(1, 2, 2), "depth": depth}
        yield {"normals": normals}

    model = fresh("constant")
    model.prepare(labels())
    final = model.predict(torch.zeros(2, 3, 4, 6))["final"]
    assert (final["semseg"].argmax(1) == 3).all()
    assert (final["depth"] == 2).all()
    assert torch.allclose(final["normals"][0, :, 0, 0], torch.tensor([0.6, 0.0, 0.8]))
