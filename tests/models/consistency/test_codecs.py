"""The codes of labels and predictions."""

import pytest
import torch
import torch.nn.functional as F
from helpers.networks import PASCAL

from dmtl.models.consistency.codecs import encode_label, encode_prediction, resize_label
from dmtl.tasks import IGNORE, kind_of


@pytest.mark.parametrize("task", PASCAL)
def test_codes_are_bounded_and_alike(task: str) -> None:
    """A perfect prediction and its label have the same code, of the same channels, within [0, 1]."""
    channels = PASCAL[task]
    label = torch.randint(0, max(channels, 2), (4, 1, 8, 8)).float()
    prediction = 1000 * (label if channels == 1 else F.one_hot(label[:, 0].long(), channels).movedim(-1, 1).float())
    if task == "boundary":
        prediction = prediction - 500
    if task == "normals":
        label = F.normalize(torch.randn(4, 3, 8, 8), dim=1)
        prediction = 7 * label
    code = encode_prediction(task, kind_of(task), prediction, torch.arange(4), tau=1.0)
    assert code.shape == (4, channels, 8, 8)
    assert torch.allclose(code, encode_label(kind_of(task), label, channels), atol=1e-5)
    assert code.min() >= 0
    assert code.max() <= 1 + 1e-5


def test_depth_is_divided_by_its_own_largest() -> None:
    depth = torch.tensor([[1.0, 2.0, 4.0], [0.5, 0.25, IGNORE]]).view(2, 1, 1, 3)
    kind = kind_of("depth")
    assert encode_label(kind, depth, 1).flatten().tolist() == [0.25, 0.5, 1.0, 1.0, 0.5, 0.0]
    predicted = encode_prediction("depth", kind, torch.tensor([-1.0, 2.0, -1e-9, 0.0]).view(2, 1, 1, 2), torch.arange(2), 1.0)
    assert predicted.flatten().tolist() == pytest.approx([-0.5, 1.0, -1.0, 0.0], abs=1e-2)
    assert encode_prediction("depth", kind, torch.zeros(1, 1, 2, 2), torch.arange(1), 1.0).isfinite().all()


def test_ignored_pixels_have_an_empty_code() -> None:
    assert not encode_label(kind_of("semseg"), torch.full((1, 1, 2, 2), 255.0), 21).any()
    assert not encode_label(kind_of("boundary"), torch.full((1, 1, 2, 2), 255.0), 1).any()
    assert (encode_label(kind_of("normals"), torch.full((1, 3, 2, 2), 255.0), 3) == 0.5).all()


def test_classes_are_sampled_straight_through() -> None:
    """One-hot forwards; as often as the softmax says; the softmax's gradient backwards; the image's key decides."""
    logits = torch.log(torch.tensor([0.6, 0.3, 0.1])).view(1, 3, 1, 1).expand(1, 3, 100, 100).clone().requires_grad_()
    kind = kind_of("semseg")
    code = encode_prediction("semseg", kind, logits, torch.tensor([1]), tau=1.0)
    assert torch.allclose(code.sum(1), torch.ones(1, 100, 100))
    assert torch.allclose(code.max(1).values, torch.ones(1, 100, 100))
    assert code.mean((0, 2, 3)).tolist() == pytest.approx([0.6, 0.3, 0.1], abs=0.02)
    code[:, 0].sum().backward()
    assert logits.grad is not None
    assert (logits.grad[:, 0] > 0).all()
    assert (logits.grad[:, 1:] < 0).all()
    again = encode_prediction("semseg", kind, logits.detach(), torch.tensor([1]), tau=1.0)
    assert torch.equal(code.detach(), again)
    assert not torch.equal(again, encode_prediction("semseg", kind, logits.detach(), torch.tensor([2]), tau=1.0))


def test_labels_are_resized_without_new_values() -> None:
    label = torch.randint(0, 13, (2, 1, 32, 48)).float()
    small = resize_label(kind_of("semseg"), label, (4, 6))
    assert torch.equal(small, label[:, :, 4::8, 4::8])
    thin = torch.zeros(1, 1, 32, 48)
    thin[..., 9, :] = 1
    thin[..., 20:, :] = IGNORE
    edges = resize_label(kind_of("boundary"), thin, (4, 6))
    assert edges[0, 0, :, 0].tolist() == [0, 1, 0, 0]
