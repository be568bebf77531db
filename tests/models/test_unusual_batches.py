"""Batches that are unlike most, of every method beyond the paper: each has a defined loss, and no gradient that is not finite."""

from dataclasses import replace

import pytest
import torch
from helpers.networks import MASKS, NYUD, batch_of, fresh
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.losses import image_weights
from dmtl.models.shared.method import Method
from dmtl.tasks import IGNORE

METHODS = (
    "jtr",
    "isolation",
    "teacher_control",
    "task_attention",
    "latent_regression",
    "latent_regression_vae",
    "step_intervals",
    "deep_supervision",
    "task_prototype",
    "task_prototype_without_tke",
    "info_mtl",
    "dual_encoder",
)
TWO = {"semseg": 13, "depth": 1}
OF_LABELS = {"latent", "reconstruction"}  # terms that labels alone make, though no task is named after them


def _losses(model: Method, batch: Batch) -> dict[str, Tensor]:
    """Those of one step, after looking at them and at its gradients."""
    found = model.train()(batch)
    losses = {name: loss for name, loss in found.items() if name not in model.figures}
    assert losses
    assert all(value.isfinite() for value in found.values())
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    return losses


def _alone(batch: Batch) -> Batch:
    """The first image with its labels."""
    mask = torch.tensor([[int(0 in batch.image_index.get(task, torch.empty(0)).tolist()) for task in NYUD]])
    kept = [task for task, there in zip(NYUD, mask[0].tolist(), strict=True) if there]
    return Batch(
        ids=batch.ids[:1],
        images=batch.images[:1],
        noise_keys=batch.noise_keys[:1],
        labels={task: batch.labels[task][:1] for task in kept},
        image_index={task: torch.tensor([0]) for task in kept},
        image_weights=image_weights(mask, "per_image"),
    )


@pytest.mark.parametrize("setting", MASKS)
@pytest.mark.parametrize("method", METHODS)
def test_two_tasks(method: str, setting: str) -> None:
    """As a benchmark of two has them, each with a label, some with both."""
    model = fresh(method, outputs=TWO)
    losses = _losses(model, batch_of(setting).only(TWO))
    assert {name.rpartition("/")[2] for name in losses} & {*TWO, *OF_LABELS}
    assert any(p.grad is not None and p.grad.any() for name, p in model.named_parameters() if "trunk." in name)


@pytest.mark.parametrize("method", METHODS)
def test_where_every_label_is_shown_nothing_stands_in_for_one(method: str) -> None:
    model = fresh(method)
    losses = _losses(model, batch_of("full"))
    assert not [name for name in losses if name.startswith("pseudo/")]
    assert set(NYUD) <= set(losses) or set(losses) <= OF_LABELS


@pytest.mark.parametrize("setting", ["onelabel", "full"])
@pytest.mark.parametrize("method", METHODS)
def test_a_batch_of_one_image(method: str, setting: str) -> None:
    losses = _losses(fresh(method), _alone(batch_of(setting)))
    labelled = {"onelabel": {"semseg"}, "full": set(NYUD)}[setting]
    assert {name for name in losses if name in NYUD} == (labelled if set(losses) & set(NYUD) else set())
    for name in ("triplet", "info_max"):  # of another image, which there is not
        assert losses.get(name, torch.zeros(())).item() == 0


@pytest.mark.parametrize("method", METHODS)
def test_an_image_whose_labels_are_all_ignored(method: str) -> None:
    """It adds nothing to the losses of labels, and a batch of nothing else has losses of 0."""
    batch = batch_of("full")
    ignored = replace(batch, labels={task: torch.full_like(label, IGNORE) for task, label in batch.labels.items()})
    losses = _losses(fresh(method), ignored)
    assert all(loss.item() == 0 for name, loss in losses.items() if name in NYUD or name in OF_LABELS)
    assert any(name in NYUD or name in OF_LABELS for name in losses)
    labels = {task: label.clone() for task, label in batch.labels.items()}
    for label in labels.values():
        label[2] = IGNORE
    assert any(
        _losses(fresh(method), replace(batch, labels=labels))[name] > 0 for name in losses if name in NYUD or name in OF_LABELS
    )
