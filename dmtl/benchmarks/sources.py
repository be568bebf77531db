"""Where raw files are: made here, or kept by the user wherever they like.

The path to a user's own files is a matter of one machine, so it stands in an environment variable (`DMTL_NYUD`) or in the
git-ignored `local.yaml` (`nyud: /where/it/is`), never in params.yaml or dvc.lock.
"""

import functools
import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image

from dmtl.config import load_yaml
from dmtl.errors import UserError

LARGE = 64 << 20  # bytes; files from this size on are hashed once in a process


def local_path(root: Path, name: str) -> Path:
    """The folder that the user gave for `name` (a benchmark, or `mappings`).

    Raises:
        UserError: none was given, or it is no folder.
    """
    path, variable = given_path(root, name), f"DMTL_{name.upper()}"
    if path is None:
        settings = root / "local.yaml"
        raise UserError(f"where are the files of '{name}'? Set {variable}, or write '{name}: /its/folder' into {settings}")
    if not path.is_dir():
        raise UserError(f"{variable} or local.yaml names {path} for '{name}', but there is no such folder")
    return path


def given_path(root: Path, name: str) -> Path | None:
    """The path that the user gave for `name`, whether it is there or not; None if there is none."""
    given = os.environ.get(f"DMTL_{name.upper()}") or _local_settings(root).get(name)
    return Path(str(given)).expanduser() if given else None


def downloads_path(root: Path) -> Path:
    """Where downloaded files are kept: the folder that the user gave as `downloads`, else `data/raw/downloads`."""
    return given_path(root, "downloads") or root / "data" / "raw" / "downloads"


def _local_settings(root: Path) -> dict[str, object]:
    file = root / "local.yaml"
    return load_yaml(file) if file.is_file() else {}


def read_bytes(path: Path) -> bytes:
    """The content of a file that must be there."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def file_record(path: Path) -> dict[str, object]:
    """Size in bytes and SHA-256 of a file, as the manifest keeps them.

    Raises:
        UserError: it is missing or cannot be read.
    """
    try:
        status = path.stat()
        digest = (_sha256_once if status.st_size >= LARGE else _sha256)(path, status.st_size, status.st_mtime_ns)
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    return {"bytes": status.st_size, "sha256": digest}


def _sha256(path: Path, _size: int, _changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_sha256_once = functools.lru_cache(_sha256)  # by name, size and time of change


def _missing(path: Path) -> UserError:
    return UserError(f"{path} is missing: complete the folder, or take the files anew")


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


def load_pixels(path: Path, modes: tuple[str, ...]) -> np.ndarray:
    """The pixels of an image file as stored, `(H, W)` or `(H, W, 3)`.

    Raises:
        UserError: the file is missing, truncated, no image, or of none of the Pillow `modes`.
    """
    content = read_bytes(path)
    try:
        with Image.open(io.BytesIO(content)) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} is truncated or no image ({' '.join(str(error).split())[:120]}); take it anew") from None
    if mode not in modes:
        raise UserError(f"{path} is an image of mode {mode}, but {' or '.join(modes)} is expected; take it anew")
    return pixels


def check_range(path: Path, array: np.ndarray, low: float, high: float, what: str) -> None:
    """Refuse a file with a value outside [low, high]."""
    outside = (array < low) | (array > high)
    if outside.any():
        where = _first(outside)
        raise UserError(f"{path}: {what} {array[where]:g} at {where} is outside {low:g}..{high:g}; take the file anew")


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])
