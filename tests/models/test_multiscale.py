"""MTI-Net and InvPT: their parts' parameters, and their modules and losses against plain references."""

import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import NYUD, PASCAL, batch_of, fresh, network
from helpers.project import ROOT
from torch import Tensor, nn

from dmtl.losses import task_loss
from dmtl.models import hollow
from dmtl.models.invpt import Attention, Block, Enlargement, to_maps, to_tokens
from dmtl.models.mti_net import Distillation, Excitation, Propagation
from dmtl.tasks.shared.pixels import upsample

METHODS = ("mti_net", "invpt")
PARTS = {  # in millions (docs/methods.md), at width 512 on PASCAL
    "mti_net": {
        "trunk": 11.177,
        **{f"initial.{k}": m for k, m in enumerate((1.17, 4.68, 18.70, 47.22))},
        **{f"propagate.{k}": m for k, m in enumerate((2.80, 11.19, 44.73))},
        **{f"distil.{k}": m for k, m in enumerate((1.47, 5.90, 23.59, 94.37))},
    },
    "invpt": {
        "preliminary": 23.603 + 0.017442,
        "mix": 1.497,
        "enlarge.0.tasks": 2.241 * 5,
        "enlarge.1.tasks": 0.560 * 5,
        "blocks.1": 1.015,
        "blocks.2": 0.259,
        "refine": 14.939,
    },
}


def _millions(model: nn.Module, part: str) -> float:
    return sum(p.numel() for name, p in model.named_parameters() if name.startswith(part)) / 1e6


