"""JTR: which gradients its terms have, and batches that are unlike most."""

import copy

import pytest
import torch
from helpers.joint import CITYSCAPES, SIZE, fresh, labelled, leaves, seen, with_ignored
from helpers.networks import MASKS, NYUD, PASCAL, batch_of
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.models.consistency.view import draw_view
from dmtl.models.jtr import JOINT, JointTaskRegularisation
from dmtl.tasks import IGNORE, kind_of

# Which gradients the terms have


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels"])
def test_the_first_distance_teaches_unlabelled_predictions_alone(setting: str) -> None:
    model, batch, predictions = fresh(), batch_of(setting), leaves()
    model.distance(model.codes(batch, seen(batch, predictions), (1, 0))).sum().backward()
    for task, prediction in predictions.items():
        assert prediction.grad is not None
        assert [bool(g.any()) for g in prediction.grad] == [not there for there in labelled(batch, task)], task
    assert [name for name, p in model.auto_encoder.named_parameters() if p.grad is not None] == []


def test_the_second_distance_and_the_reconstruction_teach_the_auto_encoder_alone() -> None:
    model, batch, predictions = fresh(), batch_of("randomlabels"), leaves()
    distance, lost = model.auto_encoder_losses(model.codes(batch, seen(batch, predictions), (3, None)))
    (distance + lost).sum().backward()
    assert all(prediction.grad is None for prediction in predictions.values())
    assert [name for name, p in model.auto_encoder.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_fully_labelled_images_train_the_network_as_the_supervised_loss_does() -> None:
    """Of the same forward pass of three views, bit for bit."""
    gradients = []
    for terms in (set(NYUD), {*NYUD, JOINT}):
        model = fresh()
        losses = model(with_ignored(batch_of("full")))
        torch.stack([losses[name] for name in sorted(terms)]).sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if n.startswith(("trunk", "decoders"))})
    assert all(torch.equal(gradients[0][name], gradients[1][name]) for name in gradients[0])


def test_statistics_of_batch_norm_move_with_the_training_of_the_auto_encoder_alone() -> None:
    model, batch = fresh(), batch_of("onelabel")
    joint = model.codes(batch, seen(batch, leaves()), (1, 0))
    before = copy.deepcopy(dict(model.auto_encoder.named_buffers()))
    code = model.auto_encoder.frozen_code(joint.codes)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.auto_encoder.named_buffers())
    trained, _ = model.auto_encoder(joint.codes)
    assert torch.equal(code, trained)  # in training both normalise by the maps they see
    moved = [not torch.equal(b, before[name]) for name, b in model.auto_encoder.named_buffers()]
    assert all(moved)
    assert len(moved) == 3 * 26


@pytest.mark.parametrize("outputs", [CITYSCAPES, PASCAL])
def test_the_number_of_passes_depends_on_neither_tasks_nor_images(outputs: dict[str, int]) -> None:
    model, passes = fresh(outputs), {"encoder": 0, "decoder": 0, "trunk": 0}
    for name, module in (*model.auto_encoder.named_children(), ("trunk", model.trunk.backbone.conv1)):
        module.register_forward_hook(lambda *_, name=name: passes.update({name: passes[name] + 1}))
    model(batch_of("onelabel").only(("depth",) if outputs is CITYSCAPES else ("semseg", "normals")))
    assert passes == {"encoder": 2, "decoder": 1, "trunk": 1}


def test_it_is_no_part_of_the_predictions() -> None:
    model, images = fresh().eval(), torch.randn(2, 3, *SIZE)
    expected = model.predict(images)["final"]
    for parameter in (*model.auto_encoder.parameters(), *model.codes.buffers()):
        parameter.data.fill_(float("nan"))
    assert all(torch.equal(maps, expected[task]) for task, maps in model.predict(images)["final"].items())


