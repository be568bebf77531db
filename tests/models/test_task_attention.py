"""Task attention: nothing before the first step, then the other tasks of the same image, token by token, and never NaN."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import NYUD, PASCAL, batch_of, fresh, network
from helpers.project import ROOT, tiny_params
from torch import Tensor

from dmtl.models import build, hollow
from dmtl.models.diffusion.task_attention import TaskAttention
from dmtl.models.shared.random import uniform
from dmtl.models.task_attention import TaskAttentionDiffusion
from dmtl.tasks import IGNORE

TASKS = ("semseg", "depth", "normals")
INDEX = {"semseg": torch.tensor([0, 1]), "depth": torch.tensor([1]), "normals": torch.tensor([0, 2])}


def _awake(tasks: tuple[str, ...] = TASKS, mask: float = 0.4) -> TaskAttention:
    """A layer whose last linear layer no longer is zero."""
    torch.manual_seed(0)
    layer = TaskAttention(tasks, width=8, heads=2, mask=mask)
    for parameter in layer.parameters():
        parameter.data = torch.randn_like(parameter)
    return layer


def _tokens(tasks: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Five pairs' tokens, and all tasks' of three images."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(5, 4, 8, generator=generator), torch.randn(tasks, 3, 4, 8, generator=generator)


def _model(**options: object) -> TaskAttentionDiffusion:
    params = tiny_params()
    params["diffusion"]["network"]["blocks"] = 2
    model = fresh("task_attention", params=params, **options)
    assert isinstance(model, TaskAttentionDiffusion)
    model.begin()
    return model


def _plain(layer: TaskAttention, attended: Tensor, heard: Tensor) -> Tensor:
    """Pair by pair, token by token, head by head."""
    pairs = [(task, int(i)) for task, index in INDEX.items() for i in index]
    result = torch.zeros_like(attended)
    for p, (task, image) in enumerate(pairs):
        others = [u for u in layer.tasks if u != task]
        for n in range(attended.shape[1]):
            q = layer.query[task](attended[p, n])
            k, v = ([m[u](heard[layer.tasks.index(u), image, n]) for u in others] for m in (layer.key, layer.value))
            mixed = []
            for head in (slice(0, 4), slice(4, 8)):
                weights = torch.softmax(torch.stack([q[head] @ one[head] / 2 for one in k]), 0)
                mixed.append(sum(w * one[head] for w, one in zip(weights, v, strict=True)))
            result[p, n] = layer.out(torch.cat(mixed))
    return result


def test_packed_attention_equals_a_loop_over_pairs_tokens_and_heads() -> None:
    layer, (attended, heard) = _awake().double(), (x.double() for x in _tokens())
    assert torch.allclose(layer(attended, heard, INDEX, None), _plain(layer, attended, heard), rtol=1e-9)


def test_before_the_first_step_it_is_the_single_stream_to_the_bit() -> None:
    model = _model(steps=3).eval()
    images, keys = torch.randn(2, 3, 32, 64), torch.tensor([3, 4])
    ours, single = (one.predict(images, noise_keys=keys) for one in (model, model.first))
    for stage in ("final", "initial"):
        assert all(torch.equal(ours[stage][task], single[stage][task]) for task in NYUD)


def test_each_block_hears_the_same_block_at_the_same_step() -> None:
    """While both streams have the same weights, a pair's own tokens are those that are heard of it."""
    model, calls = _model(steps=3).eval(), []
    for attention in model.denoiser.task_attention:
        attention.register_forward_pre_hook(lambda _, given: calls.append(given))
    batch = batch_of("randomlabels")
    model(batch)
    assert len(calls) == 3 * 2
    for attended, heard, image_index, _ in calls:
        own = torch.cat([heard[TASKS.index(task)][index] for task, index in image_index.items()])
        assert torch.allclose(attended, own, atol=1e-5)
    different = [a[0] for a in calls]
    assert not any(torch.allclose(a, b, atol=1e-3) for a, b in pairwise(different))


