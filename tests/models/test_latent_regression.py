"""One latent loss for all tasks: labels as images and back, the block transform, invalid cells, the autoencoder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import NYUD, batch_of, fresh
from helpers.project import tiny_params
from helpers.training import set_recipe, train
from torch import Tensor

from dmtl.config import Project, for_report
from dmtl.data.batch import Batch
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.evaluation.evaluate import evaluate
from dmtl.models import load_model, read_description
from dmtl.models.diffusion.label_images import LabelImages, class_colours
from dmtl.models.diffusion.latent_network import LatentNetwork
from dmtl.models.diffusion.latents import BlockTransform, cosine_kernels, latent_loss
from dmtl.models.diffusion.noise import gaussian
from dmtl.models.shared.method import Method
from dmtl.report.figures import ceiling_chart
from dmtl.report.results import load_results
from dmtl.tasks import IGNORE, kinds_of

METHODS = ("latent_regression", "latent_regression_vae")
OUTPUTS = {"semseg": 13, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1, "depth": 1, "flow": 2, "albedo": 3}
DESCRIBED = {"flow": {"name": "regression"}, "albedo": {"name": "regression"}}


def _images(outputs: dict[str, int] = OUTPUTS) -> LabelImages:
    return LabelImages(kinds_of(outputs, DESCRIBED), outputs, sharpness=10.0)


def _labels(size: tuple[int, int] = (16, 24), block: int = 1) -> dict[str, Tensor]:
    """One random label of each task, constant in squares of `block` pixels."""
    g = torch.Generator().manual_seed(0)
    small = size[0] // block, size[1] // block
    labels = {
        "semseg": torch.randint(0, 13, (1, 1, *small), generator=g).float(),
        "human_parts": torch.randint(0, 7, (1, 1, *small), generator=g).float(),
        "saliency": torch.randint(0, 2, (1, 1, *small), generator=g).float(),
        "normals": F.normalize(torch.randn(1, 3, *small, generator=g), dim=1),
        "boundary": torch.randint(0, 2, (1, 1, *small), generator=g).float(),
        "depth": torch.rand(1, 1, *small, generator=g) * 8,
        "flow": torch.randn(1, 2, *small, generator=g),
        "albedo": torch.rand(1, 3, *small, generator=g),
    }
    return {task: F.interpolate(label, size=size, mode="nearest") for task, label in labels.items()}


def _network_of(model: Method) -> LatentNetwork:
    network = getattr(model, "network", model)
    assert isinstance(network, LatentNetwork)
    return network


@pytest.mark.parametrize(("coefficients", "block"), [(64, 1), (64, 8), (16, 8), (1, 8)])
def test_coding_and_decoding_gives_the_label(coefficients: int, block: int) -> None:
    """To rounding with all coefficients; and with fewer of them where a label does not change within a block."""
    labels, coder = _labels(block=block), BlockTransform(_images(), OUTPUTS, coefficients)
    coder.images.learn_spans({task: label[0]} for task, label in labels.items())
    for task, prediction in coder.ceiling(labels).items():
        label, kind = labels[task], coder.images.kinds[task]
        assert prediction.shape == (1, OUTPUTS[task], 16, 24)
        decoded = kind.decode(prediction[0])
        if task in ("boundary", "saliency"):
            assert torch.equal((decoded > 0.5).float(), label[0, 0])
        elif kind.indexed:
            assert torch.equal(decoded.float(), label[0, 0])
        else:
            assert torch.allclose(decoded.reshape(label[0].shape), label[0], atol=1e-4)


def test_with_few_coefficients_something_is_lost() -> None:
    labels = _labels()
    ceiling = BlockTransform(_images(), OUTPUTS, 3).ceiling(labels)
    assert not torch.equal(ceiling["semseg"][0].argmax(0).float(), labels["semseg"][0, 0])


@pytest.mark.parametrize("count", [2, 7, 8, 9, 13, 21, 27, 28, 40, 150])
def test_every_class_has_a_colour_of_its_own_in_the_cube(count: int) -> None:
    colours = class_colours(count)
    assert colours.shape == (count, 3)
    assert len({tuple(colour) for colour in colours.tolist()}) == count
    assert (colours.abs() <= 1).all()


def test_a_class_is_the_nearest_colour() -> None:
    images = _images()
    image = torch.rand(2, 3, 5, 6) * 2 - 1
    distance = (image[:, None] - class_colours(13)[None, :, :, None, None]).square().sum(2)
    logits = images.prediction("semseg", image, 13)
    assert torch.equal(logits.argmax(1), distance.argmin(1))
    assert torch.allclose(logits.softmax(1), (-10 * distance).softmax(1), atol=1e-5)
    two = images.prediction("saliency", image, 2)
    assert torch.allclose(images.prediction("boundary", image, 1)[:, 0], two[:, 1] - two[:, 0], atol=1e-4)


@pytest.mark.parametrize("method", METHODS)
def test_values_have_the_scale_of_all_training_labels(method: str) -> None:
    """From 0 to the largest, not each image's own, so that metres stay metres; it is kept with the weights."""
    model = fresh(method)
    model.prepare(
        [{"depth": torch.full((1, 2, 2), 2.0)}, {"depth": torch.tensor([[[10.0, IGNORE]]])}, {"semseg": torch.ones(1, 2, 2)}]
    )
    again = fresh(method)
    again.load_state_dict(model.state_dict())
    label = torch.tensor([0.0, 5.0, 10.0, 12.0, IGNORE]).view(1, 1, 1, 5)
    image, valid = _network_of(again).coder.images.image("depth", label)
    assert image[0, 0, 0].tolist() == [-1, 0, 1, 1, 0]
    assert valid[0, 0].tolist() == [True] * 4 + [False]
    assert image.shape == (1, 3, 1, 5)


