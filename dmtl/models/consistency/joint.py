"""All tasks' maps of an image side by side, once as predicted and once with labels in their place (docs/methods.md, "jtr")."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from dmtl.config import JointTask
from dmtl.data.batch import Batch
from dmtl.models.consistency.codecs import (
    encode_label,
    encode_prediction,
    has_values,
    resize_label,
    resize_prediction,
    resize_valid,
)
from dmtl.models.consistency.network import FurtherView
from dmtl.models.shared.method import Maps
from dmtl.tasks import IGNORE, Kind


@dataclass(frozen=True)
class JointMaps:
    """One view of B images, twice: with the labels where they exist (Y), then as predicted (Y_hat).

    Attributes:
        codes: `(2B, C, h, w)`, the codes of all tasks, one after the other.
        valid: task -> `(2B, 1, h, w)` bool, where its code says something.
    """

    codes: Tensor
    valid: Maps


class JointCodes(nn.Module):
    """How maps of each task are bounded, and how they are put side by side.

    Values, of depth and of any other regression, become the normal distribution function of them, with the mean and the deviation
    of each channel over the visible training labels, which `measure` takes and the network keeps.
    """

    def __init__(self, kinds: Mapping[str, Kind], outputs: Mapping[str, int], options: JointTask) -> None:
        super().__init__()
        self.kinds, self.outputs, self.options = dict(kinds), dict(outputs), options
        self.measured = [task for task, kind in self.kinds.items() if has_values(kind)]
        for task in self.measured:
            self.register_buffer(_buffer(task), torch.tensor([0.0, 1.0]).view(2, 1).repeat(1, self.outputs[task]))
        if options.depth != "visible":
            stated = [task for task in self.measured if self.kinds[task].name == "depth"]
            self.measured = [task for task in self.measured if task not in stated]
            for task in stated:
                self.get_buffer(_buffer(task)).copy_(torch.tensor(options.depth)[:, None])

    def measure(self, labels: Iterable[Mapping[str, Tensor]]) -> None:
        """Mean and deviation of each channel of the labels: task -> `(C, H, W)` of each image, 255 = ignore.

        A task without any label keeps 0 and 1, one whose labels are all the same a deviation of 1.
        """
        if not self.measured:
            return
        sums = {task: torch.zeros(3, self.outputs[task], dtype=torch.float64) for task in self.measured}
        for shown in labels:
            for task in shown.keys() & sums.keys():
                values = shown[task][:, (shown[task] != IGNORE).all(0)].double()
                sums[task] += torch.stack([torch.ones_like(values), values, values**2]).sum(-1)
        for task, (count, total, squares) in sums.items():
            if count.any():
                mean = total / count
                deviation = (squares / count - mean**2).clamp(min=0).sqrt()
                self.get_buffer(_buffer(task)).copy_(torch.stack([mean, deviation.where(deviation > 0, 1.0)]))

    def forward(self, batch: Batch, further: FurtherView, draws: tuple[int, int | None]) -> JointMaps:
        """The maps of a further view.

        Predictions of labelled tasks get no gradient. A prediction counts where every label of its image does, and is the code of
        an ignored label elsewhere; a label counts where it does itself.

        Args:
            draws: of Y and of Y_hat, which sample of the classes stands for a prediction; None: their probabilities.
        """
        full = self.options.resolution == "full"
        size = (batch.images if full else next(iter(further.predictions.values()))).shape[-2:]
        labels = {
            task: further.view.label(self.kinds[task], label, batch.image_index[task]) for task, label in batch.labels.items()
        }
        valid = {task: resize_valid(label, size) for task, label in labels.items()}
        mask = _everywhere(valid, batch, size)
        codes, where = [], {}
        for task, prediction in further.predictions.items():
            resized = resize_prediction(prediction, size)
            given, predicted = (self._masked(task, resized, batch.noise_keys, draw, mask) for draw in draws)
            where[task] = torch.cat([mask, mask])
            if task in labels:
                index = batch.image_index[task]
                given = given.index_copy(0, index, self._label(task, resize_label(self.kinds[task], labels[task], size)))
                labelled = torch.zeros(len(mask), 1, 1, 1, dtype=torch.bool, device=index.device).index_fill(0, index, True)
                predicted = torch.where(labelled, predicted.detach(), predicted)
                where[task] = torch.cat([mask.index_copy(0, index, valid[task]), mask])
            codes.append(torch.cat([given, predicted]))
        return JointMaps(torch.cat(codes, dim=1), where)

    def _masked(self, task: str, prediction: Tensor, noise_keys: Tensor, draw: int | None, mask: Tensor) -> Tensor:
        """The code of a prediction `(B, C, h, w)` where `mask` is, and that of an ignored label elsewhere."""
        kind, bounded = self.kinds[task], partial(self._bounded, task)
        code = encode_prediction(task, kind, prediction, noise_keys, self.options.gumbel_tau, draw, bounded)
        label = prediction.new_full((1, kind.label_channels(self.outputs[task]), 1, 1), IGNORE)
        return torch.where(mask, code, self._label(task, label))

    def _label(self, task: str, label: Tensor) -> Tensor:
        return encode_label(self.kinds[task], label, self.outputs[task], partial(self._bounded, task))

    def _bounded(self, task: str, values: Tensor) -> Tensor:
        mean, deviation = self.get_buffer(_buffer(task)).float()[..., None, None]
        return torch.special.ndtr((values - mean) / deviation)


def _everywhere(valid: Maps, batch: Batch, size: torch.Size) -> Tensor:
    """`(B, 1, h, w)` bool: where every label of an image counts; everywhere in an image without any."""
    mask = torch.ones(len(batch.images), 1, *size, dtype=torch.bool, device=batch.images.device)
    for task, index in batch.image_index.items():
        mask = mask.index_copy(0, index, mask[index] & valid[task])
    return mask


def _buffer(task: str) -> str:
    """The name under which a task's mean and deviation are kept, `(2, C)`."""
    return f"values_of_{task}"