@pytest.mark.parametrize("method", METHODS)
def test_the_parts_have_the_released_sizes(method: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    model = hollow(network(method, PASCAL, params, width=512))
    for part, millions in PARTS[method].items():
        assert _millions(model, part) == pytest.approx(millions, abs=0.0055), part
    if method == "mti_net":
        assert _millions(model, "join") + _millions(model, "heads") == pytest.approx(4.655, abs=5e-4)
        assert _millions(model, "propagate") == pytest.approx(58.710, abs=5e-4)
        assert _millions(model, "distil") == pytest.approx(125.338, abs=5e-4)
    else:
        skips = _millions(model, "enlarge.0.skip") + _millions(model, "enlarge.1.skip") + _millions(model, "idle.skip")
        assert skips == pytest.approx(1.743, abs=5e-4)
        assert _millions(model, "blocks.0") + 10e-6 == pytest.approx(4.0205, abs=5e-5)  # and the idle mix of scores


@pytest.mark.parametrize("size", [(48, 64), (50, 70)])
@pytest.mark.parametrize("method", METHODS)
def test_any_size_trains_and_predicts(method: str, size: tuple[int, int]) -> None:
    model = fresh(method, width=16)
    batch = batch_of("randomlabels", size)
    assert all(loss.isfinite() for loss in model.train()(batch).values())
    stages = model.eval().maps(batch.images, 1.0, batch.noise_keys)
    assert {task: m.shape[:2] for task, m in stages["final"].items()} == {task: (4, n) for task, n in NYUD.items()}
    assert stages["initial"].keys() == stages["final"].keys()


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_that_of_every_prediction_of_every_pair(method: str) -> None:
    """Pair by pair: final + weight * (all four scales, or the intermediate one)."""
    model = fresh(method, width=16, initial_weight=0.3).eval()
    batch = batch_of("randomlabels")
    final, earlier = model.decode(model.trunk.pyramid(batch.images))
    assert len(earlier) == (4 if method == "mti_net" else 1)
    losses = model(batch)
    for task, index in batch.image_index.items():
        expected = 0.0
        for n, i in enumerate(index.tolist()):
            for weight, maps in [(1.0, final), *((0.3, one) for one in earlier)]:
                label = batch.labels[task][n]
                enlarged = upsample(maps[task][i : i + 1], label.shape[-2:])[0]
                expected += float(batch.image_weights[i]) * weight * task_loss(task, enlarged, label).item()
        assert losses[task].item() == pytest.approx(expected, rel=1e-5)


def test_mti_net_reports_its_finest_initial_prediction() -> None:
    model = fresh("mti_net", width=16).eval()
    _, earlier = model.decode(model.trunk.pyramid(torch.randn(1, 3, 64, 96)))
    assert [tuple(maps["depth"].shape[-2:]) for maps in earlier] == [(16, 24), (8, 12), (4, 6), (2, 3)]
    assert model.maps(torch.randn(1, 3, 64, 96), 1.0, torch.zeros(1))["initial"]["depth"].shape[-2:] == (16, 24)


@pytest.mark.parametrize("method", METHODS)
def test_tasks_hear_of_each_other(method: str) -> None:
    """A change in what only one task owns reaches the final prediction of every task."""
    model = fresh(method, width=16).eval()
    image = torch.randn(1, 3, 32, 64)
    before = model.predict(image)["final"]
    own = model.initial[0].refine["semseg"] if method == "mti_net" else model.preliminary["semseg"]
    with torch.no_grad():
        for p in own.parameters():
            p.mul_(1.5)
    after = model.predict(image)["final"]
    assert all(not torch.equal(before[task], after[task]) for task in NYUD)


def test_distillation_is_a_sum_over_the_other_tasks() -> None:
    torch.manual_seed(0)
    module = Distillation(6, tuple(NYUD))
    features = {task: torch.randn(2, 6, 5, 7) for task in NYUD}
    out = module(features)
    for target in NYUD:
        expected = features[target].clone()
        for other in set(NYUD) - {target}:
            gate, message = module.gates[target][other].gate.weight, module.gates[target][other].message.weight
            x = features[other]
            expected += F.conv2d(x, message, padding=1) / (1 + torch.exp(-F.conv2d(x, gate, padding=1)))
        assert torch.allclose(out[target], expected, atol=1e-5)
        assert set(module.gates[target]) == set(NYUD) - {target}


def test_propagation_pixel_by_pixel() -> None:
    """The mask over T adjacent channels, as released, and what is added to each task."""
    torch.manual_seed(0)
    tasks = tuple(NYUD)
    module = Propagation(4, tasks).eval()
    features = {task: torch.randn(1, 4, 3, 2) for task in tasks}
    joined = torch.cat([features[task] for task in tasks], dim=1)
    scores, masked = module.attend(joined), torch.empty_like(joined)
    for y in range(3):
        for x in range(2):
            for first in range(0, 12, len(tasks)):
                group = scores[0, first : first + 3, y, x].exp()
                masked[0, first : first + 3, y, x] = group / group.sum() * joined[0, first : first + 3, y, x]
    shared = module.reduce(masked)
    for task, out in module(features).items():
        assert torch.allclose(out, features[task] + module.excite[task](shared), atol=1e-5)


def test_excitation_weighs_whole_channels() -> None:
    torch.manual_seed(0)
    module, x = Excitation(5), torch.randn(2, 5, 3, 4)
    first, _, second, _ = module.weigh
    middle = (x.mean((2, 3)) @ first.weight.T + first.bias).clamp(min=0)
    weights = 1 / (1 + torch.exp(-(middle @ second.weight.T + second.bias)))
    out = module(x)
    for b in range(2):
        for c in range(5):
            assert torch.allclose(out[b, c], weights[b, c] * x[b, c], atol=1e-6)


def test_tokens_are_the_maps_task_after_task() -> None:
    maps = torch.randn(2, 3 * 4, 5, 6)
    tokens = to_tokens(maps, 3)
    assert tokens.shape == (2, 3 * 30, 4)
    assert torch.equal(tokens[1, 30 + 2 * 6 + 3], maps[1, 4:8, 2, 3])  # task 1, row 2, column 3
    assert torch.equal(to_maps(tokens, 3, maps.shape[-2:]), maps)


def _naive_attention(module: Attention, maps: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
    """`(B, T * C, h, w)` -> attended and pre-softmax scores (B, heads, queries, keys), a query at a time."""
    tasks, heads, stride = module.tasks, module.heads, module.stride
    batch, channels, height, width = maps.shape
    c = channels // tasks
    small = (-(-height // 2), -(-width // 2))
    convolution, norm = module.reduce
    queries, keys = [], []
    for t in range(tasks):
        own = slice(t * c, (t + 1) * c)
        strided = F.conv2d(maps[:, own], convolution.weight[own], stride=2, padding=1, groups=c)
        mean, var = norm.running_mean[own], norm.running_var[own]
        normed = (strided - mean[:, None, None]) / (var[:, None, None] + norm.eps).sqrt()
        normed = normed * norm.weight[own, None, None] + norm.bias[own, None, None]
        queries += [normed[:, :, y, x] for y in range(small[0]) for x in range(small[1])]
        for y in range(0, height, stride):
            for x in range(0, width, stride):
                keys.append(maps[:, own, y : y + stride, x : x + stride].mean((2, 3)))
    k = torch.stack([module.key(token) for token in keys], dim=1)
    v = torch.stack([module.value(token) for token in keys], dim=1)
    scores = torch.empty(batch, heads, len(queries), len(keys), dtype=maps.dtype)
    for n, token in enumerate(queries):
        q = module.query(token)
        for h in range(heads):
            part = slice(h * c // heads, (h + 1) * c // heads)
            scores[:, h, n] = (q[:, None, part] * k[..., part]).sum(-1) / c**0.5
    if before is not None:
        enlarged = torch.empty_like(scores)
        for h in range(heads):
            for m in range(len(keys)):
                for t in range(tasks):
                    one = before[:, h * len(keys) + m, t][:, None]
                    large = F.interpolate(one, size=small, mode="bilinear", align_corners=False)
                    enlarged[:, h, t * small[0] * small[1] : (t + 1) * small[0] * small[1], m] = large.flatten(1)
        mixed = torch.cat([scores, enlarged], dim=1)
        weight, bias = module.mix.weight[:, :, 0, 0], module.mix.bias
        scores = torch.einsum("oi,binm->bonm", weight, mixed) + bias[None, :, None, None]
    out = torch.empty(batch, len(queries), c, dtype=maps.dtype)
    for n in range(len(queries)):
        for h in range(heads):
            part = slice(h * c // heads, (h + 1) * c // heads)
            shares = scores[:, h, n].softmax(-1)
            out[:, n, part] = (shares[..., None] * v[..., part]).sum(1)
    return module.out(out), scores


@pytest.mark.parametrize(("size", "stride", "message"), [((4, 6), 2, False), ((8, 12), 4, True), ((5, 7), 4, True)])
def test_invpts_attention_query_by_query(size: tuple[int, int], stride: int, message: bool) -> None:
    torch.manual_seed(0)
    tasks, width, heads = 3, 8, 2
    module = Attention(width, tasks, heads, stride, message).double().eval()
    module.reduce[1].running_mean.normal_()
    module.reduce[1].running_var.uniform_(0.5, 2)
    maps = torch.randn(2, tasks * width, *size, dtype=torch.float64)
    keys = tasks * -(-size[0] // stride) * -(-size[1] // stride)
    before = torch.randn(2, heads * keys, tasks, 2, 3, dtype=torch.float64) if message else None
    attended, kept = module(maps, before)
    expected, scores = _naive_attention(module, maps, before)
    assert torch.allclose(to_tokens(attended, tasks), expected, atol=1e-10)
    small = (-(-size[0] // 2), -(-size[1] // 2))
    for h in range(heads):
        for m in range(keys):
            assert torch.allclose(kept[:, h * keys + m].flatten(1), scores[:, h, :, m], atol=1e-10)
    assert kept.shape == (2, heads * keys, tasks, *small)


def test_invpts_block_is_residual_and_prenorm() -> None:
    torch.manual_seed(0)
    block = Block(8, 3, 2, 2, message=False).double().eval()
    maps = torch.randn(1, 24, 4, 6, dtype=torch.float64)
    out, _ = block(maps, None)
    tokens = to_tokens(maps, 3)
    normed = to_maps(block.norm_attention(tokens), 3, maps.shape[-2:])
    attended = F.interpolate(block.attention(normed, None)[0], size=(4, 6), mode="bilinear", align_corners=False)
    middle = tokens + to_tokens(attended, 3)
    assert torch.allclose(to_tokens(out, 3), middle + block.mlp(block.norm_mlp(middle)))


def test_invpts_skip_is_added_to_every_task() -> None:
    torch.manual_seed(0)
    module = Enlargement(8, 4, 5, tuple(NYUD)).eval()
    maps, stage = torch.randn(1, 24, 3, 4), torch.randn(1, 5, 6, 8)
    out = module(maps, stage)
    large = F.interpolate(maps, size=(6, 8), mode="bilinear", align_corners=False)
    for t, task in enumerate(NYUD):
        expected = module.tasks[task](large[:, 8 * t : 8 * t + 8]) + module.skip(stage)
        assert torch.allclose(out[:, 4 * t : 4 * t + 4], expected, atol=1e-6)
