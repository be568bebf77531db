"""StableMTL on diffusers' networks: one latent loss, one task a step, one step of the UNet; then the other tasks are heard."""

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
from helpers.networks import MASKS, NYUD, PASCAL, batch_of, fresh, need, network
from helpers.project import ROOT, tiny_params
from lightning_fabric import Fabric
from torch import Tensor, nn

from dmtl.config import Cell, Project, for_training, resolve
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.evaluation.evaluate import evaluate
from dmtl.models import build, load_model, read_description
from dmtl.models.diffusion.label_images import LabelImages
from dmtl.models.diffusion.latents import latent_loss
from dmtl.models.diffusion.stable_networks import photo, self_attentions
from dmtl.models.diffusion.stable_stream import NO_PRIOR
from dmtl.models.diffusion.task_attention import mask_draws
from dmtl.models.stable_mtl import MultiStream
from dmtl.report.flops import cost_of
from dmtl.tasks import IGNORE
from dmtl.training import loop
from dmtl.training.balance import Isolation, balance_for

FABRIC = Fabric(accelerator="cpu", devices=1)
TASKS = tuple(NYUD)
ALL = torch.arange(4)
EVERY_PAIR = dict.fromkeys(TASKS, ALL)


def _model(**options: object) -> MultiStream:
    model = fresh("stable_mtl", **options)
    assert isinstance(model, MultiStream)
    return model


def _awake(**options: object) -> MultiStream:
    """The multi stream at its beginning, but that its last layers are no longer zero."""
    model = _model(**options)
    model.begin()
    for layer in model.task_attention:
        nn.init.normal_(layer.out.weight, std=0.1)
    return model


@contextmanager
def _calls(unet: nn.Module) -> Iterator[list[tuple]]:
    """The arguments of each call of a UNet."""
    given: list[tuple] = []
    handle = unet.register_forward_pre_hook(lambda _, args: given.append(args))
    try:
        yield given
    finally:
        handle.remove()


def _step(model: nn.Module, losses: dict[str, Tensor], optimiser: torch.optim.Optimizer) -> None:
    optimiser.zero_grad()
    torch.stack(list(losses.values())).sum().backward()
    optimiser.step()


# One step, deterministic


def test_each_stream_calls_its_unet_once_at_the_last_timestep_without_noise() -> None:
    model, images = _model().eval(), torch.randn(2, 3, 32, 64)
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
    model, images = _model().eval(), torch.randn(2, 3, 32, 64)
    one = model.predict(images, noise=1.0, noise_keys=torch.tensor([1, 2]))["final"]
    other = model.predict(images, noise=0.0, noise_keys=torch.tensor([3, 4]))["final"]
    assert all(torch.equal(one[task], other[task]) for task in TASKS)


def test_tasks_differ_by_their_tokens_alone() -> None:
    stream = _model().first.eval()
    images = torch.randn(4, 3, 32, 64)
    before = stream.latents(images, EVERY_PAIR)
    assert not torch.allclose(before["depth"], before["normals"], atol=1e-3)
    stream.tokens["depth"].data = stream.tokens["normals"].data.clone()
    after = stream.latents(images, EVERY_PAIR)
    assert torch.allclose(after["depth"], before["normals"], atol=1e-5)
    assert torch.allclose(after["semseg"], before["semseg"], atol=1e-5)


def test_packed_pairs_equal_one_call_a_pair() -> None:
    model, batch = _awake().eval(), batch_of("randomlabels")
    for stream in (model.first, model):
        together = stream.latents(batch.images, batch.image_index)
        for task, index in batch.image_index.items():
            for n, image in enumerate(index.tolist()):
                alone = stream.latents(batch.images[image : image + 1], {task: torch.tensor([0])})[task]
                assert torch.allclose(together[task][n], alone[0], rtol=1e-4, atol=1e-5)


def test_the_photo_is_the_image_before_it_was_normalised() -> None:
    config, shown = _model().config, torch.rand(2, 3, 33, 70)
    mean, std = (torch.tensor(x)[:, None, None] for x in (config.normalisation.mean, config.normalisation.std))
    made = photo((shown - mean) / std, config.normalisation)
    assert made.shape == (2, 3, 32, 64)
    whole = photo((shown[..., :32, :64] - mean) / std, config.normalisation)
    assert torch.allclose(whole, 2 * shown[..., :32, :64] - 1, atol=1e-5)


# One latent loss


def test_the_loss_is_each_pairs_latent_error() -> None:
    """Images weighted as for every method; whether the autoencoder's gradient is needed makes no difference: it gets none."""
    model, batch = _model().eval(), batch_of("randomlabels")
    latents = model.latents(batch.images, EVERY_PAIR)
    for task, index in batch.image_index.items():
        target, _ = model.coder.target(task, batch.labels[task], (4, 8))
        errors = (latents[task][index] - target).square().mean((1, 2, 3))
        assert model(batch)[task].item() == pytest.approx((batch.image_weights[index] * errors).sum().item(), rel=1e-4)
    torch.stack(list(model(batch).values())).sum().backward()
    assert all(p.grad is None for p in model.autoencoder.parameters())


