"""Networks: parameter counts, properties that every method shares, and the packed denoiser against a plain loop."""

import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import FAMILY, MASKS, NYUD, PASCAL, batch_of, fresh, network
from helpers.project import ROOT, tiny_params
from torch import Tensor

from dmtl.benchmarks import benchmark
from dmtl.config import Project, for_training
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.files import write_json
from dmtl.losses import task_loss
from dmtl.models import build, hollow, method_names, read_description
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.diffusion.task_attention import TaskAttention
from dmtl.models.no_conditioning import NoConditioning
from dmtl.models.no_diffusion import IterativeRefinement
from dmtl.tasks.shared.pixels import upsample

LATENT = ("latent_regression", "latent_regression_vae")  # one call of the denoiser, one loss of all tasks
ONE_STEP = (*LATENT, "stable_mtl")  # which goes through no chain either
DIFFUSION = tuple(sorted(method for method, family in FAMILY.items() if family == "diffusion" and method not in ONE_STEP))
TWICE = {*DIFFUSION, *(method for method, family in FAMILY.items() if family == "multiscale")}  # predict more than once
CONSISTENCY = tuple(sorted(method for method, family in FAMILY.items() if family == "consistency"))
UNLABELLED = {  # method -> the parts of a task without any label that a term of no label moves
    "task_prototype": ("decoders.decoders",),
    "task_prototype_without_tke": ("decoders.decoders",),
    "info_mtl": ("decoders.decoders", "bottlenecks"),
    "dual_encoder": ("encoders", "shared"),
}

# Parameters in millions (docs/methods.md).
COUNTS = [
    ("mtl_baseline", NYUD, 100.581),
    ("single_task", NYUD, 131.782),
    ("diffusion_feature", NYUD, 94.531),
    ("diffusion_prediction", NYUD, 94.611),
    ("mtl_baseline", PASCAL, 157.237),
    ("single_task", PASCAL, 219.640),
    ("diffusion_feature", PASCAL, 132.913),
    ("diffusion_prediction", PASCAL, 133.073),
    ("no_diffusion", PASCAL, 133.073),
    ("no_conditioning", PASCAL, 124.665),
    ("no_conditioning", NYUD, 86.204),
    ("mti_net", PASCAL, 271.656),
    ("invpt", PASCAL, 75.218),
    ("xtc", PASCAL, 172.185),
    ("xtc", NYUD, 100.581 + 14.819),
    ("semi_supervised", PASCAL, 157.237),
    ("jtr", PASCAL, 182.238),
    ("jtr", NYUD, 100.581 + 24.989),
    ("task_prototype", NYUD, 116.845),
    ("task_prototype", PASCAL, 173.503),
    ("info_mtl", NYUD, 102.420),
    ("info_mtl", PASCAL, 160.127),
    ("dual_encoder", NYUD, 102.108),
    ("dual_encoder", PASCAL, 159.608),
]


