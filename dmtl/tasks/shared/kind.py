"""What a kind of dense task must say about itself.

A kind is one file of `dmtl/tasks/` that has its name and offers a class of the same name. The methods take arrays and tensors as
they come and import torch only where they compute with it, so that whoever reads results need not load it.
"""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.metric import Metric
    from dmtl.pictures.colours import Legend
    from dmtl.tasks.shared.task import Task

Span = tuple[float, float]  # the smallest and the largest value that a byte can tell

IGNORE = 255  # in every label that a network is trained or scored on: this pixel does not count


class Kind(ABC):
    """How the labels of a task are stored, moved by augmentation, learned, decoded, scored and shown.

    Arrays of labels and maps are `(H, W)` or `(H, W, C)`, tensors `(C, H, W)`. Labels of continuous kinds hold `fill` in every
    channel where they are invalid, until `hide_invalid` makes that 255; labels of the others hold 255 from the start.

    Attributes:
        continuous: values are regressed, not classes told apart.
        indexed: a map holds class numbers, which have colours and names.
        outputs: channels of a network's output, where neither a task nor its classes say how many.
        interpolation: how a zoom that interpolates resamples the label.
        metric, metric_title, unit, lower_is_better, decimals: the headline metric, and how it is printed.
        high, largest_error, value_unit: the values that pictures tell apart, from 0 up, where a task says nothing of its own.
        compact: the type in which `predict` stores a map; None as it is.
    """

    continuous: ClassVar[bool] = False
    indexed: ClassVar[bool] = False
    outputs: ClassVar[int] = 1
    interpolation: ClassVar[str] = "nearest"
    metric: ClassVar[str]
    metric_title: ClassVar[str]
    unit: ClassVar[str] = "%"
    lower_is_better: ClassVar[bool] = False
    decimals: ClassVar[int] = 2
    high: ClassVar[float] = 1.0
    largest_error: ClassVar[float] = 1.0
    value_unit: ClassVar[str] = ""
    compact: ClassVar[Any] = None

    @property
    def name(self) -> str:
        """That of its file."""
        return type(self).__module__.rpartition(".")[2]

    def options(self) -> dict[str, Any]:
        """What this kind was made with, as `dmtl.tasks.kind` takes it."""
        return dict(vars(self))

    # stored

    def label_channels(self, outputs: int) -> int:
        """Channels of a label, of a network's `outputs` channels."""
        return 1

    @property
    def fill(self) -> float:
        """What a label holds beyond its image."""
        return 0 if self.continuous else IGNORE

    def no_label(self, size: tuple[int, int], outputs: int) -> np.ndarray:
        """A label of `size` (height, width) in which no pixel counts, for an image that has none."""
        channels = self.label_channels(outputs)
        return np.full(size if channels == 1 else (*size, channels), self.fill, np.float32 if self.continuous else np.uint8)

    def resized(self, label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A label at `size` (height, width); from the nearest pixels."""
        from dmtl.tasks.shared.arrays import nearest_pixels

        return nearest_pixels(label, size)

    def to_stored(self, label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A label on the canvas of a shard, of `size` (height, width)."""
        from dmtl.tasks.shared.arrays import on_canvas

        return on_canvas(label, size, self.fill)

    def from_stored(self, stored: np.ndarray, content: tuple[int, int]) -> np.ndarray:
        """The content (height, width) of a label as a shard holds it: `(h, w)` or `(h, w, C)`."""
        return stored[: content[0], : content[1]].copy()

    def stores(self, shape: tuple[int, ...], dtype: np.dtype, size: tuple[int, int], outputs: int) -> bool:
        """Whether labels of a canvas of `size` (height, width) are stored in such a shape and type."""
        channels = self.label_channels(outputs)
        return shape == (size if channels == 1 else (*size, channels)) and dtype.kind == ("f" if self.continuous else "u")

    def fault(self, label: np.ndarray, outputs: int) -> str | None:
        """What a label as `from_stored` gives it holds but never may, for a network of `outputs` channels; None where nothing."""
        if self.continuous:
            return None if np.isfinite(label).all() else "NaN or infinity"
        classes = max(outputs, 2)  # a map of one probability knows 0 and 1
        if label.dtype != np.uint8:
            return f"values of type {label.dtype}"
        largest = int(np.where(label == IGNORE, 0, label).max(initial=0)) if int(label.max(initial=0)) >= classes else 0
        return f"{largest}, which is no class of {classes}" if largest >= classes else None

    # moved

    def mirrored(self, label: "Tensor") -> "Tensor":
        """A label `(C, H, W)` with left and right exchanged."""
        return label.flip(-1)

    def zoomed(self, label: "Tensor", zoom: float) -> "Tensor":
        """The values of a label once the camera has come nearer by `zoom`."""
        return label

    def seen_in_view(self, values: "Tensor", zoom: "Tensor", mirrored: "Tensor") -> "Tensor":
        """The same of `(n, C, H, W)` values whose images were zoomed and mirrored by `(n,)` of each."""
        return values

    def hide_invalid(self, label: "Tensor") -> "Tensor":
        """A label `(C, H, W)` in which 255 marks every pixel that does not count."""
        if not self.continuous:
            return label
        return label.masked_fill((label == 0).all(0, keepdim=True), IGNORE)

    # learned

    @abstractmethod
    def loss(self, prediction: "Tensor", label: "Tensor") -> "Tensor":
        """Loss of each image in float32: `(N, C, H, W)` against a label `(N, 1 or C, H, W)` with 255 = ignore -> `(N,)`."""

    @abstractmethod
    def best_constant(self, pixels: "Tensor", outputs: int) -> "Tensor":
        """The prediction `(outputs,)` that is best for all of the labels' pixels `(1 or C, n)`."""

    # decoded

    @abstractmethod
    def decode(self, prediction: "Tensor") -> "Tensor":
        """What is scored and written of logits or values `(C, H, W)`: class map, probability or values."""

    def to_map(self, decoded: np.ndarray) -> np.ndarray:
        """What pictures are made of, from `decode`: classes `(H, W)` uint8, else float32 with the channels last."""
        return decoded

    @abstractmethod
    def label_map(self, label: np.ndarray) -> np.ndarray:
        """A label `(1 or C, H, W)` with 255 = ignore as such a map: 255 of classes, else NaN."""

    def error(self, prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
        """How far a map is from the label's, `(H, W)`: NaN where there is no label, for classes 0 = right, 1 = wrong, 255."""
        return np.abs(prediction - label)

    def span(self, labels: np.ndarray) -> Span:
        """The values that bytes are to tell apart, where maps are like these `labels`."""
        return 0.0, 1.0

    def to_bytes(self, values: np.ndarray, span: Span) -> np.ndarray:
        """A map in one byte per value."""
        from dmtl.tasks.shared.arrays import to_steps

        return to_steps(values, span)

    def from_bytes(self, codes: np.ndarray, span: Span) -> np.ndarray:
        """The map that `to_bytes` coded, to half a step."""
        from dmtl.tasks.shared.arrays import from_steps

        return from_steps(codes, span)

    # scored

    @abstractmethod
    def scorer(self, outputs: int) -> "Metric":
        """The metric of a network with that many output channels."""

    # shown

    @abstractmethod
    def picture(self, task: "Task", values: np.ndarray) -> np.ndarray:
        """A map as `(H, W, 3)` uint8 RGB."""

    @abstractmethod
    def legend(self, task: "Task") -> "Legend":
        """What the colours of `picture` mean."""

    def values_are(self, task: "Task") -> str:
        """What the numbers of a map are: a unit, or what stands for one."""
        return task.unit or "as stored"

    def error_picture(self, task: "Task", error: np.ndarray) -> np.ndarray:
        """What `error` gives as `(H, W, 3)` uint8 RGB: black = right, the brighter the worse."""
        from dmtl.pictures.colours import ERRORS, scaled

        return scaled(error, task.largest_error, ERRORS)

    def error_legend(self, task: "Task") -> "Legend":
        """What the colours of `error_picture` mean."""
        from dmtl.pictures.colours import ERRORS, Legend, stops

        unit = f" {task.unit}" if task.unit else ""
        return Legend("Error: absolute error", (), stops(ERRORS), "0", f"{task.largest_error:g}{unit} or more")
