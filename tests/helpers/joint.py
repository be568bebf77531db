"""JTR's networks on a light backbone, and what a view's maps hold."""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.data.batch import Batch
from dmtl.models import build
from dmtl.models.consistency.network import FurtherView
from dmtl.models.consistency.view import draw_view
from dmtl.models.jtr import JointTaskRegularisation
from dmtl.tasks import IGNORE
from helpers.networks import NYUD, lighten, network
from helpers.project import tiny_params

SIZE, EIGHTH = (32, 64), (4, 8)
CITYSCAPES = {"semseg": 7, "depth": 1}


def fresh(
    outputs: dict[str, int] = NYUD, width: int = 8, kinds: dict[str, dict] | None = None, **jtr: object
) -> JointTaskRegularisation:
    """A tiny network in training mode, on a light backbone, the same every time; `jtr` instead of some of its options."""
    params = tiny_params()
    params["consistency"]["jtr"] |= jtr
    torch.manual_seed(0)
    model = build(network("jtr", outputs, params, width=width, kinds=kinds)).train()
    assert isinstance(model, JointTaskRegularisation)
    lighten(model)
    return model


def leaves(outputs: dict[str, int] = NYUD, count: int = 4) -> dict[str, Tensor]:
    """Predictions of a view at 1/8 of the images."""
    g = torch.Generator().manual_seed(5)
    return {task: torch.randn(count, n, *EIGHTH, generator=g, requires_grad=True) for task, n in outputs.items()}


def seen(batch: Batch, predictions: dict[str, Tensor], zooms: tuple[float, ...] = (1.0, 1.5), flip: bool = False) -> FurtherView:
    view = draw_view(batch.noise_keys, batch.images.shape[-2:], zooms, flip, "second view")
    return FurtherView(view, predictions, torch.zeros(()))


def labelled(batch: Batch, task: str) -> list[bool]:
    return [i in batch.image_index.get(task, torch.empty(0)).tolist() for i in range(len(batch.images))]


def with_ignored(batch: Batch, share: float = 0.3) -> Batch:
    """The same batch, some blocks of 8x8 pixels of each label ignored, of each label others."""
    g = torch.Generator().manual_seed(9)
    labels = {}
    for task, label in batch.labels.items():
        blocks = torch.rand(len(label), 1, *EIGHTH, generator=g) < share
        labels[task] = label.masked_fill(F.interpolate(blocks.float(), scale_factor=8) > 0, IGNORE)
    return replace(batch, labels=labels)
