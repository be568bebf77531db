"""Where raw files are: made here, or kept by the user wherever they like.

The path to a user's own files is a matter of one machine, so it stands in an environment variable (`DMTL_NYUD`) or in the
git-ignored `local.yaml` (`nyud: /where/it/is`), never in params.yaml or dvc.lock.
"""

import hashlib
import io
import os
from pathlib import Path

import numpy as np

from dmtl.config import load_yaml
from dmtl.errors import UserError


def local_path(root: Path, name: str) -> Path:
    """The folder that the user gave for `name` (a benchmark, or `mappings`).

    Raises:
        UserError: none was given, or it is no folder.
    """
    variable = f"DMTL_{name.upper()}"
    given = os.environ.get(variable) or _local_settings(root).get(name)
    if not given:
        settings = root / "local.yaml"
        raise UserError(f"where are the files of '{name}'? Set {variable}, or write '{name}: /its/folder' into {settings}")
    path = Path(str(given)).expanduser()
    if not path.is_dir():
        raise UserError(f"{variable} or local.yaml names {path} for '{name}', but there is no such folder")
    return path


def _local_settings(root: Path) -> dict[str, object]:
    file = root / "local.yaml"
    return load_yaml(file) if file.is_file() else {}


def read_bytes(path: Path) -> bytes:
    """The content of a file that must be there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path} is missing: complete the folder, or take the files anew") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def file_record(path: Path) -> dict[str, object]:
    """Size in bytes and SHA-256 of a file, as the manifest keeps them."""
    content = read_bytes(path)
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def load_npy(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A numeric npy file as a finite float32 array of the given shape.

    Raises:
        UserError: the file is missing, truncated, holds objects, another shape or values that are not finite.
    """
    content = read_bytes(path)
    try:
        array = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UserError(f"{path} is truncated or no npy file ({' '.join(str(error).split())[:120]}); take it anew") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu":
        raise UserError(f"{path} holds no numbers; take it anew")
    if array.shape != shape:
        raise UserError(f"{path} has shape {array.shape}, but {shape} is expected; is it another version of the benchmark?")
    array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise UserError(f"{path} holds NaN or infinity at {_first(~np.isfinite(array))}; take it anew")
    return array


def check_range(path: Path, array: np.ndarray, low: float, high: float, what: str) -> None:
    """Refuse a file with a value outside [low, high]."""
    outside = (array < low) | (array > high)
    if outside.any():
        where = _first(outside)
        raise UserError(f"{path}: {what} {array[where]:g} at {where} is outside {low:g}..{high:g}; take the file anew")


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])
