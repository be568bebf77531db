"""Kind `depth`: how far away each pixel is, in metres, or its disparity."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.values import Values

if TYPE_CHECKING:
    from torch import Tensor

    from dmtl.metrics.errors import DepthErrors

SMALLEST = 1e-9  # predictions are raised to it before they are scored, as in XTC


class Depth(Values):
    """Values shrink with a zoom, as if the camera had come nearer; they are metres where a benchmark does not say otherwise."""

    decimals, high, largest_error, value_unit = 4, 10.0, 2.0, "m"

    def zoomed(self, label: "Tensor", zoom: float) -> "Tensor":
        return label / zoom

    def seen_in_view(self, values: "Tensor", zoom: "Tensor", mirrored: "Tensor") -> "Tensor":
        return values / zoom[:, None, None, None]

    def decode(self, prediction: "Tensor") -> "Tensor":
        return prediction[0].clamp(min=SMALLEST)

    def to_map(self, decoded: np.ndarray) -> np.ndarray:
        return decoded.astype(np.float32)

    def label_map(self, label: np.ndarray) -> np.ndarray:
        from dmtl.tasks.shared.arrays import ignored_as_nan

        return ignored_as_nan(label)[..., 0]

    def scorer(self, outputs: int) -> "DepthErrors":
        from dmtl.metrics.errors import DepthErrors

        return DepthErrors()
