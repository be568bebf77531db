"""What a cell's stages leave, and whether DVC may record it.

Beside its outs, a training leaves `.work/launch/<scale>/<cell>.json` until it is recorded: the hashes of what it wrote. So one
that had ended when everything was killed is recorded by the next launch, and not trained again; a model folder that was damaged
or comes from elsewhere is.
"""

import shutil
from pathlib import Path

from dmtl.config import Paths, Project, for_training
from dmtl.errors import UserError
from dmtl.files import CLONE, digest, file_sha256, read_json, write_json
from dmtl.training.fingerprint import fingerprint_of

MODEL_FILES = ("model.safetensors", "history.json", "model.json")


def launch_folder(paths: Paths) -> Path:
    """What launches keep for the next one: hashes of what is not yet recorded, logs of what failed, how long cells took."""
    return paths.root / ".work" / "launch" / paths.scale


def log_of(paths: Paths, stage: str, cell: str) -> Path:
    """What a stage wrote; it is kept if it failed."""
    return launch_folder(paths) / f"{cell}.{stage}.log"


def results_of(paths: Paths, cell: str) -> tuple[Path, ...]:
    """What an evaluation writes."""
    return paths.result(cell), paths.scores(cell), paths.statistics(cell), paths.gallery(cell)


def clear(paths: Paths, stage: str, cell: str) -> None:
    """Delete a stage's outs before it runs, as DVC does, with what a killed one left half-written."""
    if stage == "train":
        shutil.rmtree(paths.model(cell), ignore_errors=True)
        _hashes(paths, cell).unlink(missing_ok=True)
        return
    for out in results_of(paths, cell):
        out.unlink(missing_ok=True)
        for half in out.parent.glob(f".{out.name}.*.tmp"):
            half.unlink(missing_ok=True)


def note_trained(paths: Paths, cell: str) -> None:
    """Keep the hashes of a training that has just ended."""
    write_json(_hashes(paths, cell), _hashes_of(paths, cell))


def forget_trained(paths: Paths, cell: str) -> None:
    """Its training is recorded."""
    _hashes(paths, cell).unlink(missing_ok=True)


def is_trained(project: Project, cell: str) -> bool:
    """Whether the cell's training has ended, with today's configuration, data and code, though DVC does not know of it."""
    if why_not_whole(project, "train", cell):
        return False
    try:
        return bool(read_json(_hashes(project.paths, cell)) == _hashes_of(project.paths, cell))
    except UserError:
        return False


def why_not_whole(project: Project, stage: str, cell: str) -> str | None:
    """Why DVC must not record a stage; None if its outs are whole and, of a training, of today's configuration, data and code."""
    if stage == "evaluate":
        missing = [path for path in results_of(project.paths, cell) if not path.is_file()]
        return f"{missing[0]} is missing" if missing else None
    folder = project.paths.model(cell)
    absent = [name for name in MODEL_FILES if not (folder / name).is_file()]
    if absent:
        return f"{folder / absent[0]} is missing"
    strays = sorted(path.name for path in folder.iterdir() if path.name not in MODEL_FILES)
    if strays:
        return f"{folder / strays[0]} is left from a training that was killed while it wrote: launch again"
    training = for_training(project, cell)
    fingerprint = fingerprint_of(training, project.paths.shard(training.cell.benchmark, "train"))
    if read_json(folder / "model.json").get("fingerprint") != fingerprint.value:
        return f"{folder} is of another configuration, data or code: launch again"
    return None


def code_state() -> str:
    """A hash of all code that stages run: what was loaded once must not be recorded under what was edited since."""
    files = sorted([*(CLONE / "dmtl").rglob("*.py"), *(CLONE / "stages").glob("*.py")])
    return digest([[str(path.relative_to(CLONE)), file_sha256(path)] for path in files])


def _hashes(paths: Paths, cell: str) -> Path:
    return launch_folder(paths) / f"{cell}.json"


def _hashes_of(paths: Paths, cell: str) -> dict[str, str]:
    return {name: file_sha256(paths.model(cell) / name) for name in MODEL_FILES}
