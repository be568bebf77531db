"""SS: what the network says of one view of an image teaches the other, for the tasks without a label.

https://arxiv.org/abs/2111.14893, where it is a baseline. No training script of it was released: losses and thresholds are those
of unused helpers in its code (docs/methods.md, "semi_supervised"), the rest is our choice.
"""

import torch
from torch import Tensor

from dmtl.config import NetworkConfig
from dmtl.models.consistency.losses import self_consistency_loss
from dmtl.models.consistency.network import ConsistencyNetwork, Views
from dmtl.tasks.shared.pixels import upsample


class SemiSupervised(ConsistencyNetwork):
    """The first view's prediction, moved as the image was, is the target of the second view's, at the images' size."""

    def consistency(self, views: Views) -> Tensor | None:
        o, count = self.options.semi_supervised, len(views.batch.images)
        size, losses, second = views.batch.images.shape[-2:], [], views.further[0]
        for task in self.tasks:
            kind, unlabelled = self.kinds[task], _without(views.batch.host_index.get(task), count)
            index = unlabelled.to(views.batch.images.device, non_blocking=True)
            if len(index):
                teacher = second.view.prediction(kind, upsample(views.first[task][index].detach(), size), index)
                student = upsample(second.predictions[task][index], size)
                each = self_consistency_loss(kind, teacher, student, o.confidence, o.largest_difference)
                losses.append((views.batch.image_weights[index] * each).sum())
        return o.weight * torch.stack(losses).sum() if losses else None


def _without(labelled: Tensor | None, count: int) -> Tensor:
    """The images that are not `labelled`, on the CPU: nobody waits for a device to say how many there are."""
    unnamed = torch.ones(count, dtype=torch.bool)
    if labelled is not None:
        unnamed[labelled] = False
    return unnamed.nonzero()[:, 0]


def build(network: NetworkConfig) -> SemiSupervised:
    """The network of SS."""
    return SemiSupervised(network)
