"""A benchmark's own tasks of kind regression, with one, two and three channels: trained by every method and evaluated."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks import FAMILY, fresh

from dmtl.benchmarks.shared.sample import Sample
from dmtl.data.batch import Batch
from dmtl.data.shards import Shard
from dmtl.evaluation.evaluate import evaluate
from dmtl.losses import image_weights
from dmtl.metrics.per_image import load_per_image
from dmtl.models import build
from dmtl.models.diffusion.autoencoder import LabelAutoencoder
from dmtl.models.shared.method import Method
from dmtl.prepare.packing import pack, write_shard
from dmtl.tasks import task

pytestmark = pytest.mark.usefixtures("narrow")
TASKS = [
    task("shading", 1, kind="regression"),
    task("flow", 2, kind="regression"),
    task("albedo", 3, kind="regression"),
    task("semseg", classes=tuple("abcde")),
]
OUTPUTS = {one.name: one.channels for one in TASKS}
KINDS = {one.name: {"name": "regression"} for one in TASKS[:3]}
SIZE = (32, 64)


def _network(method: str) -> Method:
    return fresh(method, outputs=OUTPUTS, kinds=KINDS)


def _batch() -> Batch:
    """Four images, each with the label of one task."""
    generator = torch.Generator().manual_seed(0)
    labels = {name: torch.randn(1, channels, *SIZE, generator=generator) for name, channels in OUTPUTS.items()}
    labels["semseg"] = torch.randint(0, 5, (1, 1, *SIZE), generator=generator).float()
    return Batch(
        ids=tuple("abcd"),
        images=torch.randn(4, 3, *SIZE, generator=generator),
        noise_keys=torch.arange(4),
        labels=labels,
        image_index={name: torch.tensor([i]) for i, name in enumerate(OUTPUTS)},
        image_weights=image_weights(torch.eye(4), "per_image"),
    )


@pytest.mark.parametrize("method", [method for method in FAMILY if method != "constant"])
def test_every_method_trains_a_step(method: str) -> None:
    """Each loss is finite and moves all that is not idle."""
    network, batch = _network(method).train(), _batch()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    for _, one in network.trainings():
        one.begin()
        optimiser = torch.optim.Adam([{"params": group["params"]} for group in one.parameter_groups()], lr=1e-3)
        for _ in range(2):  # the first wakes what begins at zero
            losses = one.train()(batch.only(one.tasks))
            unnamed = method.startswith("latent") or isinstance(one, LabelAutoencoder)
            assert set(losses) & set(OUTPUTS) == (set() if unnamed else set(one.tasks))
            assert all(loss.isfinite() for loss in losses.values())
            optimiser.zero_grad()
            torch.stack([loss for name, loss in losses.items() if name not in one.figures]).sum().backward()
            optimiser.step()
    moved = {name for name, p in network.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name in before if not name.startswith("idle.")}


def test_the_loss_is_the_absolute_difference_summed_over_channels() -> None:
    network, batch = _network("mtl_baseline"), _batch()
    batch.labels["flow"][0, 1, :5] = 255  # one channel of a pixel is enough to ignore it
    prediction = torch.randn(1, 2, *SIZE)
    valid = (batch.labels["flow"][0] != 255).all(0)
    expected = (prediction - batch.labels["flow"]).abs()[0].sum(0)[valid].mean()
    assert network.pair_losses("flow", prediction, batch).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """Three test images, two of them smaller than the canvas, with pixels that have no value."""
    rng, samples = np.random.default_rng(0), []
    for size in (SIZE, (20, 64), (32, 41)):
        labels = {name: rng.normal(size=(*size, channels)).astype(np.float32) for name, channels in OUTPUTS.items()}
        for values in labels.values():
            values[rng.random(size) < 0.3] = 0
        labels["shading"] = labels["shading"][..., 0]
        labels["semseg"] = rng.integers(0, 5, size).astype(np.uint8)
        samples.append(Sample(rng.integers(0, 256, (*size, 3)).astype(np.uint8), labels))
    path = tmp_path / "val.h5"
    write_shard(path, (pack(sample, SIZE, "pad", TASKS) for sample in samples), ["a", "b", "c"], TASKS, {}, {})
    return Shard(path)


def test_a_shard_says_what_its_tasks_are(shard: Shard) -> None:
    assert shard.described_kinds == KINDS
    assert {name: kind.name for name, kind in shard.kinds.items()} == {one.name: one.kind.name for one in TASKS}
    assert [shard.label(name, 1).shape for name in ("shading", "flow", "albedo")] == [(20, 64), (20, 64, 2), (20, 64, 3)]


def test_the_score_is_the_mean_over_valid_pixels_and_channels(shard: Shard, tmp_path: Path) -> None:
    """Of the network's own predictions at the images' place on the canvas; and from the file of statistics."""
    network = _network("diffusion_prediction").eval()
    found = evaluate(network, shard, {"cell": "c", "scale": "demo", "seed": 0})
    found.save(tmp_path / "c.npz")
    read = load_per_image(tmp_path / "c.npz").scores()
    for stage in ("final", "initial"):
        scores = read[stage]
        assert scores is not None
        for name in KINDS:
            errors = []
            for k in range(3):
                prediction = _prediction(network, shard, k)[stage][name][0].movedim(0, -1).numpy().astype(np.float64)
                label = shard.label(name, k).reshape(*shard.content_size(k), -1)
                errors.append((prediction - label)[np.isfinite(label).all(-1)])
            values = np.concatenate(errors)
            assert scores[name]["abs_error"] == pytest.approx(np.abs(values).mean(), rel=1e-4), (stage, name)
            assert scores[name]["rmse"] == pytest.approx(np.sqrt((values**2).mean()), rel=1e-4), (stage, name)


def _prediction(network: Method, shard: Shard, k: int) -> dict[str, dict[str, torch.Tensor]]:
    """Maps of one image, padded by hand, at the image's own place and size."""
    from dmtl.data.loading import noise_key

    (height, width), canvas = shard.content_size(k), torch.zeros(1, 3, *SIZE)
    top, left = (SIZE[0] - height) // 2, (SIZE[1] - width) // 2
    rows, columns = slice(top, top + height), slice(left, left + width)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    canvas[0, :, rows, columns] = (torch.from_numpy(shard.image(k)).movedim(-1, 0) / 255 - mean) / std
    predicted = network.predict(canvas, noise_keys=torch.tensor([noise_key(shard.ids[k], 0, -1)]))
    return {stage: {name: m[..., rows, columns] for name, m in maps.items()} for stage, maps in predicted.items()}


def test_a_model_is_rebuilt_with_its_kinds() -> None:
    """model.json keeps them: the configuration alone makes the same network."""
    network = _network("single_task")
    again = build(type(network.config).model_validate(network.config.model_dump(mode="json")))
    assert {name: kind.name for name, kind in again.kinds.items()} == {one.name: one.kind.name for one in TASKS}
    again.load_state_dict(network.state_dict())
