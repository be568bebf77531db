"""Masked losses under partial labels, as pure functions (the paper's A.1; docs/methods.md, "Losses and their weights").

What is lost on one image, a task's kind says (`dmtl/tasks/`); here is how it is looked up and what each labelled pair weighs. A
label is `(N, C, H, W)` float with 255 where a pixel does not count; predictions are logits, or raw values of continuous kinds.
Every loss is computed in float32 whatever the network's precision.
"""

import torch
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


def image_weights(label_mask: Tensor, label_balance: str) -> Tensor:
    """What each image's losses count: T / |L_i| / B, or 1 / B.

    T / |L_i| is the released Feature Diffusion's, so that all images count alike however many labels they have; XTC's released
    code has no such factor (docs/methods.md, "Losses and their weights"). An image without any label counts like one with one.

    Args:
        label_mask: `(B, T)`, nonzero where image i carries a label of task t.
        label_balance: `per_image` or `none`.

    Returns:
        `(B,)` float32.
    """
    images, tasks = label_mask.shape
    labels = (label_mask != 0).float().sum(1).clamp(min=1)
    return (tasks / labels if label_balance == "per_image" else torch.ones_like(labels)) / images
