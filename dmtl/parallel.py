"""Work in several processes: the one pool of the project, and many items in all cores with results in the items' order."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from itertools import chain
from types import TracebackType
from typing import Any, Self, TypeVar

from tqdm import tqdm

from dmtl.errors import UserError

MOST_WORKERS = 12  # one that reads or renders images holds some 130 MB; all together stay below 2 GiB
FEWEST_ITEMS = 8  # a worker's start costs as much as it saves with fewer
AHEAD = 4  # calls per process that may wait, which bounds the memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class Pool:
    """Calls functions in other processes, or at once in this one.

    Used in a `with` block, within which all results must be taken.

    Args:
        processes: how many; 0: none but this one.
        advice: what the user can do when a process was killed.
        ahead: calls per process that may wait.

    Raises:
        UserError: a process was killed, such as for want of memory.
    """

    def __init__(self, processes: int, advice: str = "Close other programs and run it again", ahead: int = AHEAD) -> None:
        # Spawned, not forked: a fork would inherit torch's threads and locks, and can hang.
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(processes, context, _end_with_parent) if processes else None
        self._ahead = max(1, ahead * processes)
        self._waiting: deque[Future[Any]] = deque()
        self._advice = advice

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """The result of a call, now or later; first waits where too many calls wait already.

        Args:
            function: one that can be sent to another process; its result may depend on nothing but the arguments.
            arguments: of the call.
        """
        if self._executor is None:
            done: Future[Result] = Future()
            done.set_result(function(*arguments))
            return done
        if len(self._waiting) == self._ahead:
            self._waiting.popleft().result()
        # A process that is started here takes over what is blocked: Ctrl-C reaches this process alone, which ends the others.
        allowed = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            future = self._executor.submit(function, *arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, allowed)
        self._waiting.append(future)
        return future

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
        """`function` of each item, in the items' order."""
        results: deque[Future[Result]] = deque()
        for item in items:
            results.append(self.submit(function, item))
            if len(results) == self._ahead:
                yield results.popleft().result()
        while results:
            yield results.popleft().result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=error is not None)
        if isinstance(error, BrokenProcessPool):
            raise UserError(f"a working process was killed: is the memory full? {self._advice}") from None


def _end_with_parent() -> None:
    """Ends this working process with the one that started it: after a kill -9 of that it would wait for work without end."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # a pool started it

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def processes_for(items: int) -> int:
    """How many processes pay for that many images."""
    return min(os.cpu_count() or 1, MOST_WORKERS, items // FEWEST_ITEMS)


def in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    title: str,
    workers: int | None = None,
    unit: str = "image",
    per_call: int = 1,
) -> Iterator[Result]:
    """`function` of each item, in order, with a progress bar.

    Args:
        function: one that can be sent to another process; its result may depend on nothing but the item.
        items: what it is called with.
        title: of the progress bar.
        workers: processes; None takes every core, but only this process for a few items.
        unit: what an item is, for the progress bar.
        per_call: items that one call takes over, where a call costs much beside its work.

    Raises:
        UserError: a process was killed; whatever `function` raises.
    """
    if workers is None:
        workers = processes_for(len(items))
    calls = [items[first : first + per_call] for first in range(0, len(items), per_call)]
    with Pool(workers if workers > 1 else 0) as pool:
        results = chain.from_iterable(pool.map(partial(_each, function), calls))
        yield from tqdm(results, title, len(items), unit=unit, disable=None)


def _each(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    return [function(item) for item in items]
