"""Raw files as checked arrays; whatever is wrong with a file is one line that names it."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from dmtl.benchmarks.shared.mat5 import require_bounded
from dmtl.errors import UserError
from dmtl.reading import bounded
from dmtl.reading.bounded import LARGEST_FILE, read_within
from dmtl.reading.images import opened


@contextmanager
def must_be_readable(path: Path) -> Iterator[None]:
    """Turn what reading `path` raises into a UserError."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path} is missing: complete the folder, or take the files anew") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None


def read_bytes(path: Path) -> bytes:
    """The content of a file that must be there."""
    with must_be_readable(path):
        return read_within(path, LARGEST_FILE)


def load_npy(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """A numeric npy file as a finite float32 array of the given shape.

    Raises:
        UserError: the file is missing, truncated, holds objects, another shape or values that are not finite.
    """
    content = read_bytes(path)
    try:
        array = bounded.load_npy(content)
    except ValueError as error:
        raise UserError(f"{path} is truncated or no npy file ({_reason(error)}); take it anew") from None
    if array.dtype.kind not in "fiu":
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
        with opened(content, ("PNG", "JPEG")) as image:
            mode, pixels = image.mode, np.asarray(image)
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path} is truncated or no image ({_reason(error)}); take it anew") from None
    if mode not in modes:
        raise UserError(f"{path} is an image of mode {mode}, but {' or '.join(modes)} is expected; take it anew")
    return pixels


def load_mat(path: Path, variable: str) -> np.ndarray:
    """A variable of a MATLAB file of version 5.

    Raises:
        UserError: the file is missing, of version 7.3, damaged, or lacks the variable.
    """
    content = read_bytes(path)
    try:
        import scipy.io

        require_bounded(content)
        variables = scipy.io.loadmat(io.BytesIO(content), variable_names=[variable])
    except NotImplementedError:
        raise UserError(f"{path} is a MATLAB file of version 7.3, but those published are of version 5; take it anew") from None
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path} is truncated or no MATLAB file ({_reason(error)}); take it anew") from None
    if variable not in variables:
        raise UserError(f"{path} holds no variable '{variable}'; take it anew")
    return variables[variable]


def check_range(path: Path, array: np.ndarray, low: float, high: float, what: str) -> None:
    """Refuse a file with a value outside [low, high]."""
    outside = (array < low) | (array > high)
    if outside.any():
        where = _first(outside)
        raise UserError(f"{path}: {what} {array[where]:g} at {where} is outside {low:g}..{high:g}; take the file anew")


def _first(mask: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(mask)[0])


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]
