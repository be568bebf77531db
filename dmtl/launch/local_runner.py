"""Cells on this machine alone: each stage in a fresh process, forked within milliseconds from one that has imported everything.

A process is never used twice, so no cell sees what another one left: torch's threads, generators, default settings. Results are
those of `python stages/<stage>.py CELL`, whatever the number of workers.
"""

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import _forkserver
from pathlib import Path
from types import FrameType
from typing import Any

from dmtl.config import Project, Recipe, for_training
from dmtl.errors import UserError
from dmtl.files import CLONE
from dmtl.launch.events import Event, Stop
from dmtl.launch.outputs import log_of
from dmtl.launch.stage_run import end_with_parent, run_here, tail
from dmtl.launch.stale import Work

TRIES = 3  # of a stage whose process is killed; a training goes on where the last one was
PATIENCE = 20.0  # seconds without any sign of life until a pool is given up
GRACE = 60.0  # seconds that a training has to save when it is told to stop
POLL = 0.5
POOL_DIED = 255  # what a worker's exit status reads when the process that it was forked from is dead
KILLED = {POOL_DIED, 128 + signal.SIGTERM, 128 + signal.SIGINT}  # and every signal that ends a process at once


@dataclass
class Running:
    """A stage under way on some of the slots."""

    work: Work
    number: int  # of the stage in work.stages
    slots: list[str | None]  # a GPU's name, or None
    process: ForkServerProcess
    begun: float
    tries: int
    pool: int | None  # the process that it was forked from

    @property
    def stage(self) -> str:
        return self.work.stages[self.number]


