"""StableMTL on diffusers' networks: one step without noise, one latent loss, one task a step; three trainings."""

import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import MASKS, NYUD, batch_of, need
from helpers.stable import ALL, EVERY_PAIR, TASKS, awake, stable_model, take_step
from helpers.training import set_recipe, train
from lightning_fabric import Fabric
from torch import nn

from dmtl.config import Cell, Project, resolve
from dmtl.data.shards import Shard
from dmtl.evaluation.evaluate import evaluate
from dmtl.models import load_model, read_description
from dmtl.models.diffusion.label_images import LabelImages
from dmtl.models.diffusion.latents import latent_loss
from dmtl.models.diffusion.stable_networks import photo
from dmtl.tasks import IGNORE
from dmtl.training.balance import Isolation, balance_for

FABRIC = Fabric(accelerator="cpu", devices=1)


@contextmanager
def _calls(unet: nn.Module) -> Iterator[list[tuple]]:
    """The arguments of each call of a UNet."""
    given: list[tuple] = []
    handle = unet.register_forward_pre_hook(lambda _, args: given.append(args))
    try:
        yield given
    finally:
        handle.remove()


# One step, deterministic


def test_each_stream_calls_its_unet_once_at_the_last_timestep_without_noise() -> None:
    model, images = stable_model().eval(), torch.randn(2, 3, 32, 64)
    with _calls(model.first.unet) as first, _calls(model.unet) as second:
        model.predict(images)
    for calls in (first, second):
        ((seen, timestep, tokens),) = calls
        assert timestep == 999
        assert seen.shape == (2 * len(TASKS), 8, 4, 8)
        assert tokens.shape[:2] == (2 * len(TASKS), 4)
        latents = model.coder.encode(photo(images, model.config.normalisation))
        assert torch.equal(seen[:, :4], latents.repeat(len(TASKS), 1, 1, 1))
        assert not seen[:, 4:].any()


def test_noise_and_keys_change_nothing() -> None:
    model, images = stable_model().eval(), torch.randn(2, 3, 32, 64)
    one = model.predict(images, noise=1.0, noise_keys=torch.tensor([1, 2]))["final"]
    other = model.predict(images, noise=0.0, noise_keys=torch.tensor([3, 4]))["final"]
    assert all(torch.equal(one[task], other[task]) for task in TASKS)


def test_tasks_differ_by_their_tokens_alone() -> None:
    stream = stable_model().first.eval()
    images = torch.randn(4, 3, 32, 64)
    before = stream.latents(images, EVERY_PAIR)
    assert not torch.allclose(before["depth"], before["normals"], atol=1e-3)
    stream.tokens["depth"].data = stream.tokens["normals"].data.clone()
    after = stream.latents(images, EVERY_PAIR)
    assert torch.allclose(after["depth"], before["normals"], atol=1e-5)
    assert torch.allclose(after["semseg"], before["semseg"], atol=1e-5)


def test_packed_pairs_equal_one_call_a_pair() -> None:
    model, batch = awake().eval(), batch_of("randomlabels")
    for stream in (model.first, model):
        together = stream.latents(batch.images, batch.image_index)
        for task, index in batch.image_index.items():
            for n, image in enumerate(index.tolist()):
                alone = stream.latents(batch.images[image : image + 1], {task: torch.tensor([0])})[task]
                assert torch.allclose(together[task][n], alone[0], rtol=1e-4, atol=1e-5)


def test_the_photo_is_the_image_before_it_was_normalised() -> None:
    config, shown = stable_model().config, torch.rand(2, 3, 33, 70)
    mean, std = (torch.tensor(x)[:, None, None] for x in (config.normalisation.mean, config.normalisation.std))
    made = photo((shown - mean) / std, config.normalisation)
    assert made.shape == (2, 3, 32, 64)
    whole = photo((shown[..., :32, :64] - mean) / std, config.normalisation)
    assert torch.allclose(whole, 2 * shown[..., :32, :64] - 1, atol=1e-5)


# One latent loss


