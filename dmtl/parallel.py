"""Work on many items in all cores, with results in the items' order."""

import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from dmtl.errors import UserError

MOST_WORKERS = 12  # one that reads or renders images holds some 130 MB; all together stay below 2 GiB
FEWEST_ITEMS = 8  # a worker's start costs as much as it saves with fewer
AHEAD = 4  # results that may wait for each worker

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Sequence[Item], title: str, workers: int | None = None
) -> Iterator[Result]:
    """`function` of each item, in order, with a progress bar.

    Args:
        function: one that can be sent to another process; its result may depend on nothing but the item.
        items: what it is called with.
        title: of the progress bar.
        workers: processes; None takes every core, but only this process for a few items.

    Raises:
        UserError: a process was killed; whatever `function` raises.
    """
    if workers is None:
        workers = min(os.cpu_count() or 1, MOST_WORKERS, len(items) // FEWEST_ITEMS)
    results = map(function, items) if workers < 2 else _spread(function, items, workers)
    yield from tqdm(results, title, len(items), unit="image", disable=None)


def _spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    waiting: deque[Future[Result]] = deque()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))  # a fork of torch's threads can hang
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) == AHEAD * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise UserError("a working process was killed: is the memory full? Close other programs and run it again") from None
    finally:
        pool.shutdown(cancel_futures=True)
