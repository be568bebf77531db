"""Augmentation of an image together with its labels, one function a step (datasets-and-metrics 1.2).

Images are `(3, H, W)` float in [0, 255]; labels `(C, H, W)` float, classes with 255 = ignore, depth and normals with 0 = invalid
until `hide_invalid` makes that 255 too.
"""

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.config import Augmentation, ScaleCrop
from dmtl.errors import UserError
from dmtl.tasks import IGNORE

Labels = dict[str, Tensor]

MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)  # ImageNet's, of images in [0, 1]
STD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def augment(image: Tensor, labels: Labels, rng: np.random.Generator, choice: Augmentation) -> tuple[Tensor, Labels]:
    """Augment as `choice` says; for `scale_crop` one of its zooms at random, then every second image is mirrored if it flips."""
    if not isinstance(choice, ScaleCrop):
        raise UserError("augmentation 'scale_pad_crop' is for PASCAL, which is not built yet")
    image, labels = random_scale_crop(image, labels, rng, choice.zooms)
    if choice.flip and rng.random() < 0.5:
        image, labels = horizontal_flip(image, labels)
    return image, labels


def random_scale_crop(image: Tensor, labels: Labels, rng: np.random.Generator, zooms: Sequence[float]) -> tuple[Tensor, Labels]:
    """Cut out 1/s of each side at a random place, s one of `zooms` (MTAN: 1, 1.2, 1.5), and zoom it to full size.

    Depth is divided by s, as if the camera had come nearer; normals are interpolated and not made unit vectors again.
    """
    scale = zooms[int(rng.integers(len(zooms)))]
    full = image.shape[-2:]
    height, width = (int(side / scale) for side in full)
    top, left = (int(rng.integers(0, side - part + 1)) for side, part in zip(full, (height, width), strict=True))

    def crop(x: Tensor) -> Tensor:
        return x[..., top : top + height, left : left + width]

    def zoom(task: str, label: Tensor) -> Tensor:
        if task == "normals":
            return _resize(crop(label), full, "bilinear")
        zoomed = _resize(crop(label), full, "nearest")
        return zoomed / scale if task == "depth" else zoomed

    return _resize(crop(image), full, "bilinear"), {task: zoom(task, label) for task, label in labels.items()}


def horizontal_flip(image: Tensor, labels: Labels) -> tuple[Tensor, Labels]:
    """Mirror left and right; the x component of normals changes its sign."""
    flipped = {task: label.flip(-1) for task, label in labels.items()}
    if "normals" in flipped:
        flipped["normals"] = flipped["normals"] * torch.tensor([-1.0, 1.0, 1.0]).view(3, 1, 1)
    return image.flip(-1), flipped


def centred(canvas: Sequence[int], content: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns that content (height, width) fills in the middle of a canvas (height, width)."""
    top, left = ((whole - part) // 2 for whole, part in zip(canvas, content, strict=True))
    return slice(top, top + content[0]), slice(left, left + content[1])


def hide_invalid(labels: Labels) -> Labels:
    """Depth 0 and zero normals become 255 = ignore."""
    hidden = dict(labels)
    for task in {"depth", "normals"} & hidden.keys():
        invalid = (hidden[task] == 0).all(0, keepdim=True)
        hidden[task] = hidden[task].masked_fill(invalid, IGNORE)
    return hidden


def normalise(image: Tensor) -> Tensor:
    """[0, 255] -> zero mean and unit variance over ImageNet."""
    return (image / 255 - MEAN) / STD


def _resize(x: Tensor, size: torch.Size, mode: str) -> Tensor:
    if x.shape[-2:] == size:
        return x
    corners = True if mode == "bilinear" else None
    return F.interpolate(x[None], size=tuple(size), mode=mode, align_corners=corners)[0]