@dataclass
class LocalRunner:
    """Runs cells in as many processes as fit.

    Args:
        project: whose cells.
        code: `outputs.code_state()` as it is now.
        workers: cells at a time; None: as many as there are GPUs times `cells_per_gpu`, else as the recipes' threads and the
            cores allow.
        cells_per_gpu: cells that share a GPU.
    """

    project: Project
    code: str
    workers: int | None = None
    cells_per_gpu: int = 1
    preload: str = "dmtl.launch.preload"
    _running: dict[Any, Running] = field(default_factory=dict)  # by what becomes ready when the process ends
    _dead: set[int | None] = field(default_factory=set)  # pools

    def __call__(self, works: Sequence[Work], stop: Stop) -> Generator[Event | None, None, None]:
        """Run the stages of each cell, in the order of `works`; yields what happens, and None twice a second.

        Raises:
            UserError: the pool is dead or hangs.
        """
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([self.preload])
        # the pool imports this very code, from wherever it is started
        os.environ["PYTHONPATH"] = os.pathsep.join([str(CLONE), *filter(None, [os.environ.get("PYTHONPATH")])])
        # several evaluations with as many threads as cores would otherwise burn the cores while they wait for each other
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        waiting, told = list(works), 0.0
        try:
            free: list[str | None] = self._slots(works)
            self._gpus_apart = len(set(free))
            while (waiting and not stop.requested) or self._running:
                if stop.requested and not told:
                    told = time.monotonic()
                    self._tell_to_stop()
                if stop.impatient or (told and time.monotonic() - told > GRACE):
                    return
                while not stop.requested and (work := self._fitting(waiting, free)):
                    waiting.remove(work)
                    yield self._start(work, 0, self._take(work, free))
                for ready in wait(list(self._running), POLL):
                    yield from self._ended(self._running.pop(ready), free, stop)
                yield None
        finally:
            self._end_all()

    def _slots(self, works: Sequence[Work]) -> list[str | None]:
        if gpus := self._gpus():
            return list[str | None](gpus * self.cells_per_gpu)[: self.workers]
        recipes = [self._recipe(work) for work in works]
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = max((recipe.threads or cores) + recipe.workers for recipe in recipes)
        return [None] * (self.workers or max(1, cores // threads))

    def _gpus(self) -> list[str]:
        """Names of the GPUs, as CUDA_VISIBLE_DEVICES takes them. A worker counts them: this process loads no torch."""
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if visible == "":
            return []
        receiver, sender = self._context.Pipe(duplex=False)
        process = self._context.Process(target=_count_gpus, args=(sender,))
        self._begin(process)
        sender.close()  # so that its death ends the wait
        try:
            count = int(receiver.recv())
        except EOFError:
            raise UserError("a worker died as it began: is the memory full? Close other programs and launch again") from None
        names = [name.strip() for name in visible.split(",")] if visible else [str(number) for number in range(count)]
        return names[:count]

    def _fitting(self, waiting: Sequence[Work], free: Sequence[str | None]) -> Work | None:
        """The first that has enough GPUs, or a core."""
        return next((work for work in waiting if self._take(work, list(free))), None)

    def _take(self, work: Work, free: list[str | None]) -> list[str | None]:
        """Slots for a cell, taken out of `free`: one, or for a training on several GPUs as many different ones; or none."""
        devices = self._recipe(work).devices if "train" in work.stages else 1
        wanted = min(devices, self._gpus_apart)
        taken = list(dict.fromkeys(free))[:wanted]
        if len(taken) < wanted:
            return []
        for slot in taken:
            free.remove(slot)
        return taken

    def _recipe(self, work: Work) -> Recipe:
        return for_training(self.project, work.cell).recipe

    def _start(self, work: Work, number: int, slots: list[str | None], tries: int = 1) -> Event:
        stage = work.stages[number]
        gpus = ",".join(slot for slot in slots if slot is not None) or None
        arguments = (self.project.paths.root.resolve(), stage, work.cell, self.code, gpus)
        process = self._context.Process(target=run_here, args=arguments, name=f"{stage} {work.cell}")
        self._begin(process)
        self._running[process.sentinel] = Running(work, number, slots, process, time.monotonic(), tries, _pool())
        return Event(stage, work.cell)

    def _ended(self, run: Running, free: list[str | None], stop: Stop) -> Iterator[Event]:
        run.process.join()
        status = run.process.exitcode or 0
        seconds = time.monotonic() - run.begun
        killed = status < 0 or status in KILLED
        if killed and stop.requested:
            return  # it has saved
        if status == POOL_DIED:
            self._note_death(run)
        if killed and run.tries < TRIES:
            yield self._start(run.work, run.number, run.slots, run.tries + 1)
            return
        log = log_of(self.project.paths, run.stage, run.work.cell)
        yield Event(run.stage, run.work.cell, status, self._reason(status, log, run.tries), seconds)
        if status == 0:
            log.unlink(missing_ok=True)
            if run.number + 1 < len(run.work.stages) and not stop.requested:
                yield self._start(run.work, run.number + 1, run.slots)
                return
        free.extend(run.slots)

    @staticmethod
    def _reason(status: int, log: Path, tries: int) -> str:
        if status == 0:
            return ""
        if status < 0:
            return f"killed {tries} times ({signal.Signals(-status).name}): is the memory full?"
        if line := tail(log):
            return f"{line} (all that it said: {log})"
        return f"it said nothing; {shutil.disk_usage(log.parent).free >> 20} MiB are free on the disk of {log.parent}"

    def _begin(self, process: ForkServerProcess) -> None:
        try:
            with _while_alive():
                process.start()
        except (OSError, EOFError) as error:
            raise UserError(f"the pool of workers died ({error or 'no answer'}): launch again, which goes on") from None

    def _note_death(self, run: Running) -> None:
        """UserError when pools keep dying. Returns once the pool has ended: before, Python would ask it for the next worker."""
        if run.pool is not None:
            with suppress(ChildProcessError):  # it has been waited for already
                os.waitid(os.P_PID, run.pool, os.WEXITED | os.WNOWAIT)
        self._dead.add(run.pool)
        if len(self._dead) == TRIES:
            raise UserError(f"the pool of workers was killed {TRIES} times: is the memory full? Launch again, which goes on")

    def _tell_to_stop(self) -> None:
        for run in self._running.values():
            run.process.terminate()

    def _end_all(self) -> None:
        """With the pool its workers end; a training saves before."""
        self._tell_to_stop()
        if pool := _pool():
            with suppress(ProcessLookupError):
                os.kill(pool, signal.SIGKILL)
        self._running.clear()


def _count_gpus(sender: Connection) -> None:
    """What a worker does first of all."""
    import torch

    end_with_parent()
    sender.send(torch.cuda.device_count())


def _pool() -> int | None:
    """The process that workers are forked from."""
    pid = getattr(_forkserver, "_forkserver_pid", None)
    return pid if isinstance(pid, int) else None


@contextmanager
def _while_alive() -> Iterator[None]:
    """UserError when the pool shows no sign of life for `PATIENCE` seconds within the block."""
    seen, since = "", time.monotonic()

    def look(number: int, frame: FrameType | None) -> None:
        nonlocal seen, since
        if (now := _sign_of_life()) != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > PATIENCE:
            raise UserError(f"the pool of workers hangs: nothing in {PATIENCE:.0f} s; launch again, which goes on")

    before = signal.signal(signal.SIGALRM, look)
    signal.setitimer(signal.ITIMER_REAL, POLL, POLL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _sign_of_life() -> str:
    """What grows while the pool works: its processor time and what it reads; Linux."""
    try:
        folder = Path(f"/proc/{_pool()}")
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return f"{fields[11]} {fields[12]} {(folder / 'io').read_text()}"
    except OSError:
        return ""
