"""Every label as an image of three channels in [-1, 1], and back (docs/methods.md, "latent_regression")."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dmtl.errors import UserError
from dmtl.tasks import IGNORE, Kind
from dmtl.tasks.binary import Binary
from dmtl.tasks.boundary import Boundary
from dmtl.tasks.classes import Classes
from dmtl.tasks.normals import Normals
from dmtl.tasks.shared.values import Values


class LabelImages(nn.Module):
    """How the labels of each task become images: classes by colours, normals as they are, values on a scale.

    Args:
        kinds: task -> its kind.
        outputs: task -> channels of its prediction.
        sharpness: what the squared distance from a class's colour is multiplied by for its logit.

    Raises:
        UserError: a task has no such image.
    """

    spans: Tensor

    def __init__(self, kinds: dict[str, Kind], outputs: dict[str, int], sharpness: float) -> None:
        super().__init__()
        self.kinds, self.tasks, self.sharpness = kinds, tuple(kinds), sharpness
        self.register_buffer("spans", torch.tensor([[0.0, 1.0]] * len(kinds)))  # values that become -1 and 1, a row a task
        for number, (task, kind) in enumerate(kinds.items()):
            if not isinstance(kind, Classes | Binary | Boundary | Normals | Values) or _channels(kind, outputs[task]) > 3:
                raise UserError(f"a label of task '{task}' (kind '{kind.name}') is no image of three channels: leave it out")
            colours = class_colours(outputs[task]) if isinstance(kind, Classes) else class_colours(2)
            self.register_buffer(f"colours{number}", colours, persistent=False)

    def learn_spans(self, labels: Iterable[dict[str, Tensor]]) -> None:
        """Take each task's scale from all training labels, task -> `(C, H, W)`: from 0, or the least below, to the largest."""
        seen: dict[str, tuple[float, float]] = {}
        for of_image in labels:
            for task, label in of_image.items():
                if isinstance(self.kinds[task], Values) and len(known := label[label != IGNORE]):
                    low, high = seen.get(task, (0.0, 0.0))
                    seen[task] = min(low, known.min().item()), max(high, known.max().item())
        for task, (low, high) in seen.items():
            self.spans[self.tasks.index(task)] = torch.tensor([low, high if high > low else low + 1])

    def image(self, task: str, label: Tensor) -> tuple[Tensor, Tensor]:
        """A label `(n, 1 or C, H, W)` with 255 = ignore -> image `(n, 3, H, W)` float32, and what of it is valid, `(n, H, W)`.

        An ignored pixel is 0 in all channels.
        """
        kind, label = self.kinds[task], label.float()
        valid = (label != IGNORE).all(1)
        known = label.masked_fill(~valid[:, None], 0)
        if isinstance(kind, Normals):
            image = known
        elif isinstance(kind, Values):
            low, high = self._span(task)
            image = _as_three((2 * (known - low) / (high - low) - 1).clamp(-1, 1))
        else:
            image = self._colours(task)[known[:, 0].long()].permute(0, 3, 1, 2)
        return image.masked_fill(~valid[:, None], 0), valid

    def prediction(self, task: str, image: Tensor, channels: int) -> Tensor:
        """An image `(n, 3, H, W)` -> what the task's kind scores, `(n, channels, H, W)`: logits, vectors or values.

        The logit of a class is -sharpness times the squared distance from its colour, but for what all classes have in common.
        """
        kind, image = self.kinds[task], image.float()
        if isinstance(kind, Normals):
            return F.normalize(image, dim=1)
        if isinstance(kind, Values):
            low, high = self._span(task)
            return (_from_three(image, channels) + 1) / 2 * (high - low) + low
        colours = self._colours(task)
        nearness = 2 * torch.einsum("nchw,kc->nkhw", image, colours) - colours.square().sum(1)[:, None, None]
        logits = self.sharpness * nearness
        return logits[:, 1:] - logits[:, :1] if isinstance(kind, Boundary) else logits

    def _colours(self, task: str) -> Tensor:
        return self.get_buffer(f"colours{self.tasks.index(task)}")

    def _span(self, task: str) -> Tensor:
        return self.spans[self.tasks.index(task)]


def class_colours(count: int) -> Tensor:
    """A colour of each class in [-1, 1], `(count, 3)`: points of the coarsest grid in the cube that has enough, evenly taken."""
    side = next(n for n in range(2, 256) if n**3 >= count)
    chosen = torch.linspace(0, side**3 - 1, count).round().long()
    steps = torch.stack([chosen // side**2, chosen // side % side, chosen % side], dim=1)
    return 2 * steps.float() / (side - 1) - 1


def _channels(kind: Kind, outputs: int) -> int:
    """Those of a label that must find place in an image."""
    return outputs if isinstance(kind, Normals | Values) else 1


def _as_three(values: Tensor) -> Tensor:
    """`(n, 1 to 3, H, W)` -> `(n, 3, H, W)`: one channel three times, two as (u, v, u)."""
    return values[:, [0, 1 % values.shape[1], 2 % values.shape[1]]]


def _from_three(image: Tensor, channels: int) -> Tensor:
    """The way back, the mean of equal channels."""
    if channels == 1:
        return image.mean(1, keepdim=True)
    return image if channels == 3 else torch.stack([image[:, [0, 2]].mean(1), image[:, 1]], dim=1)