def test_a_pair_does_not_hear_its_own_task() -> None:
    layer, (attended, heard) = _awake(), _tokens()
    for t, task in enumerate(TASKS):
        other = heard.clone()
        other[t] += torch.randn(3, 4, 8)
        before, after = (layer(attended, x, INDEX, None).split([2, 1, 2]) for x in (heard, other))
        for u, name in enumerate(TASKS):
            assert torch.equal(before[u], after[u]) == (name == task)


def _weights(layer: TaskAttention, attended: Tensor, heard: Tensor, index: dict, draws: Tensor | None = None) -> Tensor:
    """`(P, N, heads, 1, T)`, of the last softmax."""
    from dmtl.models.diffusion import task_attention

    seen: list[Tensor] = []
    original = task_attention._over_tasks
    try:
        task_attention._over_tasks = lambda *given: seen.append(original(*given)) or seen[-1]
        layer(attended, heard, index, draws)
    finally:
        task_attention._over_tasks = original
    return seen[-1]


def test_the_weights_are_shares_of_the_other_tasks() -> None:
    weights = _weights(_awake(), *_tokens(), INDEX)
    assert torch.allclose(weights.sum(-1), torch.ones(5, 4, 2, 1))
    own = torch.tensor([0, 0, 1, 2, 2])
    assert all((weights[p, ..., t] == 0).all() for p, t in enumerate(own.tolist()))
    assert ((weights > 0).sum(-1) == 2).all()


def test_of_two_tasks_the_other_has_all_the_weight_whatever_is_asked() -> None:
    layer, (attended, heard) = _awake(("semseg", "depth")), _tokens(2)
    index = {"semseg": torch.tensor([0, 1, 2]), "depth": torch.tensor([0, 2])}
    for scale in (1.0, 100.0):
        weights = _weights(layer, scale * attended, heard, index)
        assert torch.equal(weights[:3, ..., 1], torch.ones(3, 4, 2, 1))
        assert torch.equal(weights[3:, ..., 0], torch.ones(2, 4, 2, 1))


@pytest.mark.parametrize("tasks", [("semseg", "depth"), ("semseg",)])
def test_where_no_other_task_is_left_nothing_is_added(tasks: tuple[str, ...]) -> None:
    """The only other task masked, or no other task: 0, not NaN, forwards and backwards."""
    layer = _awake(tasks, mask=1.0)
    attended, heard = _tokens(len(tasks))
    attended.requires_grad_()
    index = {"semseg": torch.tensor([0, 1, 2, 0, 1])}
    added = layer(attended, heard, index, torch.full((5, 2), 0.5))
    assert torch.equal(added, torch.zeros(5, 4, 8))
    added.sum().backward()
    assert torch.equal(attended.grad, torch.zeros(5, 4, 8))
    assert all(p.grad is None or p.grad.isfinite().all() for p in layer.parameters())


def test_masking_leaves_out_one_other_task_by_its_weight() -> None:
    layer, (attended, heard) = _awake(), _tokens()
    full = _weights(layer, attended, heard, INDEX)
    for u in (0.01, 0.5, 0.99):
        masked = _weights(layer, attended, heard, INDEX, torch.tensor([[0.39, u]]).expand(5, 2))
        assert torch.equal(_weights(layer, attended, heard, INDEX, torch.tensor([[0.41, u]]).expand(5, 2)), full)
        for p, own in enumerate([0, 0, 1, 2, 2]):
            others = [t for t in range(3) if t != own]
            shares = [float(full[p, ..., t].mean()) for t in others]
            left_out = others[0] if u < shares[0] else others[1]
            assert (masked[p, ..., left_out] == 0).all()
            assert (masked[p, ..., (set(others) - {left_out}).pop()] == 1).all()


def test_masking_is_drawn_in_training_alone_and_by_the_image_and_task() -> None:
    model = _model()
    given: list[Tensor | None] = []
    model.denoiser.task_attention[1].register_forward_pre_hook(lambda _, args: given.append(args[3]))
    batch = batch_of("randomlabels")
    model.eval()(batch)
    assert given == [None, None]
    given.clear()
    model.train()(batch)
    for step, draws in zip((1, 0), given, strict=True):
        keys = batch.noise_keys
        expected = [uniform(keys[i], f"task mask {t}", 1 + 2 * step, (2,)) for t, i in batch.image_index.items()]
        assert torch.equal(draws, torch.cat(expected))


