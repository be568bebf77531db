"""A training that is interrupted goes on: its state in a folder that DVC does not know (docs/pipeline.md, "Checkpoints").

DVC deletes a stage's outs before it runs, so the checkpoint is none of them. The folder carries the training's fingerprint in its
name, is locked against a second process, and is deleted when the training has ended.
"""

import os
import shutil
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from filelock import FileLock, Timeout

from dmtl.errors import UserError
from dmtl.files import replacing
from dmtl.training.fingerprint import Fingerprint

FIRST_SECONDS = 5.0  # until the first checkpoint
COST_RATIO = 50  # then so many times what saving took, so that saving costs at most 2 % of the time


class ResumeState:
    """The state from which one training goes on, in a folder that is locked while it is open.

    Args:
        root: the project's root; `DMTL_WORK` names another place for all such folders.
        name: the training, such as `<scale>/<cell>`.
        fingerprint: of its configuration, data and code.
        owner: False for the further processes of a training on several devices, which only read.

    Raises:
        UserError: another process is training the same cell.
    """

    def __init__(self, root: Path, name: str, fingerprint: Fingerprint, owner: bool = True) -> None:
        self.folder = Path(os.environ.get("DMTL_WORK") or root / ".work") / f"{name}-{fingerprint.value[:12]}"
        self._fingerprint, self._owner = fingerprint, owner
        self._file = self.folder / "checkpoint.pt"
        self._lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"))
        self._due = time.monotonic() + FIRST_SECONDS

    def __enter__(self) -> "ResumeState":
        if not self._owner:
            return self
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise UserError(f"{self.folder} is in use: another process is training this cell; wait or stop it") from None
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if not self._owner:
            return
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()

    def due(self) -> bool:
        """Whether it is time to save."""
        return self._owner and time.monotonic() >= self._due

    def save(self, state: dict[str, Any]) -> None:
        """Replace the checkpoint.

        Raises:
            UserError: the disk is full; the previous checkpoint stays, and the next try is due when it would have been anyway.
        """
        if not self._owner:
            return
        begun = time.monotonic()
        try:
            with replacing(self._file) as temporary:
                torch.save({**state, "fingerprint": self._fingerprint.value, "made_of": self._fingerprint.flat()}, temporary)
        finally:
            now = time.monotonic()
            self._due = now + max(FIRST_SECONDS, COST_RATIO * (now - begun))

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint, if there is one.

        Raises:
            UserError: it is damaged or belongs to another configuration.
        """
        if not self._file.exists():
            return None
        try:
            state = torch.load(self._file, map_location="cpu", weights_only=True)
        except Exception as error:
            raise UserError(f"{self._file} is damaged ({type(error).__name__}): delete {self.folder} to train anew") from None
        if not isinstance(state, dict):
            raise UserError(f"{self._file} is damaged (it holds {type(state).__name__}): delete {self.folder} to train anew")
        if state.get("fingerprint") != self._fingerprint.value:
            other = self._differences(state.get("made_of", {}))
            raise UserError(f"{self._file} is of another configuration{other}: delete {self.folder} to train anew")
        if fault := _fault(state):
            raise UserError(f"{self._file} is damaged ({fault}): delete {self.folder} to train anew")
        return state

    def _differences(self, made_of: Any) -> str:
        ours, theirs = self._fingerprint.flat(), {str(k): str(v) for k, v in made_of.items()} if isinstance(made_of, dict) else {}
        keys = [key for key in sorted({*theirs, *ours}) if theirs.get(key) != ours.get(key)]
        differences = ", ".join(f"{key} {theirs.get(key, 'none')[:12]}, not {ours.get(key, 'none')[:12]}" for key in keys[:3])
        return f" ({differences}{' and more' if len(keys) > 3 else ''})" if keys else ""


def _fault(state: dict[str, Any]) -> str | None:
    """What is wrong with the parts of a checkpoint: names, types, counts; None where nothing is."""
    parts = {"model": dict, "optimiser": dict, "balance": dict, "position": dict, "history": list}
    for name, kind in parts.items():
        if not isinstance(state.get(name), kind):
            return f"'{name}' is missing or of another type"
    position = state["position"]
    if position.keys() != {"network", "epoch", "batch", "losses"} or not isinstance(position["losses"], dict):
        return "'position' has other parts"
    if any(type(position[name]) is not int or position[name] < 0 for name in ("network", "epoch", "batch")):
        return "'position' is no place in a training"
    for name, value in state["model"].items():
        if not isinstance(value, torch.Tensor) or (value.is_floating_point() and not value.isfinite().all()):
            return f"the weight '{name}' is no tensor of finite numbers"
    return None
