"""What kinds share whose maps are probabilities."""

from typing import TYPE_CHECKING

import numpy as np

from dmtl.tasks.shared.kind import Kind

if TYPE_CHECKING:
    from dmtl.pictures.colours import Legend
    from dmtl.tasks.shared.task import Task

SCALE = "gray"


class Probability(Kind):
    """A map is the probability of something at each pixel, `(H, W)` float32 in [0, 1]."""

    compact = np.float16

    def to_map(self, decoded: np.ndarray) -> np.ndarray:
        return decoded.astype(np.float32)

    def label_map(self, label: np.ndarray) -> np.ndarray:
        from dmtl.tasks.shared.arrays import ignored_as_nan

        return ignored_as_nan(label)[..., 0]

    def values_are(self, task: "Task") -> str:
        return "probability"

    def picture(self, task: "Task", values: np.ndarray) -> np.ndarray:
        from dmtl.pictures.colours import scaled

        return scaled(values, 1, SCALE)

    def legend(self, task: "Task") -> "Legend":
        from dmtl.pictures.colours import Legend, stops

        return Legend(f"{task.title}: probability", (), stops(SCALE), "0", "1")

    def error_legend(self, task: "Task") -> "Legend":
        from dmtl.pictures.colours import ERRORS, Legend, stops

        return Legend("Error: absolute difference", (), stops(ERRORS), "0", "1")
