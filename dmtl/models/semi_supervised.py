"""SS: what the network says of one view of an image teaches the other, for the tasks without a label.

https://arxiv.org/abs/2111.14893, where it is a baseline. No training script of it was released: losses and thresholds are those
of unused helpers in its code (models.md 3.4), the rest is our choice.
"""

import torch
from torch import Tensor

from dmtl.config import Network
from dmtl.losses import upsample
from dmtl.models.consistency.losses import self_consistency_loss
from dmtl.models.consistency.network import ConsistencyNetwork, TwoViews


class SemiSupervised(ConsistencyNetwork):
    """The first view's prediction, moved as the image was, is the target of the second view's, at the images' size."""

    def consistency(self, views: TwoViews) -> Tensor | None:
        o, count = self.options.semi_supervised, len(views.batch.images)
        size, losses = views.batch.images.shape[-2:], []
        for task in self.tasks:
            rows = _without(views.batch.rows.get(task), count, views.batch.keys.device)
            if len(rows):
                teacher = views.view.prediction(task, upsample(views.first[task][rows].detach(), size), rows)
                student = upsample(views.second[task][rows], size)
                losses.append(self_consistency_loss(task, teacher, student, o.confidence, o.largest_difference).sum())
        return o.weight * torch.stack(losses).sum() / count if losses else None


def _without(rows: Tensor | None, count: int, device: torch.device) -> Tensor:
    """The images that `rows` does not name."""
    unnamed = torch.ones(count, dtype=torch.bool, device=device)
    if rows is not None:
        unnamed[rows] = False
    return unnamed.nonzero()[:, 0]


def build(network: Network) -> SemiSupervised:
    """The network of SS."""
    return SemiSupervised(network)