def test_the_loss_is_each_pairs_latent_error() -> None:
    """Images weighted as for every method; whether the autoencoder's gradient is needed makes no difference: it gets none."""
    model, batch = stable_model().eval(), batch_of("randomlabels")
    latents = model.latents(batch.images, EVERY_PAIR)
    for task, index in batch.image_index.items():
        target, _ = model.coder.target(task, batch.labels[task], (4, 8))
        errors = (latents[task][index] - target).square().mean((1, 2, 3))
        assert model(batch)[task].item() == pytest.approx((batch.image_weights[index] * errors).sum().item(), rel=1e-4)
    torch.stack(list(model(batch).values())).sum().backward()
    assert all(p.grad is None for p in model.autoencoder.parameters())


def test_one_invalid_pixel_removes_exactly_its_cell() -> None:
    model = stable_model().first.eval()
    batch = batch_of("full").only(("depth",))
    batch.labels["depth"][0, 0, 9, 15] = IGNORE
    target, cells = model.coder.target("depth", batch.labels["depth"], (4, 8))
    expected = torch.ones(4, 4, 8, dtype=torch.bool)
    expected[0, 1, 1] = False
    assert torch.equal(cells, expected)
    latents = model.latents(batch.images, batch.image_index)["depth"]
    error = (latents - target).square().mean(1)
    kept = torch.stack([error[i][expected[i]].mean() for i in range(4)])
    assert model(batch)["depth"].item() == pytest.approx((batch.image_weights * kept).sum().item(), rel=1e-5)


@pytest.mark.parametrize("tasks", [TASKS, ("semseg", "depth")])
def test_ignored_labels_two_tasks_and_a_batch_of_one_have_finite_losses_and_gradients(tasks: tuple[str, ...]) -> None:
    model = awake(outputs={task: NYUD[task] for task in tasks}).train()
    for layer in model.task_attention:
        layer.mask = 1.0
    some = batch_of("onelabel").only(tasks)
    ignored = replace(some, labels={task: torch.full_like(label, IGNORE) for task, label in some.labels.items()})
    one = replace(some, images=some.images[:1], noise_keys=some.noise_keys[:1], image_weights=some.image_weights[:1])
    one = replace(one, labels={"semseg": some.labels["semseg"][:1]}, image_index={"semseg": torch.tensor([0])})
    for batch in (some, ignored, one):
        model.zero_grad()
        losses = model(batch)
        torch.stack(list(losses.values())).sum().backward()
        assert all(loss.isfinite() for loss in losses.values())
        assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
        assert batch is not ignored or all(loss == 0 for loss in losses.values())


def test_classes_come_back_from_their_colours() -> None:
    """Without the autoencoder nothing is lost of a class, and identical latents have no loss."""
    images = stable_model().coder.images
    assert isinstance(images, LabelImages)
    label = torch.randint(0, 13, (2, 1, 16, 24)).float()
    image, _ = images.image("semseg", label)
    assert torch.equal(images.prediction("semseg", image, 13).argmax(1), label[:, 0].long())
    maps = torch.randn(2, 4, 3, 5)
    assert latent_loss(maps, maps.clone(), torch.ones(2, 3, 5, dtype=torch.bool)).tolist() == [0, 0]


def _cell(folder: Path) -> str:
    """A cell of the method in the tiny project's grid, which has none."""
    need("stable_mtl")
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    cell = "nyud-onelabel-stable_mtl-scratch"
    grid["cells"] = {cell: grid["methods"]["stable_mtl"]["cell"] | {"benchmark": "nyud", "setting": "onelabel"}}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid | {"gradients": {}, "extra": {}}))
    return cell


