"""A training that is interrupted goes on: its state in a scratch folder that DVC does not know (pipeline.md A4).

DVC deletes a stage's outs before it runs, so the checkpoint is none of them. The folder carries the identity of configuration
and data in its name, is locked against a second process, and is deleted when the training has ended.
"""

import os
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from filelock import FileLock, Timeout

from dmtl.errors import UserError
from dmtl.files import replacing

FIRST_SECONDS = 5.0  # until the first checkpoint
COST_RATIO = 50  # then so many times what saving took, so that saving costs at most 2 % of the time


class Scratch:
    """The scratch folder of one training, locked while it is open.

    Args:
        root: the project's root; `DMTL_WORK` names another place for all scratch folders.
        name: the training, such as `demo/nyud-full-mtl_baseline`.
        identity: digest of its configuration, data and code.
        about: what the digest is of, to name the difference where a checkpoint is another training's.
        owner: False for the further processes of a training on several devices, which only read.

    Raises:
        UserError: another process is training the same cell.
    """

    def __init__(self, root: Path, name: str, identity: str, about: Mapping[str, Any] | None = None, owner: bool = True) -> None:
        self.folder = Path(os.environ.get("DMTL_WORK") or root / ".work") / f"{name}-{identity[:12]}"
        self.identity, self._owner = identity, owner
        self._about = {key: str(value) for key, value in (about or {}).items()}
        self._file = self.folder / "checkpoint.pt"
        self._lock = FileLock(self.folder.with_name(f"{self.folder.name}.lock"))
        self._due = time.monotonic() + FIRST_SECONDS

    def __enter__(self) -> "Scratch":
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
                torch.save({**state, "identity": self.identity, "about": self._about}, temporary)
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
        if state.get("identity") != self.identity:
            other = self._differences(state.get("about", {}))
            raise UserError(f"{self._file} is of another configuration{other}: delete {self.folder} to train anew")
        return state

    def _differences(self, about: Mapping[str, str]) -> str:
        keys = [key for key in sorted({*about, *self._about}) if about.get(key) != self._about.get(key)]
        told = ", ".join(f"{key} {about.get(key, 'none')[:12]}, not {self._about.get(key, 'none')[:12]}" for key in keys[:3])
        return f" ({told}{' and more' if len(keys) > 3 else ''})" if keys else ""
