"""What consistency costs, per pair or per image, as pure functions (docs/methods.md, "semi_supervised", "xtc" and "jtr")."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.tasks import Kind
from dmtl.tasks.shared.pixels import pixel_mean


def cross_task_loss(source: Tensor, target: Tensor, feature: Tensor) -> Tensor:
    """XTC's loss of each pair: `(P, C, h, w)` three times -> `(P,)`.

    Args:
        source: the source's prediction in the joint space.
        target: the target's label there.
        feature: the encoder's feature of the image; it holds both away from the trivial solution and gets no gradient.
    """
    feature = feature.detach()
    between = one_minus_cosine(source, target)
    return between + 0.5 * one_minus_cosine(source, feature) + 0.5 * one_minus_cosine(target, feature)


def self_consistency_loss(kind: Kind, teacher: Tensor, student: Tensor, confidence: float, largest_difference: float) -> Tensor:
    """SS's loss of each image: `(N, C, H, W)` logits or values of two views, brought to the same one -> `(N,)`.

    Classes: cross-entropy with the teacher's class, where its probability exceeds `confidence`; the mean over those pixels.
    Boundary: the same with the teacher's probability. Depth: |d - d'|, normals: 1 - n n' a component, each where it is below
    `largest_difference`; the mean over all pixels. The teacher gets no gradient. Kinds that XTC has not are our choice.
    """
    teacher, student = teacher.detach().float(), student.float()
    if kind.name == "normals":
        return _small(1 - F.normalize(teacher, dim=1) * F.normalize(student, dim=1), largest_difference)
    if kind.continuous:
        return _small(teacher.sub(student).abs(), largest_difference)
    if kind.name == "boundary":
        probability = torch.sigmoid(teacher)[:, 0]
        values = F.binary_cross_entropy_with_logits(student[:, 0], probability, reduction="none")
        return _confident(values, torch.maximum(probability, 1 - probability) > confidence)
    probability, label = torch.softmax(teacher, dim=1).max(dim=1)
    return _confident(F.cross_entropy(student, label, reduction="none"), probability > confidence)


def reconstruction_loss(kind: Kind, output: Tensor, code: Tensor, valid: Tensor) -> Tensor:
    """What JTR's auto-encoder loses of a task's code: `(N, C, h, w)` twice and `(N, 1, h, w)` bool -> `(N,)`.

    Classes and boundaries: binary cross-entropy with the code, summed over classes; normals: 1 - the cosine; other values:
    absolute differences of the sigmoid, summed over channels. The mean over the valid pixels of an image; 0 where there
    is none.
    """
    output, code = output.float(), code.float()
    if kind.name == "normals":
        values = 1 - F.cosine_similarity(output, 2 * code - 1, dim=1, eps=1e-12)
    elif kind.continuous:
        values = (torch.sigmoid(output) - code).abs().sum(1)
    else:
        values = F.binary_cross_entropy_with_logits(output, code, reduction="none").sum(1)
    return pixel_mean(values, valid[:, 0])


def one_minus_cosine(a: Tensor, b: Tensor) -> Tensor:
    """Mean over positions of 1 - the cosine over channels."""
    return (1 - F.cosine_similarity(a.float(), b.float(), dim=1, eps=1e-12)).flatten(1).mean(1)


def _small(difference: Tensor, largest: float) -> Tensor:
    return torch.where(difference < largest, difference, 0.0).flatten(1).mean(1)


def _confident(values: Tensor, sure: Tensor) -> Tensor:
    return (values * sure).flatten(1).sum(1) / sure.flatten(1).sum(1).clamp(min=1)
