"""Kind `normals`: the direction that each surface faces."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.kind import Kind, Span

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.angles import AngularErrors
    from dmtl.pictures.colours import Legend
    from dmtl.tasks.shared.task import Task

NO_NORMAL = 128  # in all three channels of an 8-bit normal, which would be a vector of length 0.007


class Normals(Kind):
    """Labels are `(H, W, 3)` float32 unit vectors, 0 = invalid, or, published in 8 bits, uint8 v = 127.5 (n + 1).

    In 8 bits 128 in all three channels says that there is none. Shards keep those channel by channel and others in half
    precision, to 0.03 degrees. The loss is the L1 from the unit vector of the prediction.
    """

    continuous, interpolation, outputs = True, "bilinear", 3
    metric, metric_title, unit, lower_is_better = "mean_error", "mErr", "degrees", True
    largest_error, value_unit, compact = 60.0, "degrees", np.float16

    def label_channels(self, outputs: int) -> int:
        return 3

    def to_stored(self, label: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        from dmtl.tasks.shared.arrays import on_canvas

        if label.dtype == np.uint8:
            return np.ascontiguousarray(on_canvas(label, size, NO_NORMAL).transpose(2, 0, 1))
        return on_canvas(label.astype(np.float16), size, 0)

    def from_stored(self, stored: np.ndarray, content: tuple[int, int]) -> np.ndarray:
        if stored.dtype != np.uint8:
            return super().from_stored(stored, content)
        codes = stored[:, : content[0], : content[1]]
        normals = np.multiply(codes, np.float32(2 / 255), dtype=np.float32)
        normals -= 1
        none = (codes == NO_NORMAL).all(0)
        for channel in normals:  # much faster than all at once
            np.copyto(channel, 0, where=none)
        return normals.transpose(1, 2, 0)

    def stores(self, shape: tuple[int, ...], dtype: np.dtype, size: tuple[int, int], outputs: int) -> bool:
        return shape == (3, *size) if dtype == np.uint8 else super().stores(shape, dtype, size, outputs)

    def mirrored(self, label: "Tensor") -> "Tensor":
        """The x component changes its sign."""
        import torch

        x, others = label.flip(-1).split([1, 2], dim=-3)
        return torch.cat([-x, others], dim=-3)

    def seen_in_view(self, values: "Tensor", zoom: "Tensor", mirrored: "Tensor") -> "Tensor":
        import torch

        x = torch.where(mirrored[:, None, None], -values[:, 0], values[:, 0])
        return torch.cat([x[:, None], values[:, 1:]], dim=1)

    def loss(self, prediction: "Tensor", label: "Tensor") -> "Tensor":
        import torch.nn.functional as F

        from dmtl.tasks.shared.pixels import masked_l1

        return masked_l1(F.normalize(prediction, dim=1), label)

    def best_constant(self, pixels: "Tensor", outputs: int) -> "Tensor":
        """The mean vector."""
        return pixels.double().mean(dim=1).float()

    def decode(self, prediction: "Tensor") -> "Tensor":
        return prediction

    def to_map(self, decoded: np.ndarray) -> np.ndarray:
        from dmtl.tasks.shared.arrays import unit_vectors

        return unit_vectors(np.moveaxis(decoded.astype(np.float32), 0, -1))

    def label_map(self, label: np.ndarray) -> np.ndarray:
        from dmtl.tasks.shared.arrays import ignored_as_nan, unit_vectors

        return unit_vectors(ignored_as_nan(label))

    def error(self, prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Angles in degrees."""
        apart, sum_ = (np.linalg.norm(v, axis=-1) for v in (prediction - label, prediction + label))
        return np.rad2deg(2 * np.arctan2(apart, sum_))

    def to_bytes(self, values: np.ndarray, span: Span) -> np.ndarray:
        return np.where(np.isnan(values), NO_NORMAL, _colours(values)).astype(np.uint8)

    def from_bytes(self, codes: np.ndarray, span: Span) -> np.ndarray:
        """Unit vectors to 0.7 %."""
        missing = (codes == NO_NORMAL).all(-1, keepdims=True)
        return np.where(missing, np.nan, codes.astype(np.float32) / np.float32(127.5) - 1)

    def scorer(self, outputs: int) -> "AngularErrors":
        from dmtl.metrics.angles import AngularErrors

        return AngularErrors()

    def picture(self, task: "Task", values: np.ndarray) -> np.ndarray:
        from dmtl.pictures.colours import hatched

        return hatched(_colours(values).clip(0, 255).astype(np.uint8), np.isnan(values).any(-1))

    def values_are(self, task: "Task") -> str:
        return "unit vector"

    def legend(self, task: "Task") -> "Legend":
        from dmtl.pictures.colours import AXES, Legend

        return Legend(f"{task.title}: (n + 1) / 2 as red, green, blue", AXES)

    def error_legend(self, task: "Task") -> "Legend":
        from dataclasses import replace

        return replace(super().error_legend(task), title="Error: angle")


def _colours(values: np.ndarray) -> np.ndarray:
    return np.rint(127.5 * (np.nan_to_num(values) + 1))