def test_the_frozen_stream_stays_as_it_is_while_the_other_moves() -> None:
    model, batch = _model(), batch_of("onelabel")
    for attention in model.denoiser.task_attention:
        attention.mask = 0.0  # where one other task is left, it has all the weight, and what asks gets no gradient
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameter_groups(), lr=1e-2)
    for _ in range(3):
        optimiser.zero_grad()
        torch.stack(list(model.train()(batch).values())).sum().backward()
        optimiser.step()
    after = model.state_dict()
    for name, value in before.items():
        unmoved = name.startswith("first.") or name.endswith("step_embedding.frequency")
        assert torch.equal(after[name], value) == unmoved, name


def test_the_gradient_reaches_the_last_layer_first_and_then_the_others() -> None:
    model, batch = _model(), batch_of("full")
    layer = model.denoiser.task_attention[0]
    layer.mask = 0.0
    optimiser = torch.optim.SGD(model.parameter_groups(), lr=1e-2)
    for step in range(2):
        optimiser.zero_grad()
        torch.stack(list(model.train()(batch).values())).sum().backward()
        inner = [p for part in (layer.query, layer.key, layer.value) for p in part.parameters()]
        assert layer.out.weight.grad.any()
        assert all(bool(p.grad.any()) == (step == 1) for p in inner)
        optimiser.step()


@pytest.mark.parametrize(
    ("outputs", "width", "millions"),
    [(PASCAL, 512, 32.64), (NYUD, 512, 20.00), ({"semseg": 7, "depth": 1}, 512, 13.69), (NYUD, 64, 0.322), (NYUD, 32, 0.083)],
)
def test_what_it_counts(outputs: dict[str, int], width: int, millions: float) -> None:
    """4 [T (6 C^2 + 13 C) + C^2 + C], on top of twice Feature Diffusion."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    model, single = (hollow(network(m, outputs, params, width=width)) for m in ("task_attention", "diffusion_feature"))
    ours, one = (sum(p.numel() for p in m.parameters()) for m in (model, single))
    tasks = len(outputs)
    assert ours - 2 * one == 4 * (tasks * (6 * width**2 + 13 * width) + width**2 + width)
    assert (ours - 2 * one) / 1e6 == pytest.approx(millions, abs=5e-3 if width == 512 else 5e-4)


def test_two_tasks_ignored_labels_and_a_batch_of_one_have_finite_losses_and_gradients() -> None:
    torch.manual_seed(0)
    model = build(network("task_attention", {"semseg": 13, "depth": 1})).train()
    for attention in model.denoiser.task_attention:
        attention.mask = 1.0
        torch.nn.init.normal_(attention.out.weight)
    two = batch_of("onelabel").only(("semseg", "depth"))
    ignored = replace(two, labels={task: torch.full_like(label, IGNORE) for task, label in two.labels.items()})
    index = {"semseg": torch.tensor([0])}
    one = replace(two, images=two.images[:1], noise_keys=two.noise_keys[:1], image_weights=two.image_weights[:1])
    one = replace(one, labels={"semseg": two.labels["semseg"][:1]}, image_index=index)
    for batch in (two, ignored, one):
        losses = model(batch)
        torch.stack(list(losses.values())).sum().backward()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        assert batch is not ignored or all(loss == 0 for loss in losses.values())


def test_the_layers_are_as_deep_as_released() -> None:
    """Four linear layers ask, two answer; each after a layer norm, with an exact GELU between them."""
    layer, x = _awake(), torch.randn(3, 8)
    for part, depth in ((layer.query, 4), (layer.key, 2), (layer.value, 2)):
        norm, *rest = part["depth"]
        linear = rest[::2]
        assert len(linear) == depth
        y = F.layer_norm(x, (8,), norm.weight, norm.bias)
        for number, one in enumerate(linear):
            y = F.linear(F.gelu(y) if number else y, one.weight, one.bias)
        assert torch.allclose(part["depth"](x), y)