def test_a_task_of_more_channels_than_colours_is_named() -> None:
    described = {"spectrum": {"name": "regression"}}
    with pytest.raises(UserError, match=r"task 'spectrum' .* is no image of three channels"):
        LabelImages(kinds_of({"spectrum": 4}, described), {"spectrum": 4}, 1.0)


def test_the_transform_is_scipys_and_orthonormal() -> None:
    kernels = cosine_kernels(64)
    assert torch.allclose(kernels.flatten(1) @ kernels.flatten(1).T, torch.eye(64), atol=1e-5)
    block = np.random.default_rng(0).normal(size=(8, 8))
    ours = (kernels.double().numpy() * block).sum((1, 2))
    theirs = scipy.fft.dctn(block, norm="ortho")
    assert np.allclose(np.sort(ours), np.sort(theirs.flatten()), atol=1e-5)
    assert ours[:4] == pytest.approx([theirs[0, 0], theirs[0, 1], theirs[1, 0], theirs[2, 0]], abs=1e-5)  # zigzag


def test_the_latents_error_is_the_pixels_error_on_the_kept_band() -> None:
    coder = BlockTransform(_images(), OUTPUTS, 10)
    one, other = torch.randn(2, 3, 16, 24), torch.randn(2, 3, 16, 24)
    cells = torch.ones(2, 2, 3, dtype=torch.bool)
    a, b = coder.encode(one), coder.encode(other)
    assert a.shape == (2, 30, 2, 3)
    pixels = (coder.decode(a) - coder.decode(b)).square().mean((1, 2, 3))
    assert torch.allclose(latent_loss(a, b, cells) * 10 / 64, pixels, atol=1e-5)


