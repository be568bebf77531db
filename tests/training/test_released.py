"""What the released codes do and our figures hang on: the steps of single-task networks, what losses weigh, normalisation."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from helpers.networks import NYUD, batch_of, fresh

from dmtl import load_model
from dmtl.config import IMAGENET, NetworkConfig, Plain, Project, for_training
from dmtl.data.loading import EpochBatches, EvaluationSet, TrainingBatches, TrainingSet
from dmtl.data.shards import Shard
from dmtl.losses import task_loss
from dmtl.models.shared.backbone import with_normalisation
from dmtl.training import loop

CELL = "nyud-onelabel-single_task"


@pytest.fixture
def sees_all(tiny: Path) -> Path:
    """The tiny project, whose single-task networks see every image, a few images a batch."""
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["plain"]["single_task"]["images"]["demo"] = "all"
    params["scales"]["demo"]["train"]["nyud"] |= {"batch": 2, "epochs": 1}
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    return tiny


def _seen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[str, ...], bool]]:
    """Train the cell: of every batch its images, and whether it changed a parameter."""
    seen = []
    original = loop.take_step

    def watched(fabric, balance, module, optimiser, batch, *others):  # type: ignore[no-untyped-def]
        before = [p.detach().clone() for p in module.parameters()]
        buffers = [b.clone() for b in module.buffers()]
        losses = original(fabric, balance, module, optimiser, batch, *others)
        assert any(not torch.equal(a, b) for a, b in zip(buffers, module.buffers(), strict=True)), "batch norm sees every batch"
        changed = any(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))
        assert bool(losses) == bool(batch.image_index) == changed
        seen.append((batch.ids, changed))
        return losses

    monkeypatch.setattr(loop, "take_step", watched)
    project = Project(folder)
    loop.train(for_training(project, CELL), project.paths)
    return seen


def test_single_task_networks_see_every_image_and_step_on_labelled_batches(
    sees_all: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As XTC's released training: the order is that of all images, and a batch without a label is no step."""
    seen = _seen(sees_all, monkeypatch)
    shard = Shard(Project(sees_all).paths.shard("nyud", "train"))
    order = [[shard.ids[k] for _, k in batch] for batch in EpochBatches(len(shard), 2, 0, 0)]
    mask = dict(zip(shard.ids, shard.label_mask("onelabel").tolist(), strict=True))
    expected = [(tuple(ids), any(mask[name][t] for name in ids)) for t in range(len(shard.outputs)) for ids in order]
    assert seen == expected
    assert not all(changed for _, changed in seen), "some batch has no label of some task"
    history = json.loads((Project(sees_all).paths.model(CELL) / "history.json").read_text())
    assert [epoch["network"] for epoch in history] == list(shard.outputs)


def test_only_labelled_images_where_that_is_asked_for(tiny: Path) -> None:
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["plain"]["single_task"]["images"]["demo"] = "labelled"
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    project = Project(tiny)
    loop.train(for_training(project, CELL), project.paths)
    single = load_model(project.paths.model(CELL))
    assert [network.every_image for _, network in single.trainings()] == [False] * 3


def test_the_gradient_of_a_mixed_batch_is_the_plain_one() -> None:
    """The loss of the labelled images / B, after a forward pass of all of them."""
    model = fresh("mtl_baseline", outputs={"depth": 1}).train()
    batch = batch_of("onelabel").only(("depth",))
    batch.image_weights = torch.ones(4) / 4  # one task: T / |L_i| is 1
    (loss,) = model(batch).values()
    loss.backward()
    gradients = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    plain = fresh("mtl_baseline", outputs={"depth": 1}).train()
    prediction = plain.decoders(plain.trunk(batch.images))[1]["depth"]
    total = torch.zeros(())
    for n, i in enumerate(batch.image_index["depth"].tolist()):
        enlarged = F.interpolate(prediction[i : i + 1], size=batch.images.shape[-2:], mode="bilinear", align_corners=False)[0]
        total = total + task_loss("depth", enlarged, batch.labels["depth"][n]) / 4
    total.backward()
    for ours, theirs in zip(gradients, [p.grad for p in plain.parameters() if p.grad is not None], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["xtc", "semi_supervised"])
def test_consistency_weighs_the_same_beside_the_losses_however_many_labels_there_are(method: str) -> None:
    """Released: sum of losses / B + weight x consistency / B. T / |L_i| multiplies both, so their ratio is that without it."""
    for setting in ("onelabel", "randomlabels"):
        ratios = []
        for balance in ("per_image", "none"):
            model, batch = fresh(method).eval(), batch_of(setting, label_balance=balance)
            one = batch.only(())  # of the first image alone, whose labels stay
            one.image_weights = batch.image_weights.clone()
            one.image_weights[1:] = 0
            one.labels, one.image_index = batch.labels, batch.image_index
            losses = model(one)
            supervised = sum(losses[task].item() for task in NYUD if task in losses)
            ratios.append(losses["consistency"].item() / supervised)
        assert ratios[0] == pytest.approx(ratios[1], rel=1e-5), setting


