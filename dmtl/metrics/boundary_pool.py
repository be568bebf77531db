"""Boundary counts beside a network that predicts: CPU work, in other processes where there is enough of it."""

import os
from concurrent.futures import Future

import numpy as np

from dmtl.metrics.boundary import check_maps, map_statistics
from dmtl.parallel import Pool

SECONDS_A_PIXEL = 4e-7  # of one map: 0.06 s at 321x481
WORTH_A_PROCESS = 10.0  # seconds of work; starting one takes about one
MOST_PROCESSES = 8


def processes_for(maps: int, pixels: int) -> int:
    """How many processes pay for that many maps of so many pixels each; 0: count in this one."""
    seconds = maps * pixels * SECONDS_A_PIXEL
    return min(MOST_PROCESSES, os.cpu_count() or 1, int(seconds / WORTH_A_PROCESS))


class BoundaryPool(Pool):
    """Counts images in `processes` processes, or at once in this one where it is 0; the counts are the same."""

    def __init__(self, processes: int) -> None:
        super().__init__(processes, "Evaluate with --processes 0")

    def count(self, soft: np.ndarray, label: np.ndarray) -> "Future[np.ndarray]":
        """The statistics of a uint8 `(H, W)` map against a label map, as `Pool.submit` gives them.

        Raises:
            UserError: the sizes differ.
        """
        check_maps(soft, label)  # here, where the caller knows which image it is
        return self.submit(map_statistics, soft, label)