@pytest.mark.parametrize(("method", "outputs", "millions"), COUNTS)
def test_parameter_counts_at_paper_size(method: str, outputs: dict[str, int], millions: float) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    model = hollow(network(method, outputs, params, width=512))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_a_feature_condition_costs_what_the_papers_flops_ask_for() -> None:
    """132.913 M, as Feature Diffusion."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["prediction"]["source"] = "features"
    model = hollow(network("diffusion_prediction", PASCAL, params, width=512))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(132.913, abs=5e-4)


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UserError, match="no method 'mtl_basline'"):
        build(network("mtl_basline"))


@pytest.mark.parametrize("method", method_names())
def test_predictions_have_the_images_size(method: str) -> None:
    model = fresh(method).eval()
    for size in ((32, 64), (40, 72), (33, 65)):
        predicted = model.predict(torch.randn(2, 3, *size))
        assert {task: m.shape for task, m in predicted["final"].items()} == {t: (2, c, *size) for t, c in NYUD.items()}
        assert set(predicted["initial"]) == (set(NYUD) if method in TWICE else set())
        assert all(m.isfinite().all() for maps in predicted.values() for m in maps.values())


@pytest.mark.parametrize("setting", MASKS)
@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_one_step_moves_what_the_labels_reach(method: str, setting: str) -> None:
    model, moved = fresh(method), set()
    for layer in model.modules():
        if method == "stable_mtl" and isinstance(layer, TaskAttention):
            layer.mask = 0.0  # where one other task is left, it has all the weight, and what asks gets no gradient
    assert set(model.train()(batch_of(setting))) & set(NYUD) == (set() if method in LATENT else set(NYUD))
    for _, one in model.trainings():
        parameters = [parameter for group in one.parameter_groups() for parameter in group["params"]]
        optimiser = torch.optim.SGD(parameters, lr=1e-3)
        for _ in range(2):  # the first step wakes layers that begin at zero
            optimiser.zero_grad()
            torch.stack(list(one.train()(batch_of(setting).only(one.tasks)).values())).sum().backward()
            optimiser.step()
        moved |= {id(parameter) for parameter in parameters if parameter.grad is not None and parameter.grad.any()}
    still = [name for name, parameter in model.named_parameters() if id(parameter) not in moved]
    assert still == [name for name, _ in model.named_parameters() if name.startswith("idle.")]


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_an_unlabelled_task_moves_only_what_is_shared(method: str) -> None:
    """Of a task without any label, only what other tasks' predictions or consistency reach may move.

    The multi-task condition reaches it where it is not detached; MTI-Net and InvPT reach all of it but the last heads. Terms that
    need no label move what makes a task's features, but never its head.
    """
    model = fresh(method).train()
    torch.stack(list(model(batch_of("full").only(("semseg", "normals"))).values())).sum().backward()
    moved = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    depth = {name for name in moved if "depth" in name}
    if FAMILY[method] == "multiscale":
        assert depth
        last = ("heads.depth", "join.depth", "refine.depth") if method == "mti_net" else ("heads.depth", "refine.depth")
        assert not {name for name in depth if name.startswith(last)}
        return
    if method in UNLABELLED:
        assert {name.partition(".depth")[0] for name in depth} == set(UNLABELLED[method])
        return
    parts = ("decoders.decoders", "decoders.heads", "decoders.depth", "condition.project", "mapping.stems")
    assert depth == {name for name in depth if any(part in name for part in parts)}
    one = getattr(model, "network", model)
    conditioned = hasattr(one, "condition") and not one.condition.options.detach
    assert bool(depth) == (conditioned or method in (*CONSISTENCY, "teacher_control"))  # what a view or a teacher teaches


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_losses_are_finite_and_batch_weighted(method: str) -> None:
    """Twice the batch, image for image, has the same loss: each image counts 1/B. Batch norm is in evaluation mode for it.

    InfoMTL compares the images of a batch: told apart from twice as many, half of which are copies, each loses log 2 more.
    """
    model = fresh(method).eval()
    one = batch_of("randomlabels")
    twice = Batch(
        ids=one.ids + one.ids,
        images=torch.cat([one.images, one.images]),
        noise_keys=torch.cat([one.noise_keys, one.noise_keys]),
        labels={t: torch.cat([x, x]) for t, x in one.labels.items()},
        image_index={t: torch.cat([x, x + 4]) for t, x in one.image_index.items()},
        image_weights=torch.cat([one.image_weights, one.image_weights]) / 2,
    )
    for task, loss in model(one).items():
        assert loss.isfinite()
        more = model.info.alpha * math.log(2) if task == "info_max" else 0.0
        assert model(twice)[task].item() == pytest.approx(loss.item() + more, rel=1e-4)


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


@pytest.mark.parametrize("method", [m for m in method_names() if m not in DIFFUSION or m == "diffusion_feature"])
def test_where_no_prediction_is_denoised_there_are_no_noisy_maps(method: str) -> None:
    assert fresh(method).eval().predict(torch.randn(1, 3, 32, 64), noisy=True)["noisy"] == {}


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


@pytest.mark.parametrize("method", method_names())
def test_a_network_is_described_as_its_method_takes_its_options(tmp_path: Path, method: str) -> None:
    """Also where the method overrules some; a value that was changed after the training is refused."""
    project = Project(ROOT)
    cell = next((key for key, one in project.grid["cells"].items() if one["method"] == method), None)
    if cell is None:
        pytest.skip("no cell of the root's grid")
    training = for_training(project, cell)
    built = hollow(training.network(benchmark(training.cell.benchmark).outputs)).config.model_dump(mode="json")
    about = {"cell": cell, "seed": training.seed, "training": training.model_dump(mode="json")}
    write_json(tmp_path / "model.json", about | {"network": built})
    assert read_description(tmp_path)["network"] == built
    if "steps" in built["options"]:
        built["options"]["steps"] += 1
        write_json(tmp_path / "model.json", about | {"network": built})
        with pytest.raises(UserError, match=r"network\.options\.steps is"):
            read_description(tmp_path)