def test_one_invalid_pixel_removes_exactly_its_cell() -> None:
    model = _model().first.eval()
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
    model = _awake(outputs={task: NYUD[task] for task in tasks}).train()
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
    images = _model().coder.images
    assert isinstance(images, LabelImages)
    label = torch.randint(0, 13, (2, 1, 16, 24)).float()
    image, _ = images.image("semseg", label)
    assert torch.equal(images.prediction("semseg", image, 13).argmax(1), label[:, 0].long())
    maps = torch.randn(2, 4, 3, 5)
    assert latent_loss(maps, maps.clone(), torch.ones(2, 3, 5, dtype=torch.bool)).tolist() == [0, 0]


def _train(folder: Path, cell: str) -> bytes:
    project = Project(folder)
    loop.train(for_training(project, cell), project.paths)
    return (project.paths.model(cell) / "model.safetensors").read_bytes()


def _cell(folder: Path) -> str:
    """A cell of the method in the tiny project's grid, which has none."""
    need("stable_mtl")
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    cell = "nyud-onelabel-stable_mtl-scratch"
    grid["cells"] = {cell: grid["methods"]["stable_mtl"]["cell"] | {"benchmark": "nyud", "setting": "onelabel"}}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid | {"extra": {}}))
    return cell


def test_task_weights_have_no_effect_and_the_ceiling_reaches_the_result(tiny: Path) -> None:
    cell = _cell(tiny)
    expected = _train(tiny, cell)
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"]["task_weights"] = {"semseg": 100.0, "depth": 0.0, "normals": 3.0}
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    assert _train(tiny, cell) == expected
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
    stream, batch = _model().first.train(), batch_of(setting)
    alone, task = copy.deepcopy(stream), TASKS[turn]
    weights = {other: 1.0 if other == task else 100.0 for other in TASKS}
    Isolation(weights, stream.tasks).backward(FABRIC, stream(batch), (1, turn + 2))
    alone(batch)[task].backward()
    for (name, ours), theirs in zip(stream.named_parameters(), alone.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad), name
    moved = {name for name, token in stream.tokens.items() if token.grad is not None and token.grad.any()}
    assert moved == {task}


def test_without_its_label_the_next_task_has_the_turn() -> None:
    stream, batch = _model().first.train(), batch_of("full").only(("semseg", "normals"))
    Isolation(dict.fromkeys(TASKS, 1.0), TASKS).backward(FABRIC, stream(batch), (0, 1))
    assert {task for task, token in stream.tokens.items() if token.grad is not None and token.grad.any()} == {"normals"}


def test_both_streams_are_isolated_and_the_autoencoder_is_not(root: Path) -> None:
    model, project = _model(), Project(root)
    cell = Cell(benchmark="nyud", setting="onelabel", **project.grid["methods"]["stable_mtl"]["cell"])
    balances = {name: type(balance_for(resolve(project, cell), one, FABRIC)) for name, one in model.trainings()}
    assert [name for name, made in balances.items() if made is Isolation] == ["single", "multi"]
    assert list(balances) == ["autoencoder", "single", "multi"]


# The multi stream


def test_before_the_first_step_it_is_the_single_stream_to_the_bit() -> None:
    model = _model().eval()
    model.begin()
    images = torch.randn(2, 3, 32, 64)
    ours, single = (one.predict(images)["final"] for one in (model, model.first))
    assert all(torch.equal(ours[task], single[task]) for task in TASKS)


def test_every_self_attention_hears_the_same_one_of_the_frozen_stream() -> None:
    """While both have the same weights, what is heard of a pair's own task is what it says; and no hook stays behind."""
    model, batch, calls = _model().eval(), batch_of("randomlabels"), []
    model.begin()
    for layer in model.task_attention:
        layer.register_forward_pre_hook(lambda _, given: calls.append(given))
    model(batch)
    assert len(calls) == len(self_attentions(model.unet)) == 7
    for attended, heard, image_index, draws in calls:
        own = torch.cat([heard[TASKS.index(task)][index] for task, index in image_index.items()])
        assert torch.allclose(attended, own, atol=1e-5)
        assert draws is None
    assert not any(module._forward_hooks for unet in (model.unet, model.first.unet) for module in unet.modules())


