"""Dual encoders: layers that are kept alike, own features that are kept apart, and who teaches an own encoder."""

import pytest
import torch
from helpers.networks import NYUD, batch_of, fresh
from helpers.project import tiny_params

from dmtl.models.dual_encoder import DualEncoder, own_encoder
from dmtl.models.representation.similarity import correlation_penalty, similarity_penalty

NONE = {"weight": 0.0, "size": 0.0, "orthogonality": 0.0}


def _made(**options: object) -> DualEncoder:
    params = tiny_params()
    params["representation"]["dual_encoder"] |= options
    model = fresh("dual_encoder", params=params)
    assert isinstance(model, DualEncoder)
    return model


def test_equal_layers_are_at_no_distance() -> None:
    weights = torch.randn(1, 8, 8, 1, 1).expand(3, -1, -1, -1, -1)
    assert similarity_penalty(weights, None).item() == pytest.approx(0, abs=1e-9)
    assert similarity_penalty(weights, weights[0]).item() == 0
    assert similarity_penalty(weights + torch.randn(3, 8, 8, 1, 1), None) > 1


def test_similarity_by_hand() -> None:
    """Squared distances from the mean, or distances as they are from a centre of one's own."""
    weights = torch.tensor([[3.0, 4.0], [0.0, 0.0]])
    assert similarity_penalty(weights, None).item() == pytest.approx(12.5)
    assert similarity_penalty(weights, torch.zeros(2)).item() == pytest.approx(5)


@pytest.mark.parametrize("similarity", ["mean", "adaptive"])
def test_a_large_weight_makes_all_layers_one(similarity: str) -> None:
    """The penalty alone, by small steps from different layers."""
    model = _made(similarity=similarity, weight=1.0, size=0.0, orthogonality=0.0)
    torch.manual_seed(1)
    for layer in model.shared.values():
        layer.weight.data += 0.1 * torch.randn_like(layer.weight)

    def spread() -> float:
        weights = torch.stack([model.shared[task].weight for task in NYUD])
        return (weights - weights.mean(0)).norm().item()

    before = spread()
    optimiser = torch.optim.SGD([*model.shared.parameters(), *([model.centre] if similarity == "adaptive" else [])], lr=0.01)
    for _ in range(200):
        optimiser.zero_grad()
        model._terms([])["similarity"].backward()
        optimiser.step()
    assert before > 0.5
    assert spread() < 0.1 * before


@pytest.mark.parametrize("similarity", ["mean", "adaptive"])
def test_the_terms_have_the_weights_of_their_options(similarity: str) -> None:
    """The size of the shared layers is a part of `similarity`, and the centre learns where there is one."""
    model = _made(own_width=1.0, similarity=similarity, weight=0.5, size=0.25, orthogonality=0.125).train()
    torch.manual_seed(1)
    for layer in model.shared.values():
        layer.weight.data += 0.1 * torch.randn_like(layer.weight)
    weights, batch = torch.stack([model.shared[task].weight for task in NYUD]), batch_of("full")
    apart = similarity_penalty(weights, model.centre if similarity == "adaptive" else None)
    losses = model(batch)
    assert losses["similarity"].item() == pytest.approx((0.5 * apart + 0.25 * weights.square().sum()).item(), rel=1e-5)
    shared = model.trunk(batch.images)
    correlated = sum(correlation_penalty(shared, model.encoders[task](batch.images)) for task in NYUD)
    assert losses["orthogonality"].item() == pytest.approx(0.125 * float(correlated), rel=1e-3)
    losses["similarity"].backward()
    moved = {name.partition(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == {"shared"} | ({"centre"} if similarity == "adaptive" else set())


def test_features_that_vary_apart_are_uncorrelated() -> None:
    wave = torch.tensor([1.0, -1.0, 1.0, -1.0]).view(1, 1, 2, 2)
    other = torch.tensor([1.0, 1.0, -1.0, -1.0]).view(1, 1, 2, 2)
    assert correlation_penalty(wave, other).item() == pytest.approx(0, abs=1e-9)
    assert correlation_penalty(wave, wave).item() == pytest.approx(1)
    assert correlation_penalty(wave, -wave).item() == pytest.approx(1)


def test_scale_and_mean_of_a_channel_do_not_correlate() -> None:
    shared, own = torch.randn(2, 6, 5, 7), torch.randn(2, 3, 5, 7)
    before = correlation_penalty(shared, own)
    assert before > 0
    scales = torch.tensor([0.1, 3.0, 20.0]).view(1, 3, 1, 1)
    assert correlation_penalty(shared, scales * own - 7).item() == pytest.approx(before.item(), rel=1e-4)


def test_a_constant_channel_is_correlated_with_nothing() -> None:
    own = torch.zeros(2, 3, 5, 7, requires_grad=True)
    penalty = correlation_penalty(torch.randn(2, 6, 5, 7), own)
    penalty.backward()
    assert penalty.item() == 0
    assert own.grad is not None
    assert own.grad.isfinite().all()


@pytest.mark.parametrize("own_width", [0.0, 1.0])
def test_it_begins_as_the_baseline(own_width: float) -> None:
    """Its layers let the shared feature through; without own encoders and penalties its losses are the baseline's as well."""
    model, baseline = _made(own_width=own_width, **NONE), fresh("mtl_baseline")
    kept = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk.", "decoders."))}
    baseline.load_state_dict(kept)
    images = torch.randn(2, 3, 32, 64)
    expected = baseline.eval().predict(images)["final"]
    assert all(torch.equal(maps, expected[task]) for task, maps in model.eval().predict(images)["final"].items())
    losses, plain = model.train()(batch_of("randomlabels")), baseline.train()(batch_of("randomlabels"))
    assert losses["similarity"].item() == 0
    assert all(torch.equal(loss, losses[task]) for task, loss in plain.items())


@pytest.mark.parametrize(("orthogonality", "reached"), [(0.0, {"depth"}), (1e-3, set(NYUD))])
def test_an_own_encoder_learns_from_its_task_and_from_orthogonality_alone(orthogonality: float, reached: set[str]) -> None:
    model = _made(own_width=1.0, orthogonality=orthogonality).train()
    for layer in model.own.values():
        layer.weight.data += 0.1 * torch.randn_like(layer.weight)  # as after a step: at first it hides its encoder
    torch.stack(list(model(batch_of("full").only(("depth",))).values())).sum().backward()
    moved = {task for task in NYUD if any(p.grad is not None and p.grad.any() for p in model.encoders[task].parameters())}
    assert moved == reached


def test_an_own_feature_reaches_its_own_task_alone() -> None:
    model, images = _made(own_width=1.0).eval(), torch.randn(1, 3, 32, 64)
    before = model.predict(images)["final"]
    model.own["depth"].weight.data += torch.randn_like(model.own["depth"].weight)
    after = model.predict(images)["final"]
    assert {task for task in NYUD if not torch.equal(before[task], after[task])} == {"depth"}


@pytest.mark.parametrize("size", [(32, 64), (33, 65), (40, 72)])
def test_an_own_encoder_works_at_an_eighth(size: tuple[int, int]) -> None:
    assert own_encoder(8)(torch.randn(2, 3, *size)).shape == (2, 8, -(-size[0] // 8), -(-size[1] // 8))