def test_one_invalid_pixel_removes_exactly_its_cell() -> None:
    label = _labels()["semseg"]
    coder = BlockTransform(_images(), OUTPUTS, 16)
    whole, every = coder.target("semseg", label, (2, 3))
    label[0, 0, 9, 15] = IGNORE
    target, cells = coder.target("semseg", label, (2, 3))
    expected = torch.ones(1, 2, 3, dtype=torch.bool)
    expected[0, 1, 1] = False
    assert every.all()
    assert torch.equal(cells, expected)
    assert torch.equal(target[:, :, expected[0]], whole[:, :, expected[0]])
    predicted = torch.randn(1, 48, 2, 3)
    plain = (predicted - whole).square().mean(1)[expected].mean()
    assert latent_loss(predicted, target, cells).item() == pytest.approx(plain.item(), rel=1e-6)
    predicted[:, :, 1, 1] = 1e9
    assert latent_loss(predicted, target, cells).item() == pytest.approx(plain.item(), rel=1e-6)


def test_identical_maps_have_no_loss_and_nothing_valid_is_zero() -> None:
    maps, none = torch.randn(2, 4, 3, 5), torch.zeros(2, 3, 5, dtype=torch.bool)
    assert latent_loss(maps, maps.clone(), ~none).tolist() == [0, 0]
    assert latent_loss(maps, maps + 1, none).tolist() == [0, 0]
    assert latent_loss(maps, maps + 1, ~none).tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize("method", METHODS)
