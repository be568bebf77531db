"""A further view of each image, made from the batch on its device (docs/methods.md, "xtc").

The view is MTAN's scale crop of the first one, drawn from the image's key, with or without a mirror. One grid moves image,
labels and predictions, so that they stay aligned; all images are moved at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dmtl.models.shared.random import uniform
from dmtl.tasks import IGNORE, Kind


@dataclass(frozen=True)
class View:
    """Where each pixel of a further view lies in the first.

    Attributes:
        grid: `(B, H, W, 2)`, (x, y) in [-1, 1], corners aligned.
        zoom: `(B,)`, how much nearer the camera seems.
        mirrored: `(B,)` bool.
    """

    grid: Tensor
    zoom: Tensor
    mirrored: Tensor

    def image(self, images: Tensor) -> Tensor:
        """`(B, 3, H, W)` -> the same of the further view, bilinear."""
        return _sample(images, self.grid, "bilinear")

    def label(self, kind: Kind, label: Tensor, index: Tensor) -> Tensor:
        """Labels of the further view.

        A pixel counts if the one it is nearest to does. Normals are interpolated and not made unit vectors again, everything
        else keeps the nearest value; depth is divided by the zoom.

        Args:
            label: `(n, C, H, W)`, 255 = ignore.
            index: `(n,)` int64, the image of each label.
        """
        grid = self.grid[index]
        if not kind.continuous:
            return _sample(label, grid, "nearest")
        ignored = (label == IGNORE).any(1, keepdim=True)
        known = label.masked_fill(ignored, 0)
        moved = self._in_view(kind, _sample(known, grid, kind.interpolation), index)
        return moved.masked_fill(_sample(ignored.float(), grid, "nearest") > 0, IGNORE)

    def prediction(self, kind: Kind, prediction: Tensor, index: Tensor) -> Tensor:
        """What a prediction of the first view says of the further one: `(n, C, H, W)` -> the same, bilinear."""
        return self._in_view(kind, _sample(prediction, self.grid[index], "bilinear"), index)

    def _in_view(self, kind: Kind, values: Tensor, index: Tensor) -> Tensor:
        return kind.seen_in_view(values, self.zoom[index], self.mirrored[index])


def draw_view(noise_keys: Tensor, size: Sequence[int], zooms: Sequence[float], flip: bool, name: str = "second view") -> View:
    """Cut out 1/s of each side at a random place, s one of `zooms`, and, if `flip`, mirror every second image.

    Args:
        noise_keys: `(B,)` int64, what each image's view is drawn from.
        size: (H, W) of the images.
        name: of the draw; views of other names are drawn by themselves.
    """
    device = noise_keys.device
    draws = uniform(noise_keys, name, 0, (4,))
    choice = (draws[:, 0] * len(zooms)).long()
    parts = _constant([[int(side / zoom) for side in size] for zoom in zooms], device)[choice]  # (B, 2)
    sides = _constant(list(size), device)
    offset = (draws[:, 1:3] * (sides - parts + 1)).long()
    mirrored = (draws[:, 3] < 0.5) & flip
    scale = (parts - 1) / (sides - 1)
    centre = (2 * offset + parts - 1) / (sides - 1) - 1
    scale[:, 1] = torch.where(mirrored, -scale[:, 1], scale[:, 1])
    y, x = (  # by hand: F.affine_grid multiplies matrices, which autocast would do in half precision
        scale[:, k, None] * torch.linspace(-1, 1, side, device=device) + centre[:, k, None] for k, side in enumerate(size)
    )
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
    return View(grid, _constant([float(zoom) for zoom in zooms], device).float()[choice], mirrored)


def _constant(values: list, device: torch.device) -> Tensor:
    """A small tensor on the device, which nobody waits for: made there, it would be copied with waiting."""
    return torch.tensor(values).to(device, non_blocking=True)


def _sample(maps: Tensor, grid: Tensor, mode: str) -> Tensor:
    return F.grid_sample(maps.float(), grid, mode=mode, padding_mode="border", align_corners=True)