def test_what_is_added_follows_the_output_projection_and_reaches_the_stream() -> None:
    """A vector that the layers add is added behind each self-attention's projection, before the residual."""
    model = _model().eval()
    model.begin()
    for layer in model.task_attention:
        nn.init.normal_(layer.out.bias, std=0.5)  # the same in all channels it would pass the next layer norm unseen
    images = torch.randn(4, 3, 32, 64)
    ours, plain = model.latents(images, EVERY_PAIR), copy.deepcopy(model.first)
    by_name = [module for name, module in plain.unet.named_modules() if name.endswith(".attn1")]  # of each transformer block
    assert len(by_name) == len(model.task_attention)
    for attention, layer in zip(by_name, model.task_attention, strict=True):
        attention.to_out[0].bias.data += layer.out.bias.data
    expected = plain.latents(images, EVERY_PAIR)
    for task in TASKS:
        assert torch.allclose(ours[task], expected[task], atol=1e-4)
        assert not torch.allclose(ours[task], model.first.latents(images, EVERY_PAIR)[task], atol=1e-3)


def test_a_pair_hears_the_other_tasks_and_not_its_own() -> None:
    """Another token for a task in the frozen stream changes what the others estimate, and nothing of its own."""
    model, images = _awake().eval(), torch.randn(4, 3, 32, 64)
    before = model.latents(images, EVERY_PAIR)
    model.first.tokens["depth"].data += torch.randn_like(model.first.tokens["depth"])
    after = model.latents(images, EVERY_PAIR)
    assert torch.equal(after["depth"], before["depth"])
    assert not torch.allclose(after["semseg"], before["semseg"], atol=1e-6)
    assert not torch.allclose(after["normals"], before["normals"], atol=1e-6)


def test_of_two_tasks_the_other_is_heard_whatever_is_asked() -> None:
    model, images = _awake(outputs={"semseg": 13, "depth": 1}).eval(), torch.randn(4, 3, 32, 64)
    pairs = dict.fromkeys(("semseg", "depth"), ALL)
    before = model.latents(images, pairs)
    for layer in model.task_attention:
        for parameter in (*layer.query.parameters(), *layer.key.parameters()):
            parameter.data = torch.randn_like(parameter)
    after = model.latents(images, pairs)
    assert all(torch.allclose(after[task], before[task], atol=1e-5) for task in pairs)


def test_masking_is_drawn_in_training_alone_and_by_the_image_and_task() -> None:
    model, batch, given = _awake(), batch_of("randomlabels"), []
    for layer in model.task_attention:
        layer.register_forward_pre_hook(lambda _, args: given.append(args[3]))
    model.eval()(batch)
    assert given == [None] * 7
    given.clear()
    model.train()(batch)
    expected = [mask_draws(batch.image_index, batch.noise_keys, number) for number in range(7)]
    found, wanted = (sorted(tuple(draws.flatten().tolist()) for draws in part) for part in (given, expected))
    assert found == wanted  # the last level is called before those on the way up
    assert len(set(found)) == 7


def test_frozen_stream_and_autoencoder_stay_as_they_are_while_the_other_moves() -> None:
    model, batch = _awake(), batch_of("full")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimiser = torch.optim.Adam(model.parameter_groups(), lr=1e-2)
    for layer in model.task_attention:
        layer.mask = 0.0
    for _ in range(2):
        _step(model, model.train()(batch), optimiser)
    still = {name for name, value in model.state_dict().items() if torch.equal(value, before[name])}
    assert still == {name for name in before if name.startswith(("first.", "autoencoder."))}
    assert not any(module.training for module in model.first.modules())


def test_the_gradient_reaches_the_last_layer_first_and_then_the_others() -> None:
    model, batch = _model(), batch_of("full")
    model.begin()
    optimiser = torch.optim.SGD(model.parameter_groups(), lr=1e-2)
    for layer in model.task_attention:
        layer.mask = 0.0
    for step in range(2):
        _step(model, model.train()(batch), optimiser)
        for layer in model.task_attention:
            inner = [p for part in (layer.query, layer.key, layer.value) for p in part.parameters()]
            assert layer.out.weight.grad.any()
            assert all(bool(p.grad.any()) == (step == 1) for p in inner)


def test_the_three_trainings_share_no_parameter_and_leave_none_out() -> None:
    model = _model()
    parts = [{id(p) for group in one.parameter_groups() for p in group["params"]} for _, one in model.trainings()]
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert set().union(*parts) == {id(p) for p in model.parameters()}


def test_the_autoencoder_learns_labels_and_images() -> None:
    """Each is brought well down in a few steps; without image or label term it would not be."""
    autoencoder = _model(width=32).autoencoder.train()
    batch = replace(batch_of("full"), labels={"depth": torch.rand(4, 1, 32, 64)}, image_index={"depth": ALL})
    batch.labels["depth"] = F.interpolate(batch.labels["depth"][:, :, ::8, ::8].round(), scale_factor=8)
    batch.images = F.interpolate(batch.images[:, :, ::16, ::16].clamp(-1, 1), scale_factor=16)
    optimiser = torch.optim.Adam(autoencoder.parameters(), lr=3e-3)
    history = []
    for _ in range(60):
        losses = autoencoder(batch)
        history.append({name: loss.item() for name, loss in losses.items()})
        _step(autoencoder, losses, optimiser)
    assert set(history[0]) == {"reconstruction", "photo"}
    assert all(history[-1][name] < history[0][name] / 2 for name in history[0])