def test_an_image_whose_labels_are_all_ignored_teaches_nothing(method: str) -> None:
    model, batch = fresh(method).train(), batch_of("full")
    for label in batch.labels.values():
        label[:] = IGNORE
    losses = model(batch)
    assert all(loss.item() == 0 for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_image_and_two_tasks(method: str) -> None:
    batch = batch_of("full")
    one = Batch(
        ids=batch.ids[:1],
        images=batch.images[:1],
        noise_keys=batch.noise_keys[:1],
        labels={task: label[:1] for task, label in batch.labels.items()},
        image_index={task: index[:1] for task, index in batch.image_index.items()},
        image_weights=torch.ones(1),
    ).only(("semseg", "depth"))
    model = fresh(method, outputs={"semseg": 13, "depth": 1}).train()
    losses = model(one)
    assert set(losses) == {"latent"} | ({"reconstruction"} if method.endswith("vae") else set())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("method", METHODS)
def test_the_loss_is_the_mean_over_pairs_of_each_pairs_own(method: str) -> None:
    """Images weighted as for every method, tasks not at all."""
    batch, network = batch_of("randomlabels"), _network_of(fresh(method).eval())
    every_pair = dict.fromkeys(NYUD, torch.arange(4))
    latents = network.latents(batch.images, every_pair)
    expected = 0.0
    for task, index in batch.image_index.items():
        for n, image in enumerate(index.tolist()):
            target, _ = network.coder.target(task, batch.labels[task][n : n + 1], (4, 8))
            expected += batch.image_weights[image].item() * F.mse_loss(latents[task][image], target[0]).item()
    assert network(batch)["latent"].item() == pytest.approx(expected, rel=1e-4)


def test_regression_leaves_the_autoencoder_as_it_was() -> None:
    model = fresh("latent_regression_vae").train()
    (_, first), (_, second) = model.trainings()
    before = {name: value.clone() for name, value in first.state_dict().items()}
    assert not {id(p) for p in first.parameters()} & {id(p) for p in second.parameters()}
    assert {id(p) for p in model.parameters()} == {id(p) for part in (first, second) for p in part.parameters()}
    optimiser = torch.optim.Adam(second.parameters(), lr=0.1)
    second(batch_of("full"))["latent"].backward()
    assert all(p.grad is None for p in first.parameters())
    optimiser.step()
    assert all(torch.equal(value, before[name]) for name, value in first.state_dict().items())


def test_the_autoencoder_learns_to_reconstruct() -> None:
    """A few steps on one label bring its error well down; each draw is the label's own."""
    torch.manual_seed(0)
    model = fresh("latent_regression_vae", width=32).autoencoder  # type: ignore[attr-defined]
    batch = replace(batch_of("full"), labels={"depth": torch.rand(4, 1, 32, 64).round()}, image_index={"depth": torch.arange(4)})
    batch.labels["depth"] = F.interpolate(batch.labels["depth"][:, :, ::8, ::8], scale_factor=8)
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(40):
        optimiser.zero_grad()
        loss = model(batch)["reconstruction"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 3
    assert model(batch)["reconstruction"].item() == model(batch)["reconstruction"].item()


def test_the_autoencoders_loss_is_its_error_and_the_divergence_of_its_latents() -> None:
    """Of each image, over the pixels and the cells that count; the latents are drawn with their deviation by the label's key."""
    torch.manual_seed(0)
    model, keys = fresh("latent_regression_vae", width=32).autoencoder, torch.tensor([3, 4])  # type: ignore[attr-defined]
    model.coder.encoder[-1].bias.data[4:] = 1.0  # log-variances that make a draw and its divergence matter
    image, pixels = torch.rand(2, 3, 16, 24), torch.ones(2, 16, 24, dtype=torch.bool)
    pixels[0, 3, 5] = False
    cells = pixels.unflatten(2, (-1, 8)).unflatten(1, (-1, 8)).all(4).all(2)
    mean, log_variance = model.coder.distribution(image)
    drawn = mean + (log_variance / 2).exp() * gaussian(keys, "latent of depth", 0, tuple(mean.shape[1:]))
    again = model.coder.decode(drawn)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum(1)
    for weight in (0.0, 0.5):
        model.kl_weight = weight
        found = model.errors(image, pixels, cells, keys, "depth")
        for n in range(2):
            error = (again[n] - image[n]).square().mean(0)[pixels[n]].mean()
            expected = error + weight * divergence[n][cells[n]].mean()
            assert found[n].item() == pytest.approx(expected.item(), rel=1e-4)
    assert divergence.mean() > 0.1


def test_task_weights_have_no_effect(tiny: Path) -> None:
    cell = "nyud-onelabel-latent_regression"
    expected = train(tiny, cell)["model.safetensors"]
    set_recipe(tiny, task_weights={"semseg": 100.0, "depth": 0.0, "normals": 3.0})
    assert train(tiny, cell)["model.safetensors"] == expected


def test_the_ceiling_reaches_results_and_report(tiny: Path) -> None:
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["diffusion"]["network"]["latent"]["coefficients"] = 64
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    cell, project = "nyud-onelabel-latent_regression", Project(tiny)
    train(tiny, cell)
    folder = project.paths.model(cell)
    shard = Shard(project.paths.shard("nyud", "val"))
    found = evaluate(load_model(folder), shard, read_description(folder)).result()
    assert list(found["metrics"]) == ["final", "initial", "ceiling"]
    ceiling = found["metrics"]["ceiling"]
    classes = set(np.concatenate([np.unique(shard.label("semseg", k)) for k in range(len(shard))])) - {IGNORE}
    assert ceiling["semseg"]["miou"] == pytest.approx(100 * len(classes) / NYUD["semseg"])
    assert ceiling["normals"]["mean_error"] < 0.1 < found["metrics"]["final"]["normals"]["mean_error"]
    assert ceiling["depth"]["abs_error"] < found["metrics"]["final"]["depth"]["abs_error"]
    project.paths.result(cell).parent.mkdir(parents=True, exist_ok=True)
    project.paths.result(cell).write_text(json.dumps(found))
    chart = ceiling_chart(for_report(project), load_results(for_report(project), project.paths))
    assert chart is not None
    assert len(chart.images) == len(chart.rows) == 3
    assert chart.rows[0][3] == f"{ceiling['semseg']['miou']:.2f}"


def test_methods_that_predict_labels_have_no_ceiling(tiny: Path) -> None:
    assert fresh("diffusion_feature").ceiling(batch_of("full").labels) == {}


def test_without_its_options_it_says_so() -> None:
    params = tiny_params()
    del params["diffusion"]["network"]["latent"]
    with pytest.raises(UserError, match=r"'latent_regression_vae' needs the block diffusion\.network\.latent"):
        fresh("latent_regression_vae", params=params)
