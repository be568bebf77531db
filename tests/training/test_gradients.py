"""The shared parameters of tasks, and the inner products of their gradients."""

import pytest
import torch
from helpers.balancing import FABRIC
from helpers.networks import batch_of, fresh

from dmtl.training.gradients import inner_products, shared_by_tasks, task_gradients


def test_shared_are_the_parameters_that_two_tasks_move() -> None:
    """Prediction Diffusion's condition is not detached, so every loss moves every decoder."""
    shared = {}
    for method in ("mtl_baseline", "diffusion_feature", "diffusion_prediction"):
        model = fresh(method)
        rows = task_gradients(FABRIC, list(model(batch_of("onelabel")).values()), list(model.parameters()))
        names = [name for name, _ in model.named_parameters()]
        flags = shared_by_tasks(inner_products(rows)).tolist()
        shared[method] = {".".join(n.split(".")[:2]) for n, flag in zip(names, flags, strict=True) if flag}
    trunk = {"trunk.backbone", "trunk.fuse"}
    denoiser = {"denoiser.blocks", "denoiser.step_embedding", "condition.fuse"}
    assert shared["mtl_baseline"] == trunk
    assert shared["diffusion_feature"] == trunk | denoiser
    assert shared["diffusion_prediction"] == trunk | denoiser | {"decoders.decoders", "decoders.heads", "condition.project"}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_inner_products_are_those_of_each_parameters_gradients(layout: torch.memory_format) -> None:
    model = fresh("diffusion_feature").to(memory_format=layout)
    rows = task_gradients(FABRIC, list(model(batch_of("randomlabels")).values()), list(model.parameters()))
    assert any(None in row for row in rows)
    for row, found in zip(rows, inner_products(rows), strict=True):
        like = next((g for g in row if g is not None), torch.zeros(1))
        flat = torch.stack([(torch.zeros_like(like) if g is None else g).reshape(-1).double() for g in row])
        assert torch.allclose(found, flat @ flat.T, rtol=1e-4, atol=1e-4 * float((flat @ flat.T).max()))
