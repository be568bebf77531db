"""The denoiser: packed pairs against a plain loop, its noise, steps, condition and switches."""

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import DIFFUSION, MASKS, NYUD, batch_of, fresh
from helpers.project import tiny_params
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.losses import task_loss
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.no_conditioning import NoConditioning
from dmtl.models.no_diffusion import IterativeRefinement
from dmtl.tasks.shared.pixels import upsample


def _plain_losses(model: DiffusionNetwork, batch: Batch) -> dict[str, Tensor]:
    """The released code's way: every labelled pair by itself, batch of one, one step after the other."""
    features, initial = model.decoders(model.trunk(batch.images))
    losses: dict[str, Tensor] = {}
    for task, index in batch.image_index.items():
        for n, i in enumerate(index.tolist()):
            final = _plain_denoise(model, features, initial, task, i, batch.noise_keys)
            label = batch.labels[task][n]
            terms = [task_loss(task, upsample(m, label.shape[-2:])[0], label) for m in (final, initial[task][i : i + 1])]
            pair = batch.image_weights[i] * (terms[0] + 0.5 * terms[1])
            losses[task] = losses.get(task, 0) + pair
    return losses


def _plain_denoise(model: DiffusionNetwork, features: dict, initial: dict, task: str, i: int, keys: Tensor) -> Tensor:
    one = {t: f[i : i + 1] for t, f in features.items()}, {t: p[i : i + 1] for t, p in initial.items()}
    d, schedule = model.denoiser, model.schedule
    noisy, conditioned = not isinstance(model, IterativeRefinement), not isinstance(model, NoConditioning)
    x = model.start(*one)[task]
    steps = schedule.steps
    if noisy:
        x = schedule.signal * x + schedule.noise * gaussian(keys[i : i + 1], task, steps, tuple(x.shape[1:]))
    for step in range(steps - 1, -1, -1):
        e = d.embed[task](x) + d.step_embedding(step)[None, :, None, None]
        kv = F.interpolate(e, scale_factor=0.25, mode="bilinear").flatten(2).transpose(1, 2)
        small = F.interpolate(model.condition(*one) if conditioned else e, scale_factor=0.25, mode="bilinear")
        q = small.flatten(2).transpose(1, 2)
        for block in d.blocks:
            if not conditioned:
                q = q + block.attention(block.norm_attention(q), block.norm_attention(q))
                q = q + block.mlp(block.norm_mlp(q))
                continue
            kv = kv + block.task_mlp(block.norm_task_mlp(kv))
            q = q + block.attention(block.norm_query(q), block.norm_memory(kv))
            q = q + block.mlp(block.norm_mlp(q))
        y = F.interpolate(q.transpose(1, 2).reshape(small.shape), scale_factor=4, mode="bilinear") + e
        y = d.heads[task](y)
        y = d.predict[task](y) if d.predict else y
        if step and noisy:
            p = schedule.posteriors[step - 1]
            noise = gaussian(keys[i : i + 1], task, step, tuple(y.shape[1:]))
            x = p.predicted * y + p.current * x + p.deviation * noise
        else:
            x = y
    return model.finish({task: x})[task]


@pytest.mark.parametrize(
    ("method", "setting"),
    [
        *((method, setting) for method in ("diffusion_prediction", "diffusion_feature") for setting in MASKS),
        ("no_diffusion", "randomlabels"),
        ("no_conditioning", "randomlabels"),
    ],
)
def test_packed_pairs_equal_a_loop_over_samples(method: str, setting: str) -> None:
    """Losses and every gradient to 1e-5 relative."""
    params = tiny_params()
    params["diffusion"]["network"]["blocks"] = 2
    params["diffusion"]["steps"] = 3
    model = fresh(method, params=params, width=16).double().eval()
    batch = batch_of(setting, size=(64, 96))
    batch.images = batch.images.double()
    packed, plain = model(batch), _plain_losses(model, batch)
    assert packed.keys() == plain.keys()
    gradients: list[dict[str, Tensor]] = []
    for losses in (packed, plain):
        model.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad})
    for task, loss in packed.items():
        assert loss.item() == pytest.approx(plain[task].item(), rel=1e-5)
    for name, gradient in gradients[0].items():
        scale = gradients[1][name].abs().max()
        assert scale > 0, name
        assert (gradient - gradients[1][name]).abs().max() <= 1e-5 * scale, name