@pytest.mark.parametrize("method", ["mtl_baseline", "xtc"])
def test_without_the_balance_losses_are_plain_sums_over_the_batch(method: str) -> None:
    """XTC's released sums: each labelled image's loss, and the consistency, / B."""
    model = fresh(method).eval()
    batch = batch_of("randomlabels", label_balance="none")
    losses = model(batch)
    predictions = model.decoders(model.trunk(batch.images))[1]
    for task, index in batch.image_index.items():
        enlarged = F.interpolate(predictions[task], size=batch.images.shape[-2:], mode="bilinear", align_corners=False)
        each = [task_loss(task, enlarged[i], batch.labels[task][n]) for n, i in enumerate(index.tolist())]
        assert losses[task].item() == pytest.approx(sum(float(one) for one in each) / 4, rel=1e-5)


def test_the_step_embedding_begins_as_released() -> None:
    """Weights of deviation 0.02; biases as torch draws them, uniform within 1 / sqrt(inputs)."""
    from dmtl.models.diffusion.blocks import StepEmbedding

    torch.manual_seed(0)
    first, _, second = StepEmbedding(64).mlp
    for layer in (first, second):
        assert float(layer.weight.detach().std()) == pytest.approx(0.02, rel=0.1)
        assert 0 < float(layer.bias.detach().abs().max()) <= layer.in_features**-0.5


def test_rescaled_images_are_cut_and_not_rounded() -> None:
    from dmtl.config import ScalePadCrop
    from dmtl.data.transforms import random_rescale_and_crop

    choice = ScalePadCrop(
        kind="scale_pad_crop", scales=(0.7, 0.7), cat_max_ratio=1.0, crop_by_hidden_label=False, flip=False, photometric=False
    )
    image = torch.randint(0, 256, (3, 40, 60), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found, _ = random_rescale_and_crop(image, {}, {}, np.random.default_rng(0), choice, (64, 64))
    exact = F.interpolate(image[None].double(), size=(28, 42), mode="bilinear", align_corners=False)[0]
    assert found.dtype == torch.uint8
    assert ((exact - found.double() > -1e-3) & (exact - found.double() < 1 + 1e-3)).all()


def _network(backbone: str) -> NetworkConfig:
    options = Plain(decoder_blocks=1, single_task_images="labelled")
    return NetworkConfig(method="mtl_baseline", family="plain", backbone=backbone, width=8, outputs=NYUD, options=options)


def test_a_backbone_is_fed_with_the_normalisation_of_its_pretraining() -> None:
    assert with_normalisation(_network("resnet18")).normalisation == IMAGENET
    pytest.importorskip("timm", reason="the extra timm is not installed")
    lite = with_normalisation(_network("tf_efficientnet_lite0")).normalisation
    assert (lite.mean, lite.std) == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


def test_training_evaluation_and_prediction_normalise_alike(tiny: Path) -> None:
    """What model.json keeps is what every image goes through."""
    pytest.importorskip("timm", reason="the extra timm is not installed")
    from dmtl.inference.predictor import Predictor

    grid = yaml.safe_load((tiny / "grid.yaml").read_text())
    cell = "nyud-full-mtl_baseline-tf_efficientnet_lite0"
    grid["cells"][cell] = grid["cells"]["nyud-full-mtl_baseline"] | {"backbone": "tf_efficientnet_lite0"}
    (tiny / "grid.yaml").write_text(yaml.safe_dump(grid))
    project = Project(tiny)
    training = for_training(project, cell)
    loop.train(training, project.paths)
    folder = project.paths.model(cell)
    assert json.loads((folder / "model.json").read_text())["network"]["normalisation"]["mean"] == [0.5, 0.5, 0.5]
    model, shard = load_model(folder), Shard(project.paths.shard("nyud", "val"))
    shown = EvaluationSet(shard, 0, model.config.normalisation)[0].image
    expected = torch.from_numpy(shard.image(0)).permute(2, 0, 1) / 127.5 - 1
    torch.testing.assert_close(shown, expected, rtol=0, atol=1e-5)
    seen: list[torch.Tensor] = []
    predictor = Predictor(folder)
    predict = predictor.model.predict
    predictor.model.predict = lambda images, **more: seen.append(images) or predict(images, **more)  # type: ignore[method-assign, func-returns-value]
    predictor(shard.image(0))
    torch.testing.assert_close(seen[0][0], expected, rtol=0, atol=1e-5)
    train = Shard(project.paths.shard("nyud", "train"))
    data = TrainingSet(train, "full", tuple(train.outputs), 0, training.recipe.augmentation, model.config.normalisation)
    (batch, *_) = TrainingBatches(data, 3, 0, "per_image").epoch(0)
    assert batch.images.abs().max() <= 1