# Sizes, and what is told


def _counted(part: nn.Module) -> int:
    return sum(p.numel() for p in part.parameters())


def test_the_published_sizes_stand_beside_the_published_counts() -> None:
    """0.87 B for the UNet, 390.5 M for the attention of seven tasks; Stable Diffusion 2's own UNet has 865.911 M."""
    need("stable_mtl")
    import diffusers

    from dmtl.models.diffusion.stable_networks import PUBLISHED_UNET

    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["stable_mtl"]["prior"] = {"unet": "0" * 64, "vae": "0" * 64}
    seven = {"semseg": 8, "depth": 1, "normals": 3, "albedo": 3, "shading": 1, "flow": 2, "motion": 2}
    kinds = {task: {"name": "regression"} for task in ("albedo", "shading", "flow", "motion")}
    with torch.device("meta"):
        model = build(network("stable_mtl", seven, params, width=512, kinds=kinds))
        of_four, of_twelve = (diffusers.UNet2DConditionModel(**PUBLISHED_UNET | {"in_channels": n}) for n in (4, 12))
    assert isinstance(model, MultiStream)
    assert (_counted(of_four), _counted(model.unet), _counted(of_twelve)) == (865_910_724, 865_922_244, 865_933_764)
    assert round(_counted(model.unet) / 1e9, 2) == 0.87
    assert _counted(model.task_attention) == 390_528_320
    assert round(_counted(model.task_attention) / 1e6, 1) == 390.5
    assert len(model.task_attention) == 16
    assert _counted(model.autoencoder) == 83_653_863


@pytest.mark.parametrize(("outputs", "millions"), [(NYUD, 174.457), (PASCAL, 282.492)])
def test_task_attention_has_the_formulas_count(outputs: dict[str, int], millions: float) -> None:
    """T (2 h^2 + 2 h d + 2 d^2 + 3 h + 10 d) + d^2 + d for each width d, of hidden width h = 640."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["diffusion"]["network"]["stable_mtl"]["prior"] = {"unet": "0" * 64, "vae": "0" * 64}
    need("stable_mtl")
    with torch.device("meta"):
        model = build(network("stable_mtl", outputs, params, width=512))
    assert isinstance(model, MultiStream)
    h, widths = 640, [320] * 5 + [640] * 5 + [1280] * 6
    a_task = [2 * h * h + 2 * h * d + 2 * d * d + 3 * h + 10 * d for d in widths]
    expected = sum(len(outputs) * n + d * d + d for n, d in zip(a_task, widths, strict=True))
    assert _counted(model.task_attention) == expected
    assert expected / 1e6 == pytest.approx(millions, abs=5e-4)


@pytest.mark.parametrize(("width", "size", "millions", "giga"), [(64, (96, 128), 28.272, 4.107), (32, (48, 64), 7.101, 0.271)])
def test_what_the_small_ones_count(width: int, size: tuple[int, int], millions: float, giga: float) -> None:
    need("stable_mtl")
    with torch.device("meta"):
        model = build(network("stable_mtl", NYUD, yaml.safe_load((ROOT / "params.yaml").read_text()), width=width))
    cost = cost_of(model, size)
    assert (cost.parameters / 1e6, cost.multiply_adds / 1e9) == pytest.approx((millions, giga), abs=5e-4)
    assert (cost.idle, cost.training_only) == ({}, {})


def test_that_there_is_no_prior_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    _model().first.begin()
    assert NO_PRIOR in "".join(capsys.readouterr())


def test_without_diffusers_it_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "diffusers", None)
    with pytest.raises(UserError, match=r"stable_mtl needs the package diffusers .*pip install 'dmtl\[diffusers\]'") as caught:
        build(network("stable_mtl"))
    assert "\n" not in str(caught.value)


def test_options_that_do_not_fit_are_named() -> None:
    params = tiny_params()
    params["diffusion"]["network"]["stable_mtl"]["task_attention"]["heads"] = 3
    with pytest.raises(UserError, match=r"stable_mtl\.task_attention\.heads 3 does not divide .* \[8, 16, 32\]"):
        _model(params=params)
    del params["diffusion"]["network"]["stable_mtl"]
    with pytest.raises(UserError, match=r"'stable_mtl' needs the block diffusion\.network\.stable_mtl"):
        _model(params=params)
