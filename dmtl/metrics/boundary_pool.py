"""Boundary counts beside a network that predicts: CPU work, in other processes where there is enough of it."""

import multiprocessing
import os
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Self

import numpy as np

from dmtl.errors import UserError
from dmtl.metrics.boundary import check_maps, map_statistics

SECONDS_A_PIXEL = 4e-7  # of one map: 0.06 s at 321x481
WORTH_A_PROCESS = 10.0  # seconds of work; starting one takes about one
MOST_PROCESSES = 8
WAITING = 4  # images a process that may wait, which bounds the memory


def processes_for(maps: int, pixels: int) -> int:
    """How many processes pay for that many maps of so many pixels each; 0: count in this one."""
    seconds = maps * pixels * SECONDS_A_PIXEL
    return min(MOST_PROCESSES, os.cpu_count() or 1, int(seconds / WORTH_A_PROCESS))


class BoundaryPool:
    """Counts images in `processes` processes, or at once in this one where it is 0; the counts are the same.

    Used in a `with` block, within which all results must be taken. Raises UserError when a process was killed.
    """

    def __init__(self, processes: int) -> None:
        # Spawned, not forked: a fork would inherit torch's threads and locks.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(processes, mp_context=context) if processes else None
        self._limit = WAITING * processes
        self._waiting: deque[Future[np.ndarray]] = deque()

    def count(self, soft: np.ndarray, label: np.ndarray) -> "Future[np.ndarray]":
        """The statistics of a uint8 `(H, W)` map against a label map, now or later; waits where too many images wait already.

        Raises:
            UserError: the sizes differ.
        """
        check_maps(soft, label)  # here, where the caller knows which image it is
        if self._pool is None:
            done: Future[np.ndarray] = Future()
            done.set_result(map_statistics(soft, label))
            return done
        if len(self._waiting) == self._limit:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(map_statistics, soft, label))
        return self._waiting[-1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=error is not None)
        if isinstance(error, BrokenProcessPool):
            raise UserError(
                "a process that counted boundaries was killed: is the memory full? Evaluate with --processes 0"
            ) from None