def test_task_weights_have_no_effect_and_the_ceiling_reaches_the_result(tiny: Path) -> None:
    cell = _cell(tiny)
    expected = train(tiny, cell)["model.safetensors"]
    set_recipe(tiny, task_weights={"semseg": 100.0, "depth": 0.0, "normals": 3.0})
    assert train(tiny, cell)["model.safetensors"] == expected
    folder = Project(tiny).paths.model(cell)
    history = json.loads((folder / "history.json").read_text())
    assert [entry["network"] for entry in history] == ["autoencoder", "single", "multi"]
    model, shard = load_model(folder), Shard(Project(tiny).paths.shard("nyud", "val"))
    found = evaluate(model, shard, read_description(folder)).result()["metrics"]
    assert {task: set(scores) for task, scores in found["ceiling"].items()} == {t: set(s) for t, s in found["final"].items()}
    label = torch.rand(2, 1, 32, 64) * 5
    image, _, _ = model.coder.image("depth", label, (4, 8))
    through = model.coder.vae.decode(model.coder.vae.encode(image).latent_dist.mean).sample
    low, high = model.coder.images.spans[model.tasks.index("depth")]
    again = (through.mean(1, keepdim=True) + 1) / 2 * (high - low) + low
    assert torch.allclose(model.ceiling({"depth": label})["depth"], again, atol=1e-4)


def test_other_methods_keep_their_task_weights(root: Path) -> None:
    project = Project(root)
    cell = Cell(benchmark="nyud", setting="onelabel", **project.grid["methods"]["stable_mtl"]["cell"])
    assert set(resolve(project, cell).recipe.task_weights.values()) == {1.0}
    other = cell.model_copy(update={"method": "latent_regression", "scratch": False})
    assert resolve(project, other).recipe.task_weights == project.block("scales.demo.train.nyud.task_weights")


# One task a step


@pytest.mark.parametrize("turn", range(3))
@pytest.mark.parametrize("setting", MASKS)
def test_a_step_learns_one_task_alone(setting: str, turn: int) -> None:
    """The gradient is that of its own loss, whatever the others weigh; over three steps each task has its turn."""
    stream, batch = stable_model().first.train(), batch_of(setting)
    alone, task = copy.deepcopy(stream), TASKS[turn]
    weights = {other: 1.0 if other == task else 100.0 for other in TASKS}
    Isolation(weights, stream.tasks).backward(FABRIC, stream(batch), (1, turn + 2))
    alone(batch)[task].backward()
    for (name, ours), theirs in zip(stream.named_parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad), name
    moved = {name for name, token in stream.tokens.items() if token.grad is not None and token.grad.any()}
    assert moved == {task}


def test_without_its_label_the_next_task_has_the_turn() -> None:
    stream, batch = stable_model().first.train(), batch_of("full").only(("semseg", "normals"))
    Isolation(dict.fromkeys(TASKS, 1.0), TASKS).backward(FABRIC, stream(batch), (0, 1))
    assert {task for task, token in stream.tokens.items() if token.grad is not None and token.grad.any()} == {"normals"}


def test_both_streams_are_isolated_and_the_autoencoder_is_not(root: Path) -> None:
    model, project = stable_model(), Project(root)
    cell = Cell(benchmark="nyud", setting="onelabel", **project.grid["methods"]["stable_mtl"]["cell"])
    balances = {name: type(balance_for(resolve(project, cell), one, FABRIC)) for name, one in model.trainings()}
    assert [name for name, made in balances.items() if made is Isolation] == ["single", "multi"]
    assert list(balances) == ["autoencoder", "single", "multi"]


def test_the_three_trainings_share_no_parameter_and_leave_none_out() -> None:
    model = stable_model()
    parts = [{id(p) for group in one.parameter_groups() for p in group["params"]} for _, one in model.trainings()]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert set().union(*parts) == {id(p) for p in model.parameters()}


def test_the_autoencoder_learns_labels_and_images() -> None:
    """Each is brought well down in a few steps; without image or label term it would not be."""
    autoencoder = stable_model(width=32).autoencoder.train()
    batch = replace(batch_of("full"), labels={"depth": torch.rand(4, 1, 32, 64)}, image_index={"depth": ALL})
    batch.labels["depth"] = F.interpolate(batch.labels["depth"][:, :, ::8, ::8].round(), scale_factor=8)
    batch.images = F.interpolate(batch.images[:, :, ::16, ::16].clamp(-1, 1), scale_factor=16)
    optimiser = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    history = []
    for _ in range(60):
        losses = autoencoder(batch)
        history.append({name: loss.item() for name, loss in losses.items()})
        take_step(autoencoder, losses, optimiser)
    assert set(history[0]) == {"reconstruction", "photo"}
    assert all(history[-1][name] < history[0][name] / 2 for name in history[0])
