"""Losses against the authors' own values, a plain loop, and the rules of partial labels."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dmtl.losses import image_weights, per_image_loss, task_loss
from dmtl.tasks import IGNORE, NAMES, kind_of

CHANNELS = {"semseg": 5, "human_parts": 7, "saliency": 2, "normals": 3, "boundary": 1, "depth": 1}
PUBLISHED_NAMES = {"saliency": "sal", "boundary": "edge"}


def _pair(task: str, seed: int = 0, shape: tuple[int, int] = (6, 9)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    prediction = torch.randn(CHANNELS[task], *shape, generator=generator)
    kind = kind_of(task)
    if kind.continuous:
        label = torch.randn(kind.label_channels(CHANNELS[task]), *shape, generator=generator)
    else:
        label = torch.randint(0, max(2, CHANNELS[task]), (1, *shape), generator=generator).float()
    label[:, torch.rand(shape, generator=generator) < 0.2] = IGNORE
    return prediction, label


@pytest.mark.parametrize("task", ["semseg", "human_parts", "saliency", "normals", "boundary"])
def test_the_authors_values(task: str, shared_data: Path) -> None:
    name = PUBLISHED_NAMES.get(task, task)
    arrays = np.load(shared_data / "losses" / "pascal_losses.npz")
    expected = json.loads((shared_data / "losses" / "pascal_losses.json").read_text())[name]
    prediction, label = (torch.from_numpy(arrays[f"{name}_{kind}"]) for kind in ("prediction", "label"))
    assert task_loss(task, prediction, label).item() == pytest.approx(expected, rel=1e-5)


def _plain(task: str, prediction: torch.Tensor, label: torch.Tensor) -> float:
    """The definition, a pixel at a time."""
    pixels = [(y, x) for y in range(label.shape[1]) for x in range(label.shape[2]) if (label[:, y, x] != IGNORE).all()]
    positive = np.mean([label[0, y, x].item() == 1 for y, x in pixels])
    total = 0.0
    for y, x in pixels:
        p, t = prediction[:, y, x].double(), label[:, y, x].double()
        if task == "normals":
            total += (p / p.norm() - t).abs().sum().item()
        elif task == "depth":
            total += (p - t).abs().sum().item()
        elif task == "boundary":
            weight = 0.95 * t if t == 1 else torch.tensor(0.05)
            total += (weight * F.binary_cross_entropy_with_logits(p, t)).item()
        else:
            weight = 1.0 if task != "saliency" else (1 - positive if t == 1 else positive)
            total -= weight * torch.log_softmax(p, 0)[int(t)].item()
    return total / len(pixels)


@pytest.mark.parametrize("task", NAMES)
def test_a_plain_loop_agrees(task: str) -> None:
    prediction, label = _pair(task)
    if task in ("normals", "depth"):
        prediction = F.normalize(prediction, dim=0) if task == "normals" else prediction
    assert task_loss(task, prediction, label).item() == pytest.approx(_plain(task, prediction, label), rel=1e-5)


@pytest.mark.parametrize("task", NAMES)
def test_each_image_has_its_own_loss(task: str) -> None:
    pairs = [_pair(task, seed) for seed in range(3)]
    together = per_image_loss(kind_of(task), torch.stack([p for p, _ in pairs]), torch.stack([t for _, t in pairs]))
    apart = torch.stack([task_loss(task, p, t) for p, t in pairs])
    assert torch.allclose(together, apart, rtol=1e-6)


@pytest.mark.parametrize("task", NAMES)
def test_ignored_pixels_do_not_count(task: str) -> None:
    prediction, label = _pair(task)
    changed = torch.where((label == IGNORE).all(0), prediction + 5, prediction)
    assert task_loss(task, changed, label) == task_loss(task, prediction, label)


@pytest.mark.parametrize("task", NAMES)
def test_an_image_without_a_valid_pixel_costs_nothing(task: str) -> None:
    prediction, label = _pair(task)
    prediction.requires_grad_()
    loss = task_loss(task, prediction, torch.full_like(label, IGNORE))
    loss.backward()
    assert loss.item() == 0
    assert prediction.grad is not None
    assert not prediction.grad.any()


def test_normals_are_normalised_before_they_are_compared() -> None:
    prediction, label = _pair("normals")
    assert task_loss("normals", 7 * prediction, label).item() == pytest.approx(task_loss("normals", prediction, label).item())


@pytest.mark.parametrize("task", NAMES)
def test_bfloat16_predictions_are_scored_in_float32(task: str) -> None:
    prediction, label = _pair(task)
    assert task_loss(task, prediction.bfloat16(), label).dtype == torch.float32


def test_image_weights_count_every_image_the_same_or_every_label() -> None:
    """T / |L_i| / B, so that the losses of an image with any label weigh T / B in all; or XTC's plain sum / B."""
    mask = torch.tensor([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
    assert torch.equal(image_weights(mask, "per_image"), torch.tensor([3, 1.5, 1, 3]) / 4)
    assert torch.equal(image_weights(mask, "none"), torch.ones(4) / 4)
