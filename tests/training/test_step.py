"""A step asks nothing back from the device, and what a GPU computes another way has the same values."""

from functools import cache

import pytest
import torch
from helpers.networks import batch_of, fresh, installed
from helpers.waiting import Waits
from lightning_fabric import Fabric

from dmtl.config import Project, for_training
from dmtl.data.batch import Batch
from dmtl.models import method_names
from dmtl.models.diffusion import noise
from dmtl.models.shared import attention
from dmtl.models.shared.attention import attend
from dmtl.training.balance import Balance
from dmtl.training.epoch_losses import EpochLosses
from dmtl.training.step import make_optimiser, take_step

NETWORKS = [method for method in method_names() if not installed(method) or list(fresh(method).trainings())]


@cache
def _recipe(root):
    return for_training(Project(root), "nyud-onelabel-mtl_baseline").recipe


@pytest.mark.parametrize("setting", ["randomlabels", "full"])
@pytest.mark.parametrize("method", NETWORKS)
def test_a_step_waits_for_no_device(root, method: str, setting: str) -> None:
    """Of every method; so many `.item()`, masks by index or counts would each cost a GPU its queue."""
    model, batch = fresh(method), batch_of(setting)
    batch = batch.to(torch.device("cpu"))
    batch.host_copy = {task: index.clone() for task, index in batch.image_index.items()}  # else one tensor is both
    fabric = Fabric(accelerator="cpu", devices=1)
    model.prepare([{task: labels[0] for task, labels in batch.labels.items()}])
    for _, network in model.trainings():
        network.begin()
        optimiser, _ = make_optimiser(network, _recipe(root))
        network.train()
        module, wrapped = fabric.setup(network, optimiser)
        sums = EpochLosses(network.tasks, fabric.device, network.figures)
        part = batch.only(network.tasks)
        balance = Balance(dict.fromkeys(network.tasks, 1.0))
        with Waits(list(part.host_index.values())) as waits:
            sums.add(fabric, take_step(fabric, balance, module, wrapped, part, (0, 0), 10.0, network.figures))
        assert waits.found == []


@pytest.mark.parametrize("ask", [lambda x: x.sum().item(), lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: bool(x.any())])
def test_what_waits_is_seen(ask) -> None:
    kept = torch.randn(4)
    with Waits([]) as waits:
        ask(kept)
    assert len(waits.found) >= 1
    with Waits([kept]) as waits:
        ask(kept)
    assert waits.found == []


@pytest.mark.parametrize("tokens", [(6, 6), (12, 48)])
def test_fused_attention_has_the_same_values(tokens: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 4, n, 32, generator=generator, requires_grad=True) for n in (tokens[0], tokens[1], tokens[1]))
    by_hand, fused = attend(q, k, v, fused=False), attend(q, k, v, fused=True)
    torch.testing.assert_close(fused, by_hand, rtol=1e-5, atol=1e-6)
    slope = torch.randn(by_hand.shape, generator=generator)
    for a, b in zip(torch.autograd.grad(fused, (q, k, v), slope), torch.autograd.grad(by_hand, (q, k, v), slope), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
    assert torch.equal(attend(q, k, v), by_hand), "a CPU keeps its bits"


def test_a_network_with_fused_attention_loses_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    from dmtl.models.diffusion import blocks

    def losses() -> dict[str, torch.Tensor]:
        return {task: loss.detach() for task, loss in fresh("diffusion_feature")(batch_of("randomlabels")).items()}

    expected = losses()
    calls = []
    monkeypatch.setattr(blocks, "attend", lambda q, k, v: calls.append(1) or attention.attend(q, k, v, fused=True))
    torch.testing.assert_close(losses(), expected, rtol=1e-5, atol=1e-6)
    assert calls


def test_the_noise_does_not_depend_on_its_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU draws more at once than a CPU."""
    keys = torch.tensor([3, -7, 2**40])
    expected = noise.gaussian(keys, "depth", 1, (5, 7))
    monkeypatch.setattr(noise, "_CACHED_VALUES", 1)
    assert torch.equal(noise.gaussian(keys, "depth", 1, (5, 7)), expected)


def test_a_batch_on_a_device_remembers_its_pairs_on_the_host() -> None:
    batch = batch_of("randomlabels")
    assert batch.host_index is batch.image_index
    moved: Batch = batch.to(torch.device("meta"))
    assert moved.images.is_meta
    assert moved.host_index is batch.image_index
    assert list(moved.only(("depth",)).host_index) == ["depth"]


def test_compiling_by_cuda_graphs_is_the_same_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    from dmtl.training.compiling import compile_parts

    asked = []
    monkeypatch.setattr(torch.nn.Module, "compile", lambda module, **options: asked.append((type(module).__name__, options)))
    for choice, mode in ((True, None), ("reduce-overhead", "reduce-overhead")):
        asked.clear()
        compile_parts(fresh("diffusion_feature"), choice)
        assert asked == [(name, {"dynamic": False, "mode": mode}) for name in ("Trunk", "Decoders")]
