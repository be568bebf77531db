"""XTC and SS as methods: what they teach, and that beside the mapping network they are the baseline."""

import copy

import pytest
import torch
from helpers.consistency import ZOOMS, doubled, fresh
from helpers.networks import NYUD, batch_of, network
from helpers.networks import fresh as narrow_network
from torch import Tensor

from dmtl.models import build
from dmtl.models.consistency.network import CONSISTENCY
from dmtl.models.consistency.view import View, draw_view


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_consistency_teaches_the_tasks_without_a_label(method: str) -> None:
    model = fresh(method)
    model.decoders.heads["normals"].bias.data[2] = 5  # so that normals of both views are near each other
    model(doubled(batch_of("full").only(("semseg",))))[CONSISTENCY].backward()
    for task in ("depth", "normals"):
        assert model.decoders.heads[task].weight.grad.any()
    assert model.trunk.backbone.conv1.weight.grad.any()
    if method == "semi_supervised":
        assert model.decoders.heads["semseg"].weight.grad is None


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_where_there_is_nothing_to_compare_there_is_no_term(method: str) -> None:
    model = fresh(method, {"semseg": 13} if method == "xtc" else NYUD)
    batch = doubled(batch_of("full"))
    losses = model(batch.only(("semseg",)) if method == "xtc" else batch)
    assert CONSISTENCY not in losses
    assert losses


# Beside the mapping network it is the baseline


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_inference_is_the_baselines(method: str) -> None:
    """Same weights, same predictions; the mapping network does not run."""
    model, baseline = fresh(method), narrow_network("mtl_baseline").double().eval()
    state = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk", "decoders"))}
    baseline.load_state_dict(state)
    broken = copy.deepcopy(model)
    for name, parameter in broken.named_parameters():
        if name.startswith("mapping"):
            parameter.data.fill_(float("nan"))
    images = torch.randn(2, 3, 32, 64).double()
    expected = baseline.predict(images)["final"]
    for task, maps in broken.predict(images)["final"].items():
        assert torch.equal(maps, expected[task])


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_the_supervised_loss_is_of_the_first_view(method: str) -> None:
    model, baseline = fresh(method), narrow_network("mtl_baseline").double().eval()
    state = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk", "decoders"))}
    baseline.load_state_dict(state)
    batch = doubled(batch_of("randomlabels"))
    losses = model(batch)
    for task, loss in baseline(batch).items():
        assert losses[task].item() == pytest.approx(loss.item(), rel=1e-6)


def test_a_second_view_is_no_copy() -> None:
    """Both views are in one batch of the trunk, the second after the first."""
    model, batch = fresh("xtc"), doubled(batch_of("onelabel"))
    seen: list[Tensor] = []
    model.trunk.backbone.conv1.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    model(batch)
    (images,) = seen
    assert torch.equal(images[:4], batch.images)
    view: View = draw_view(batch.noise_keys, (32, 64), ZOOMS, flip=False)
    assert torch.equal(images[4:], view.image(batch.images).double())
    assert not torch.equal(images[4:], images[:4])


def test_resnet50s_feature_is_projected_by_fixed_weights() -> None:
    torch.manual_seed(0)
    options = network("xtc").model_copy(update={"backbone": "resnet50"})
    model = build(options)
    assert model.projection.shape == (16, 2048, 1, 1)
    rows = model.projection[:, :, 0, 0]
    assert torch.allclose(rows @ rows.T, torch.eye(16), atol=1e-4)
    assert "projection" not in dict(model.named_parameters())
    losses = model.train()(batch_of("onelabel"))
    assert losses[CONSISTENCY].isfinite()


def test_gamma_and_beta_have_their_own_learning_rate() -> None:
    model = fresh("xtc")
    rest, film = model.parameter_groups()
    assert "rate" not in rest
    assert [film["rate"](epoch) for epoch in (0, 29, 30, 60)] == pytest.approx([1e-3, 1e-3, 5e-4, 2.5e-4])
    ours = {id(p) for name, p in model.named_parameters() if name.endswith(("gamma", "beta"))}
    assert {id(p) for p in film["params"]} == ours
    assert len(rest["params"]) + len(film["params"]) == len(list(model.parameters()))