@pytest.mark.parametrize("method", DIFFUSION)
def test_inference_does_not_depend_on_the_batch(method: str) -> None:
    model = fresh(method).eval()
    images, keys = torch.randn(5, 3, 32, 64), torch.arange(5)
    together = model.predict(images, noise_keys=keys)["final"]
    for i in (0, 3):
        alone = model.predict(images[i : i + 1], noise_keys=keys[i : i + 1])["final"]
        for task, maps in together.items():
            assert torch.allclose(maps[i : i + 1], alone[task], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", [m for m in DIFFUSION if m != "no_diffusion"])
def test_noise_is_drawn_by_key_and_can_be_turned_off(method: str) -> None:
    model = fresh(method).eval()
    image = torch.randn(1, 3, 32, 64)

    def final(key: int, noise: float = 1.0) -> Tensor:
        return model.predict(image, noise=noise, noise_keys=torch.tensor([key]))["final"]["depth"]

    assert torch.equal(final(1), final(1))
    assert not torch.equal(final(1), final(2))
    assert torch.equal(final(1, 0.0), final(2, 0.0))


@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_noisy_maps_are_what_denoising_starts_from(noise: float) -> None:
    """signal * initial + noise, at the images' size; only for those who ask, and only where the maps are predictions."""
    model, images, keys = fresh("diffusion_prediction").eval(), torch.randn(2, 3, 32, 64), torch.tensor([5, 6])
    predicted = model.predict(images, noise=noise, noise_keys=keys, noisy=True)
    assert list(predicted) == ["final", "initial", "noisy"]
    schedule, initial = model.schedule, model.maps(images, noise, keys)["initial"]
    for task, maps in predicted["noisy"].items():
        draw = gaussian(keys, task, schedule.steps, tuple(initial[task].shape[1:]))
        expected = upsample(schedule.signal * initial[task] + noise * schedule.noise * draw, (32, 64))
        assert torch.allclose(maps, expected, atol=1e-5)
        assert torch.allclose(maps, schedule.signal * predicted["initial"][task], atol=1e-5) == (noise == 0)
    assert set(predicted["noisy"]) == set(NYUD)
    plain = model.predict(images, noise=noise, noise_keys=keys)
    assert list(plain) == ["final", "initial"]
    assert all(torch.equal(maps, predicted["final"][task]) for task, maps in plain["final"].items())


def test_without_diffusion_there_is_no_noise() -> None:
    """Each estimate is the next state, the first of them made of the initial prediction itself."""
    model = fresh("no_diffusion", steps=3).eval()
    seen: list[tuple[Tensor, Tensor]] = []
    model.denoiser.register_forward_hook(lambda _, args, out: seen.append((args[0]["depth"], out["depth"])))
    image = torch.randn(1, 3, 32, 64)
    stages = model.maps(image, 1.0, torch.tensor([1]))
    final, initial = stages["final"], stages["initial"]
    states, estimates = zip(*seen, strict=True)
    expected = [initial["depth"], *estimates[:-1]]
    assert all(torch.equal(state, one) for state, one in zip(states, expected, strict=True))
    assert torch.equal(final["depth"], estimates[-1])
    assert torch.equal(model.maps(image, 1.0, torch.tensor([2]))["final"]["depth"], final["depth"])


def test_without_conditioning_tasks_do_not_hear_of_each_other() -> None:
    model, conditioned = fresh("no_conditioning").eval(), fresh("diffusion_prediction").eval()
    for one, same in ((model, True), (conditioned, False)):
        before = one.predict(image := torch.randn(1, 3, 32, 64))["final"]
        with torch.no_grad():
            one.decoders.heads["semseg"].bias += 1.0
        after = one.predict(image)["final"]
        assert torch.equal(after["depth"], before["depth"]) == same
        assert not torch.equal(after["semseg"], before["semseg"])


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
@pytest.mark.parametrize("method", DIFFUSION)
def test_any_number_of_steps(method: str, steps: int) -> None:
    model = fresh(method, steps=steps).eval()
    calls: list[int] = []
    model.denoiser.register_forward_pre_hook(lambda _, args: calls.append(args[1]))
    model.predict(torch.randn(1, 3, 32, 64))
    assert calls == list(range(steps - 1, -1, -1))


def test_a_direct_sampler_feeds_the_estimate_back() -> None:
    params = tiny_params()
    params["diffusion"]["network"]["sampler"] = "direct"
    model = fresh("diffusion_prediction", params=params, width=8).eval()
    calls: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    model.denoiser.register_forward_hook(lambda _, args, out: calls.append((args[0], out)))
    model.predict(torch.randn(1, 3, 32, 64))
    assert torch.equal(calls[1][0]["depth"], calls[0][1]["depth"])


@pytest.mark.parametrize("source", ["predictions", "per_task_predictions", "features"])
@pytest.mark.parametrize("detach", [True, False])
@pytest.mark.parametrize("method", ["diffusion_prediction", "diffusion_feature"])
def test_the_condition_is_what_it_is_made_of(method: str, detach: bool, source: str) -> None:
    """Its gradient reaches the maps that `source` names, of every task, unless it is detached."""
    params = tiny_params()
    params["diffusion"]["network"][method.removeprefix("diffusion_")] = {"source": source, "detach": detach}
    model = fresh(method, params=params)
    maps = {
        name: {task: torch.randn(2, n, 4, 8, requires_grad=True) for task, n in channels.items()}
        for name, channels in (("features", dict.fromkeys(NYUD, 8)), ("predictions", NYUD))
    }
    condition = model.condition(maps["features"], maps["predictions"])
    assert condition.shape == (2, 8, 4, 8)
    condition.sum().backward()
    reached = {name for name, tasks in maps.items() for m in tasks.values() if m.grad is not None}
    assert reached == (set() if detach else {"features" if source == "features" else "predictions"})
    assert set(model.condition.project) == (set(NYUD) if source == "per_task_predictions" else set())
    assert model.condition.fuse.weight.grad is not None


@pytest.mark.parametrize(
    ("switch", "value"),
    [
        ("heads", 1),
        ("schedule", "linear"),
        ("sampler", "direct"),
        ("initial_weight", 0.0),
        ("token_stride", 2),
        ("beta_end", 0.1),
    ],
)
def test_every_switch_of_the_denoiser_works(switch: str, value: object) -> None:
    """The same weights, another loss."""
    method = "diffusion_feature"
    params = tiny_params()
    plain = fresh(method, steps=3).eval()
    params["diffusion"]["network"][switch] = value
    changed = fresh(method, params=params, steps=3).eval()
    changed.load_state_dict(plain.state_dict())
    batch = batch_of("full")
    with torch.no_grad():
        assert changed(batch)["depth"] != plain(batch)["depth"]
