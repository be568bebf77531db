"""What decides a training's weights: its configuration, its data and its code (docs/pipeline.md, "Fingerprints")."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dmtl.config import Cell, TrainingConfig
from dmtl.files import digest, file_sha256, flat

PACKAGE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Fingerprint:
    """The parts, and one hash of them: trainings with the same one have the same weights.

    Attributes:
        config: the whole configuration, for JSON.
        data: SHA-256 of the training shard.
        code: SHA-256 over the source files that dvc.yaml lists for the training.
    """

    config: dict[str, Any]
    data: str
    code: str

    @cached_property
    def value(self) -> str:
        """The hash of all parts, hexadecimal."""
        return digest(asdict(self))

    @property
    def config_sha256(self) -> str:
        """The hash of the configuration alone."""
        return digest(self.config)

    def flat(self) -> dict[str, str]:
        """Every setting and hash under a dotted key, as text: what a checkpoint is compared by."""
        return {key: str(value) for key, value in flat(asdict(self)).items()}


def fingerprint_of(training: TrainingConfig, shard: Path) -> Fingerprint:
    """The fingerprint of a training on a training shard."""
    code = digest(*map(file_sha256, code_of(training.cell)))
    return Fingerprint(training.model_dump(mode="json"), file_sha256(shard), code)


def code_of(cell: Cell) -> list[Path]:
    """The source files that decide a cell's weights, as dvc.yaml lists them: a checkpoint of other code is not gone on with."""
    files = [PACKAGE / "losses.py", PACKAGE / "models" / f"{cell.method}.py"]
    folders = ("tasks", "tasks/shared", "data", "training", "models/shared", f"models/{cell.family}")
    return sorted([*files, *(path for folder in folders for path in (PACKAGE / folder).glob("*.py"))])
