"""Kind `regression`: any other map of C channels, such as albedo, shading or optical flow."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.kind import IGNORE
from dmtl.tasks.shared.values import Values

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.errors import AbsoluteError
    from dmtl.tasks.shared.task import Task


class Regression(Values):
    """Labels are `(H, W)` or `(H, W, C)`, NaN where they are invalid, since 0 is a value like any other.

    The metric is the absolute difference, a mean over pixels and channels.
    """

    decimals = 4

    @property
    def fill(self) -> float:
        return np.nan

    def fault(self, label: np.ndarray, outputs: int) -> str | None:
        return "infinity" if np.isinf(label).any() else None

    def hide_invalid(self, label: "Tensor") -> "Tensor":
        """A pixel is out when any of its channels is NaN."""
        return label.masked_fill(label.isnan().any(0, keepdim=True), IGNORE)

    def label_channels(self, outputs: int) -> int:
        return outputs

    def decode(self, prediction: "Tensor") -> "Tensor":
        return prediction

    def to_map(self, decoded: np.ndarray) -> np.ndarray:
        return _without_single(np.moveaxis(decoded.astype(np.float32), 0, -1))

    def label_map(self, label: np.ndarray) -> np.ndarray:
        from dmtl.tasks.shared.arrays import ignored_as_nan

        return _without_single(ignored_as_nan(label))

    def error(self, prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
        """The mean over channels."""
        difference = np.abs(prediction - label)
        return difference.mean(-1) if difference.ndim == 3 else difference

    def scorer(self, outputs: int) -> "AbsoluteError":
        from dmtl.metrics.errors import AbsoluteError

        return AbsoluteError(outputs)

    def picture(self, task: "Task", values: np.ndarray) -> np.ndarray:
        """Three channels as red, green and blue, any other number as the length of the vector."""
        from dmtl.pictures.colours import as_rgb

        if values.ndim == 3 and values.shape[-1] == 3:
            return as_rgb(values, task.high)
        return super().picture(task, np.linalg.norm(values, axis=-1) if values.ndim == 3 else values)


def _without_single(values: np.ndarray) -> np.ndarray:
    """`(H, W, C)`, or `(H, W)` where C is 1."""
    return values[..., 0] if values.shape[-1] == 1 else values
