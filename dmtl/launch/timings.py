"""How long a cell will take: as long as the last time on this machine, or by its recipe."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

from dmtl.config import Project, Recipe, for_training
from dmtl.errors import UserError
from dmtl.files import read_json, write_json
from dmtl.launch.outputs import launch_folder
from dmtl.launch.stale import Work, address

UNTRAINED = 0.01  # of a method without networks, in epochs
EVALUATION = 1.0  # in epochs: one pass without gradients, but with metrics


class Timings:
    """Seconds that stages took, kept in `.work/launch/<scale>/timings.json` from one launch to the next."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._file = launch_folder(project.paths) / "timings.json"
        try:
            kept = read_json(self._file)
        except UserError:  # there is none yet, or a damaged one, which is no loss
            kept = {}
        self._seconds = {key: float(value) for key, value in kept.items() if isinstance(value, int | float) and value >= 0}
        self._sizes = {stage: self._size(*stage.split("@", 1)) for stage in self._seconds}

    def note(self, stage: str, cell: str, seconds: float) -> None:
        """A stage took so long."""
        key = address(stage, cell)
        self._seconds[key], self._sizes[key] = round(seconds, 2), self._size(stage, cell)

    def save(self) -> None:
        """Keep them for the next launch."""
        write_json(self._file, dict(sorted(self._seconds.items())))

    def longest_first(self, works: Sequence[Work]) -> list[Work]:
        """So that no long one is left for the end, when the others are done."""
        return sorted(works, key=lambda work: -sum(self.seconds(stage, work.cell) for stage in work.stages))

    def seconds(self, stage: str, cell: str) -> float:
        """What a stage will take; in units of no meaning, but in proportion, while none was ever measured."""
        if (known := self._seconds.get(address(stage, cell))) is not None:
            return known
        ratios = [self._seconds[key] / size for key, size in self._sizes.items() if size]
        return self._size(stage, cell) * (median(ratios) if ratios else 1.0)

    @property
    def measured(self) -> bool:
        """Whether `seconds` are seconds."""
        return bool(self._seconds)

    def _size(self, stage: str, cell: str) -> float:
        """Megabytes of images and labels that a stage goes through; 0 for a cell that is no longer in the grid."""
        if cell not in self._project.grid["cells"]:
            return 0.0
        training = for_training(self._project, cell)
        shard = self._project.paths.shard(training.cell.benchmark, "train" if stage == "train" else "val")
        return _epochs(stage, training.cell.method, training.recipe) * _bytes(shard) / 1e6


def _epochs(stage: str, method: str, recipe: Recipe) -> float:
    if stage == "evaluate":
        return EVALUATION
    networks = {"constant": UNTRAINED, "single_task": float(len(recipe.task_weights))}.get(method, 1.0)
    return networks * recipe.epochs


def _bytes(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0
