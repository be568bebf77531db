"""InfoMTL's two terms: what two views have in common, and what the decoders' features tell."""

import math
from itertools import pairwise

import pytest
import torch
from helpers.networks import NYUD, batch_of, fresh
from helpers.project import tiny_params
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.models.consistency.view import draw_view
from dmtl.models.info_mtl import Bottleneck, InfoMTL, contrast, divergence, standard_normal


def _made(**terms: float) -> InfoMTL:
    params = tiny_params()
    params["consistency"]["info_mtl"] |= terms
    model = fresh("info_mtl", params=params)
    assert isinstance(model, InfoMTL)
    return model


def _alone(batch: Batch) -> Batch:
    """The first image, with its label of the first task."""
    first = {"semseg": batch.labels["semseg"][:1]}
    return Batch(("a",), batch.images[:1], batch.noise_keys[:1], first, {"semseg": torch.tensor([0])}, batch.image_weights[:1])


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_without_its_terms_and_noise_it_is_the_baseline_to_the_bit(setting: str) -> None:
    model, baseline, batch = _made(alpha=0.0, beta=0.0, noise=0.0).train(), fresh("mtl_baseline").train(), batch_of(setting)
    kept = {name: value for name, value in model.state_dict().items() if name.startswith(("trunk.", "decoders."))}
    baseline.load_state_dict(kept)
    losses, expected = model(batch), baseline(batch)
    assert losses.keys() == expected.keys() == NYUD.keys()
    assert all(torch.equal(loss, expected[task]) for task, loss in losses.items())
    for one in (losses, expected):
        torch.stack(list(one.values())).sum().backward()
    of = dict(model.named_parameters())
    assert all(p.grad is None or torch.equal(p.grad, of[name].grad) for name, p in baseline.named_parameters())


def test_a_divergence_is_never_below_zero_and_zero_for_the_normal_distribution_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = (3 * torch.randn(4, 5, 2, 3, generator=generator) for _ in range(2))
    assert (divergence(mean, log_variance) > 0).all()
    zero = torch.zeros(4, 5, 2, 3)
    assert divergence(zero, zero).tolist() == [0, 0, 0, 0]
    ours = torch.distributions.Normal(mean, (log_variance / 2).exp())
    expected = torch.distributions.kl_divergence(ours, torch.distributions.Normal(0.0, 1.0)).flatten(1).mean(1)
    assert torch.allclose(divergence(mean, log_variance), expected, rtol=1e-4)


def test_the_divergence_draws_a_mean_by_itself_over_the_count() -> None:
    mean = torch.randn(2, 5, 2, 3).requires_grad_()
    divergence(mean, torch.zeros_like(mean)).sum().backward()
    assert mean.grad is not None
    assert torch.allclose(mean.grad, mean.detach() / 30)


def test_views_that_nothing_tells_apart_cost_the_logarithm_of_the_batch() -> None:
    same = torch.ones(4, 8) / math.sqrt(8)
    assert contrast(same, same, 0.1).item() == pytest.approx(math.log(4), rel=1e-5)
    apart = torch.eye(8)[:4]
    assert contrast(apart, apart, 0.01).item() == pytest.approx(0, abs=1e-6)
    assert contrast(apart, apart.roll(1, 0), 0.1).item() == pytest.approx(10, abs=1e-3), "the wrong image is the nearest"
    assert contrast(apart[:1], apart[1:2], 0.1).item() == 0


def test_a_contrast_is_the_same_both_ways() -> None:
    one, other = (torch.nn.functional.normalize(torch.randn(4, 8), dim=1) for _ in range(2))
    assert contrast(one, other, 0.1).item() == pytest.approx(contrast(other, one, 0.1).item(), rel=1e-6)


def test_an_image_by_itself_has_nothing_to_be_told_from() -> None:
    model = _made().eval()
    losses = model(_alone(batch_of("full")))
    assert losses["info_max"].item() == 0
    assert losses["info_min"] > 0
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_a_bottleneck_lets_everything_through_at_first() -> None:
    feature = torch.randn(2, 8, 3, 4)
    mean, log_variance = Bottleneck(8)(feature)
    assert torch.equal(mean, feature)
    assert torch.equal(log_variance, torch.full_like(feature, -4.0))


def test_a_log_variance_is_bounded() -> None:
    bottleneck = Bottleneck(8)
    bottleneck.log_variance.bias.data[:4], bottleneck.log_variance.bias.data[4:] = 1e4, -1e4
    _, log_variance = bottleneck(torch.randn(1, 8, 2, 2))
    assert set(log_variance.flatten().tolist()) == {8.0, -8.0}