def test_the_term_is_the_weighted_mean_over_images() -> None:
    """4 (d1 + 2 d2) + 2 R, without the weights that images have by their labels."""
    model, batch = fresh(), batch_of("randomlabels")
    views = model.views(batch)
    teaching, training = views.further
    d1 = model.distance(model.codes(batch, teaching, (1, 0)))
    d2, lost = model.auto_encoder_losses(model.codes(batch, training, (3, None)))
    assert d1.shape == d2.shape == lost.shape == (4,)
    expected = sum(4 * (d1[i] + 2 * d2[i]) + 2 * lost[i] for i in range(4)) / 4
    assert model.consistency(views).item() == pytest.approx(expected.item(), rel=1e-5)
    model.jtr = model.jtr.model_copy(update={"encoder_distance": 0.0, "reconstruction": 0.0})
    assert model.consistency(views).item() == pytest.approx(4 * d1.mean().item(), rel=1e-5)
    first, second = (draw_view(batch.noise_keys, SIZE, (1.0, 1.2, 1.5), False, f"{name} view") for name in ("second", "third"))
    assert torch.equal(teaching.view.grid, first.grid)
    assert torch.equal(training.view.grid, second.grid)
    assert not torch.equal(first.grid, second.grid)


# Batches that are unlike most


def one_step(model: JointTaskRegularisation, batch: Batch) -> dict[str, Tensor]:
    losses = model(batch)
    torch.stack(list(losses.values())).sum().backward()
    assert all(loss.isfinite() for loss in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    return losses


@pytest.mark.parametrize("setting", MASKS)
def test_two_tasks(setting: str) -> None:
    assert one_step(fresh(CITYSCAPES), batch_of(setting).only(("depth",)))[JOINT] > 0


@pytest.mark.parametrize("resolution", ["eighth", "full"])
def test_an_image_by_itself(resolution: str) -> None:
    batch = batch_of("full", size=(32, 32))
    labels = {"semseg": batch.labels["semseg"][:1]}
    alone = Batch(
        ("a",),
        batch.images[:1],
        batch.noise_keys[:1],
        labels,
        {"semseg": torch.tensor([0])},
        image_weights(torch.tensor([[1, 0, 0]]), "per_image"),
    )
    assert one_step(fresh(resolution=resolution), alone)[JOINT] > 0


def test_an_image_whose_labels_are_all_ignored() -> None:
    """Its maps are those of ignored labels on both sides, so it has no distance and loses nothing."""
    model, batch = fresh(), batch_of("full")
    for label in batch.labels.values():
        label[2] = IGNORE
    joint = model.codes(batch, seen(batch, leaves()), (1, 0))
    assert not any(valid[[2, 6]].any() for valid in joint.valid.values())
    assert torch.equal(joint.codes[2], joint.codes[6])
    distance, lost = model.auto_encoder_losses(joint)
    assert distance[2].item() == pytest.approx(0, abs=1e-6)
    assert lost[2].item() == 0
    assert lost[1].item() > 0
    one_step(model, batch)


def test_an_image_without_any_label() -> None:
    """Everything of it is predicted; only the two draws of its classes differ."""
    model, batch = fresh(), batch_of("onelabel")
    none = batch.only(("semseg", "depth"))  # of the third image there is none
    joint = model.codes(none, seen(none, leaves()), (1, 0))
    assert torch.equal(joint.codes[2, 13:], joint.codes[6, 13:])
    assert not torch.equal(joint.codes[2, :13], joint.codes[6, :13])
    assert joint.valid["depth"][[2, 6]].all()
    one_step(model, none)


def test_named_tasks_without_labels_change_nothing() -> None:
    """As several processes name them (`Batch.naming`)."""
    batch = batch_of("onelabel").only(("semseg",))
    channels = {task: kind_of(task).label_channels(n) for task, n in NYUD.items()}
    with torch.no_grad():
        plain, named = fresh()(batch), fresh()(batch.naming(channels))
    assert torch.equal(plain[JOINT], named[JOINT])


def test_half_precision() -> None:
    model = fresh()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model(batch_of("randomlabels"))
    assert losses[JOINT].dtype == torch.float32
    assert losses[JOINT].isfinite()
