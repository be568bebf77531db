"""Masked losses under partial labels, as pure functions (the paper's A.1; docs/methods.md, "Losses and their weights").

What is lost on one image, a task's kind says (`dmtl/tasks/`); here is how it is looked up and what each labelled pair weighs. A
label is `(N, C, H, W)` float with 255 where a pixel does not count; predictions are logits, or raw values of continuous kinds.
Every loss is computed in float32 whatever the network's precision.
"""

from torch import Tensor

from dmtl.tasks import Kind, kind_of
from dmtl.tasks.shared.pixels import upsample


def task_loss(task: str | Kind, prediction: Tensor, label: Tensor) -> Tensor:
    """Loss of one image.

    Args:
        task: a name that the field knows (`dmtl.tasks.NAMES`), or the kind of any other task.
        prediction: `(C, H, W)` logits or values.
        label: `(1 or C, H, W)`; 255 = ignore.

    Returns:
        Scalar; 0 where no pixel counts.

    Raises:
        UserError: nobody knows a task of that name.
    """
    kind = kind_of(task) if isinstance(task, str) else task
    return per_image_loss(kind, prediction[None], label[None])[0]


def per_image_loss(kind: Kind, prediction: Tensor, label: Tensor) -> Tensor:
    """Loss of each image: `(N, C, H, W)` against `(N, 1 or C, H, W)` -> `(N,)`."""
    return kind.loss(prediction.float(), label.float())


def upsampled_loss(kind: Kind, prediction: Tensor, label: Tensor) -> Tensor:
    """`per_image_loss` of a prediction at any resolution, brought bilinearly to the label's: -> `(N,)`."""
    return per_image_loss(kind, upsample(prediction, label.shape[-2:]), label)


def pair_weights(label_mask: Tensor) -> Tensor:
    """What each labelled (image, task) pair counts: T / |L_i| / B, and 0 where there is no label.

    Args:
        label_mask: `(B, T)`, nonzero where image i carries a label of task t.

    Returns:
        `(B, T)` float32; the weights of an image with any label sum to T / B, however many labels it has.
    """
    present = (label_mask != 0).float()
    return present * label_mask.shape[1] / present.sum(1, keepdim=True).clamp(min=1) / label_mask.shape[0]
