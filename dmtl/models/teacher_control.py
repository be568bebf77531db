"""Teacher control: plain self-training with the budget of two baselines, beside which semi-supervised rows are to be read.

The losses are those by which HiTTs teaches, https://arxiv.org/abs/2411.18823, without its tokens (docs/methods.md,
"teacher_control").
"""

from collections.abc import Iterable
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.config import NetworkConfig, Plain
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.models.plain.network import PlainNetwork
from dmtl.models.shared.method import Maps
from dmtl.models.shared.two_stage import TwoStage
from dmtl.tasks import IGNORE, Kind
from dmtl.tasks.boundary import Boundary
from dmtl.tasks.normals import Normals


class TeacherControl(TwoStage, PlainNetwork):
    """A fresh baseline that learns from labels and, where there are none, from a trained one's sure pixels; and its features."""

    stages = ("teacher", "student")
    training_only = ("first",)

    first: PlainNetwork

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.first = PlainNetwork(network)
        options = network.options_as(Plain).teacher_control
        if options is None:
            raise UserError("params.yaml: plain.teacher_control is missing, the options of this method")
        self.options = options
        self.figures = tuple(f"kept/{task}" for task in network.outputs)
        self.deviations = dict.fromkeys(network.outputs, 1.0)

    def prepare(self, labels: Iterable[dict[str, Tensor]]) -> None:
        """Each continuous task's deviation over all allowed training labels, against which a difference is small or large."""
        self.deviations |= deviations({task for task, kind in self.kinds.items() if kind.continuous}, labels)

    def forward(self, batch: Batch) -> Maps:
        features, predictions = self.decoders(self.trunk(batch.images))
        losses = self.supervised(predictions, batch)
        taught_features, taught, sure = self._teach(batch.images)
        weights = batch.image_weights
        apart = []
        for task, kind in self.kinds.items():
            absent = _absent(batch.image_index.get(task), weights)
            trust = torch.where(absent[:, None, None] > 0, sure[task], 1.0)
            difference = (features[task].float() - taught_features[task].float()).square().mean(1)
            apart.append((weights * _mean(trust * difference)).sum())
            if len(batch.image_index.get(task, ())) == len(weights):
                continue
            threshold = self.options.thresholds.get(task, self.options.threshold)
            each = pseudo_loss(kind, predictions[task], taught[task], sure[task], threshold)
            factor = self.options.boundary_weight if isinstance(kind, Boundary) else 1.0
            losses[f"pseudo/{task}"] = factor * (weights * absent * each).sum()
            losses[f"kept/{task}"] = (absent * _mean((sure[task] > threshold).float())).sum() / absent.sum()
        return {**losses, "feature": self.options.feature_weight * torch.stack(apart).sum()}

    @torch.no_grad()
    def _teach(self, images: Tensor) -> tuple[Maps, Maps, Maps]:
        """The teacher's features, its predictions, and how sure it is of each pixel: task -> `(B, h, w)`, in [0, 1]."""
        features, predictions = self.first.decoders(self.first.trunk(images))
        _, mirrored = self.first.decoders(self.first.trunk(images.flip(-1)))
        sure = {
            task: confidence(kind, predictions[task], kind.mirrored(mirrored[task]), self.deviations[task])
            for task, kind in self.kinds.items()
        }
        return features, predictions, sure


def confidence(kind: Kind, prediction: Tensor, mirrored: Tensor, deviation: float) -> Tensor:
    """How sure a prediction is of each pixel, `(N, C, h, w)` logits or values -> `(N, h, w)` in [0, 1].

    The larger of the two probabilities of a boundary, the largest of classes. Values have none: exp(-|difference| / deviation)
    of what is said of the image and of its mirror image, a mean over channels.

    Args:
        mirrored: the prediction of the mirrored image, mirrored back.
        deviation: of the task's labels.
    """
    if kind.continuous:
        difference = (_values(kind, prediction) - _values(kind, mirrored)).abs().mean(1)
        return torch.exp(-difference / deviation)
    if isinstance(kind, Boundary):
        probability = torch.sigmoid(prediction.float())[:, 0]
        return torch.maximum(probability, 1 - probability)
    return torch.softmax(prediction.float(), dim=1).amax(1)


def pseudo_loss(kind: Kind, student: Tensor, teacher: Tensor, confidence: Tensor, threshold: float) -> Tensor:
    """Loss of each image against what the teacher says where it is surer than `threshold`: -> `(N,)`.

    A mean over all pixels, so that those which are dropped count as 0. Cross-entropy to the teacher's class, or to whether it
    sees a boundary; of values the absolute difference times the confidence, a mean over channels.

    Args:
        student, teacher: `(N, C, h, w)` logits or values; no gradient reaches the teacher's.
        confidence: `(N, h, w)`.
    """
    student, teacher, kept = student.float(), teacher.detach().float(), confidence.detach() > threshold
    if kind.continuous:
        each = confidence.detach() * (_values(kind, student) - _values(kind, teacher)).abs().mean(1)
    elif isinstance(kind, Boundary):
        each = F.binary_cross_entropy_with_logits(student[:, 0], (teacher[:, 0] > 0).float(), reduction="none")
    else:
        each = F.cross_entropy(student, teacher.argmax(1), reduction="none")
    return _mean(torch.where(kept, each, 0.0))


def deviations(tasks: set[str], labels: Iterable[dict[str, Tensor]]) -> dict[str, float]:
    """Task -> the standard deviation of its values over all pixels that count, a mean over channels of the variance.

    Args:
        tasks: which are of interest; one that no label tells apart is left out.
        labels: of each image, task -> `(C, H, W)` with 255 = ignore.
    """
    moments: Maps = {}  # task -> (3, C): how many values, their sum, the sum of their squares
    for image in labels:
        for task in tasks & image.keys():
            values = image[task].double().flatten(1)
            values = values[:, (values != IGNORE).all(0)]
            added = torch.stack([torch.ones_like(values), values, values.square()]).sum(2)
            moments[task] = moments[task] + added if task in moments else added
    variances = {task: float((squares / n - (total / n).square()).mean()) for task, (n, total, squares) in moments.items()}
    return {task: sqrt(variance) for task, variance in variances.items() if variance > 0}


def _values(kind: Kind, prediction: Tensor) -> Tensor:
    return F.normalize(prediction.float(), dim=1) if isinstance(kind, Normals) else prediction.float()


def _absent(labelled: Tensor | None, weights: Tensor) -> Tensor:
    """`(B,)`, 1 where an image is not among the `labelled`; without waiting for the device, as a list of indices would."""
    absent = torch.ones_like(weights)
    return absent if labelled is None else absent.index_fill(0, labelled, 0.0)


def _mean(values: Tensor) -> Tensor:
    """`(N, h, w)` -> `(N,)`."""
    return values.flatten(1).mean(1)


def build(network: NetworkConfig) -> TeacherControl:
    """Teacher and student."""
    return TeacherControl(network)
