"""All stale cells of the grid, trained and evaluated on all the devices there are: `dmtl launch`.

DVC says which cells are stale (`stale.py`); a runner runs their stages without DVC, on this machine (`local_runner.py`) or over
Ray (`ray_runner.py`); then DVC records, in batches, those whose outs are whole and of today's configuration, data and code
(`records.py`).
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.launch.events import Event, Stop
from dmtl.launch.outputs import is_trained, launch_folder
from dmtl.launch.progress import Progress
from dmtl.launch.records import Records, mend_lock
from dmtl.launch.stale import Work, stale_work
from dmtl.launch.timings import Timings

Runner = Callable[[list[Work], Stop], Generator[Event | None, None, None]]


def launch(project: Project, cells: Sequence[str], code: str, run: Runner) -> list[str]:
    """Train and evaluate the stale cells and record them as they end, so that what is done stays done when this is stopped.

    Args:
        project: whose cells.
        cells: only these; empty for all that are stale.
        code: `outputs.code_state()` as it is now.
        run: runs the stages of each cell in order, and yields what happens; also None, often, so that other things can be done.

    Returns:
        What went wrong, a line per cell.

    Raises:
        UserError: as `stale_work`, another launch is at work on the project, and whatever `run` raises.
        SystemExit: it was told to stop (128 + signal); what had ended is recorded, and trainings have saved their state.
    """
    folder = launch_folder(project.paths)
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder / "lock"):
        mend_lock(project)
        works = stale_work(project, cells)
        if not works:
            return []
        launched = _Launch(project, code, works)
        with Stop() as stop:
            launched.run(run, stop)
        if stop.requested:
            print("; ".join(["stopped, what had ended is recorded: launch again to go on", *launched.failures]))
            raise SystemExit(128 + stop.requested)
        return launched.failures


def require_all_done(failures: Sequence[str]) -> None:
    """Raises UserError, in one line, where `launch` returned failures."""
    if failures:
        raise UserError(f"{len(failures)} not done, the others are recorded: {'; '.join(failures)}")


class _Launch:
    """One launch under way."""

    def __init__(self, project: Project, code: str, works: list[Work]) -> None:
        self._project, self._works = project, works
        self._timings, self._records = Timings(project), Records(project, code)
        self._problems: dict[str, str] = {}  # of a cell

    @property
    def failures(self) -> list[str]:
        return [f"{cell}: {problem}" for cell, problem in self._problems.items()]

    def run(self, run: Runner, stop: Stop) -> None:
        """Do the works; records what has ended however it ends."""
        works = self._timings.longest_first([self._without_trained(work) for work in self._works])
        with Progress(works, self._timings) as progress:
            try:
                with closing(run(works, stop)) as events:
                    for event in events:
                        self._heed(event, progress)
                        self._tell(self._records.tick(), progress)
                        progress.refresh()
            finally:
                self._timings.save()
                self._tell(self._records.close(), progress)

    def _without_trained(self, work: Work) -> Work:
        """The cell's evaluation alone where its training had ended when an earlier launch was killed."""
        if "train" not in work.stages or not is_trained(self._project, work.cell):
            return work
        self._records.add("train", work.cell)
        return Work(work.cell, tuple(stage for stage in work.stages if stage != "train"))

    def _heed(self, event: Event | None, progress: Progress) -> None:
        if event is None:
            return
        if event.status is None:
            progress.started(event.stage, event.cell)
        elif event.status == 0:
            self._records.add(event.stage, event.cell)
            progress.ended(event.stage, event.cell, event.seconds)
        else:
            self._fail(event.cell, f"{event.stage} ended with exit status {event.status}: {event.line}", progress)

    def _tell(self, problems: Sequence[tuple[str, str, str]], progress: Progress) -> None:
        for stage, cell, problem in problems:
            self._fail(cell, f"{stage} is not recorded: {problem}", progress)

    def _fail(self, cell: str, problem: str, progress: Progress) -> None:
        if cell not in self._problems:
            self._problems[cell] = problem
            progress.failed(cell, problem)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One launch at a time in a project; UserError for another."""
    lock = FileLock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise UserError("another launch is at work on this project: wait for it or stop it") from None
    try:
        yield
    finally:
        lock.release()