def test_noise_is_of_each_image_its_own_and_normal() -> None:
    keys = torch.tensor([5, 6, 7])
    draws = standard_normal(keys, "a", (8, 20, 30))
    assert torch.equal(draws[1:], standard_normal(keys[1:], "a", (8, 20, 30)))
    assert not torch.equal(draws, standard_normal(keys, "b", (8, 20, 30)))
    assert draws.isfinite().all()
    assert draws.mean().item() == pytest.approx(0, abs=0.03)
    assert draws.std().item() == pytest.approx(1, abs=0.03)


def test_training_has_noise_and_inference_has_none() -> None:
    model, batch = _made(), batch_of("full")
    images = torch.randn(2, 3, 32, 64)

    def final(key: int) -> Tensor:
        return model.eval().predict(images, noise_keys=torch.tensor([key, key]))["final"]["depth"]

    assert torch.equal(final(1), final(2))
    noisy = model.eval()(batch)["depth"]
    assert torch.equal(model(batch)["depth"], noisy)
    batch.noise_keys = batch.noise_keys + 100
    assert not torch.equal(model(batch)["depth"], noisy)


def test_its_terms_see_no_label() -> None:
    model = _made().eval()
    batch, other = batch_of("onelabel"), batch_of("onelabel")
    other.labels = {task: torch.ones_like(label) for task, label in other.labels.items()}
    losses, same = model(batch), model(other)
    assert all(torch.equal(losses[name], same[name]) for name in ("info_max", "info_min"))
    assert not torch.equal(losses["depth"], same["depth"])


def test_its_options_may_not_be_missing() -> None:
    params = tiny_params()
    del params["consistency"]["info_mtl"]
    with pytest.raises(UserError, match=r"consistency\.info_mtl is missing"):
        fresh("info_mtl", params=params)
    assert fresh("xtc", params=params).eval().predict(torch.randn(1, 3, 32, 64))["final"].keys() == NYUD.keys()


def test_the_terms_are_those_of_two_views_and_of_every_tasks_feature() -> None:
    """Each written out: the view by the image's key, unit vectors, both ways; the divergences of all tasks, summed."""
    model, batch = _made(alpha=0.3, beta=0.2, temperature=0.5).eval(), batch_of("onelabel").only(("depth",))
    torch.manual_seed(2)
    for parameter in model.bottlenecks.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    losses = model(batch)
    view = draw_view(batch.noise_keys, (32, 64), model.options.zooms, model.options.on.flip)
    further = view.image(batch.images)
    assert not torch.allclose(further, batch.images)
    shared, seen = model.trunk(batch.images), model.trunk(further)
    one, other = (model.project(feature.mean((2, 3))) for feature in (shared, seen))
    cosines = torch.stack([torch.stack([torch.cosine_similarity(a, b, dim=0) for b in other]) for a in one]) / 0.5
    ways = [-scores.log_softmax(1).diagonal().mean() for scores in (cosines, cosines.T)]
    assert losses["info_max"].item() == pytest.approx(0.3 * float(sum(ways)) / 2, rel=1e-4)
    features = {task: model.bottlenecks[task](model.decoders.decoders[task](shared)) for task in NYUD}
    expected = sum((0.5 * (m**2 + v.exp() - 1 - v)).mean() for m, v in features.values())
    assert losses["info_min"].item() == pytest.approx(0.2 * float(expected), rel=1e-4)


def test_a_head_reads_its_tasks_own_draw_of_the_stated_deviation() -> None:
    model, batch, read = _made(noise=0.5).eval(), batch_of("onelabel"), {}
    for task in NYUD:
        model.bottlenecks[task].log_variance.bias.data.fill_(2.0)
        model.decoders.heads[task].register_forward_pre_hook(lambda _, args, task=task: read.update({task: args[0]}))
    model(batch)
    shared = model.trunk(batch.images)
    draws = {task: read[task] - model.bottlenecks[task].mean(model.decoders.decoders[task](shared)) for task in NYUD}
    assert all(draw.std().item() == pytest.approx(0.5 * math.e, rel=0.1) for draw in draws.values())
    assert all(abs(torch.corrcoef(torch.stack([draws[a].flatten(), draws[b].flatten()]))[0, 1]) < 0.2 for a, b in pairwise(NYUD))


def test_who_learns_from_each_term() -> None:
    """The trunk is to keep what views have in common; a decoder learns from what it tells, labelled or not."""
    for term, parts in (("info_max", {"trunk", "project"}), ("info_min", {"trunk", "decoders", "bottlenecks"})):
        model = _made().train()
        model(batch_of("onelabel").only(("depth",)))[term].backward()
        moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert {name.partition(".")[0] for name in moved} == parts
        assert not any(name.startswith("decoders.heads") for name in moved)
        if term == "info_min":
            assert all(any(name.startswith(f"bottlenecks.{task}.") for name in moved) for task in NYUD)
