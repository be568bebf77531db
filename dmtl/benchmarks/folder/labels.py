"""Files of a user's own -> images and labels as the kinds of tasks take them; whatever does not fit is one line."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dmtl.benchmarks.shared.readers import read_bytes
from dmtl.config.own import TaskFiles
from dmtl.errors import UserError
from dmtl.pictures.read import read_image
from dmtl.reading.bounded import NUMBERS, load_npy
from dmtl.reading.images import TooManyPixels, opened
from dmtl.tasks import IGNORE, Task

NO_NORMAL = 128  # of 8 bits, in all three channels
LONGEST_NORMAL, SHORTEST_NORMAL = 1.01, 0.5
MOST_COUNTED = 1 << 16  # numbers below it are looked up, which is faster than to search for them
WHOLE = {"1": 1, "L": 8, "P": 8, "I;16": 16, "I;16L": 16, "I;16B": 16, "I": 32, "RGB": 8}  # Pillow's modes and their bits


def read_photo(path: Path) -> np.ndarray:
    """An image as `(H, W, 3)` uint8 RGB, from a picture, or from an npy of whole numbers 0 to 255 or of values 0 to 1.

    Raises:
        UserError: it is missing, damaged, too large, or of other values.
    """
    if path.suffix.lower() != ".npy":
        return read_image(path)
    array = _npy(path)
    if array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"{path} has shape {array.shape}, but an image is (height, width, 3)")
    if array.dtype == np.uint8:
        return array
    if array.dtype.kind != "f" or not (np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1):
        raise UserError(f"{path} holds no image: give whole numbers 0 to 255 (uint8), or values 0 to 1")
    return np.round(array.astype(np.float32) * 255).astype(np.uint8)


def read_label(path: Path, task: Task, files: TaskFiles, size: tuple[int, int]) -> np.ndarray:
    """The label of an image of `size` (height, width), typed as the task's kind says.

    Raises:
        UserError: the file is missing, damaged or of another size, or holds what benchmark.yaml does not tell of.
    """
    array = stored_label(path)
    if array.shape[:2] != size:
        raise UserError(
            f"{path} is {array.shape[0]}x{array.shape[1]} pixels (height x width), its image {size[0]}x{size[1]}: "
            "bring them to one size"
        )
    if task.kind.name in READERS:
        return READERS[task.kind.name](path, array, task, files)
    return _numbers(path, array, task, files)


def stored_label(path: Path) -> np.ndarray:
    """What a label file holds, `(H, W)` or `(H, W, C)`.

    Raises:
        UserError: it is missing, damaged, too large, or a picture of another kind than labels are stored in.
    """
    return _npy(path) if path.suffix.lower() == ".npy" else _png(path)


def extras(labels: Mapping[str, np.ndarray], tasks: Sequence[Task], size: tuple[int, int]) -> dict[str, np.ndarray]:
    """What metrics need beyond the labels: of a boundary task the regions that its lines part, `(H, W)` uint16."""
    boundary = next((task for task in tasks if task.kind.name == "boundary"), None)
    if boundary is None:
        return {}
    label = labels.get(boundary.name)
    return {"label_map": np.zeros(size, np.uint16) if label is None else regions(label)}


def regions(boundary: np.ndarray) -> np.ndarray:
    """The connected regions of pixels without a boundary, each grown over its half of the lines: `(H, W)` uint16."""
    from skimage.measure import label
    from skimage.segmentation import expand_labels

    numbers = label(boundary != 1, connectivity=1)
    return expand_labels(numbers, distance=max(boundary.shape)).clip(0, np.iinfo(np.uint16).max).astype(np.uint16)


def _numbers(path: Path, array: np.ndarray, task: Task, files: TaskFiles) -> np.ndarray:
    """A label of whole numbers as uint8 classes, 255 = ignored."""
    numbers = _whole(path, array)
    names: list[object] = list(task.classes) or [0, 1]
    listed = {number: names.index(label) for number, label in files.labels.items()} or dict(enumerate(range(len(names))))
    table = listed | dict.fromkeys(files.ignore, IGNORE)
    values, counts = occurring(numbers)
    unknown = [int(value) for value in values if int(value) not in table]
    if unknown:
        share = 100 * counts[np.isin(values, unknown)].sum() / numbers.size
        listed_ = ", ".join(map(str, unknown[:8])) + (" ..." if len(unknown) > 8 else "")
        raise UserError(
            f"{path} holds {listed_} ({share:.2g} % of its pixels), which benchmark.yaml does not tell of: give "
            f"{'them' if len(unknown) > 1 else 'it'} a class in labels, or name {'them' if len(unknown) > 1 else 'it'} in ignore"
        )
    codes = np.array([table[int(value)] for value in values], np.uint8)
    if values[0] >= 0 and values[-1] < MOST_COUNTED:
        by_number = np.zeros(values[-1] + 1, np.uint8)
        by_number[values] = codes
        return by_number.take(numbers)
    return codes.take(np.searchsorted(values, numbers))


def occurring(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The numbers that occur, in order, and how often; those of 8 and 16 bits are counted, others sorted, which is slow."""
    if numbers.dtype in (np.uint8, np.uint16):
        counts = np.bincount(numbers.ravel())
        values = np.flatnonzero(counts)
        return values, counts[values]
    return np.unique(numbers, return_counts=True)


def _depth(path: Path, array: np.ndarray, task: Task, files: TaskFiles) -> np.ndarray:
    """`(H, W)` float32, 0 where there is none."""
    values = _values(path, _flat(path, array), task, files)
    values = np.where(np.isnan(values), np.float32(0), values)
    if values.min() < 0:
        raise UserError(f"{path}: depth {values.min():g} is negative: set 'scale', 'invalid' or 'range' of {task.name}")
    return values


def _regression(path: Path, array: np.ndarray, task: Task, files: TaskFiles) -> np.ndarray:
    """`(H, W)` or `(H, W, C)` float32, NaN where there is none."""
    channels = array.shape[2] if array.ndim == 3 else 1
    if channels != task.channels:
        raise UserError(f"{path} has {channels} channels, but {task.name} has {task.channels}: see 'channels' in benchmark.yaml")
    return _values(path, _flat(path, array) if channels == 1 else array, task, files)


def _normals(path: Path, array: np.ndarray, task: Task, files: TaskFiles) -> np.ndarray:
    """`(H, W, 3)` float32 unit vectors, 0 where there is none."""
    if array.ndim != 3 or array.shape[2] != 3:
        raise UserError(f"{path} has shape {array.shape}, but normals are (height, width, 3)")
    if array.dtype == np.uint8:
        vectors = array.astype(np.float32) * np.float32(2 / 255) - 1
        vectors /= np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-6))
        vectors[(array == NO_NORMAL).all(-1)] = 0
    elif array.dtype.kind == "f":
        vectors = np.nan_to_num(array.astype(np.float32), nan=0.0)
    else:
        raise UserError(f"{path}: normals are stored as 8-bit RGB or as floats, not as {array.dtype}")
    lengths = np.linalg.norm(vectors, axis=-1)
    wrong = (lengths > LONGEST_NORMAL) | ((lengths > 0) & (lengths < SHORTEST_NORMAL))
    if wrong.any():
        raise UserError(f"{path}: a normal has length {lengths[wrong][0]:.3g}, but they are unit vectors, or 0 for none")
    return vectors if files.signs == (1, 1, 1) else vectors * np.array(files.signs, np.float32)


READERS = {"depth": _depth, "normals": _normals, "regression": _regression}  # the others hold numbers of classes


def _values(path: Path, array: np.ndarray, task: Task, files: TaskFiles) -> np.ndarray:
    """Stored numbers as float32 values, NaN where there is none."""
    if array.dtype.kind != "f" and files.scale is None:
        raise UserError(
            f"{path} holds whole numbers up to {array.max()}: say what one is, 'scale' of {task.name} in benchmark.yaml"
            f" (0.001 where millimetres are to be metres)"
        )
    stored = array.astype(np.float32)
    none = ~np.isfinite(stored) if array.dtype.kind == "f" else np.zeros(stored.shape, bool)
    for value in files.invalid:
        none |= stored == np.float32(value)
    values = (
        stored if files.scale is None and not files.offset else stored * np.float32(files.scale or 1) + np.float32(files.offset)
    )
    if files.range is not None:
        none |= (values < files.range[0]) | (values > files.range[1])
    values = np.where(none.any(axis=-1, keepdims=True) if none.ndim == 3 else none, np.float32(np.nan), values)
    largest = np.fmax.reduce(np.abs(values), axis=None, initial=0)  # which passes over NaN
    if largest >= IGNORE:
        raise UserError(f"{path}: value {largest:g}, but values stay below {IGNORE}: set a 'scale' of {task.name}, or a 'range'")
    return values


def _flat(path: Path, array: np.ndarray) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        return array[..., 0]
    if array.ndim != 2:
        raise UserError(f"{path} has shape {array.shape}, but one value a pixel is expected, (height, width)")
    return array


def _whole(path: Path, array: np.ndarray) -> np.ndarray:
    array = _flat(path, array)
    if array.dtype.kind == "f":
        if not (np.isfinite(array).all() and (array == np.round(array)).all()):
            raise UserError(f"{path} holds values that are no whole numbers: store the number of each pixel's class")
        array = array.astype(np.int64)
    return array


def _npy(path: Path) -> np.ndarray:
    """A numeric npy file; its header says how large it is before anything is read."""
    try:
        array = load_npy(read_bytes(path))
    except ValueError as error:
        raise UserError(f"{path} is truncated or no npy file ({' '.join(str(error).split())[:120]})") from None
    if array.dtype.kind not in NUMBERS or array.ndim not in (2, 3) or not array.size:
        raise UserError(
            f"{path} holds {array.dtype} of shape {array.shape}, but numbers (height, width[, channels]) are expected"
        )
    return array


def _png(path: Path) -> np.ndarray:
    content = read_bytes(path)
    try:
        with opened(content, ("PNG",)) as image:
            mode, pixels = image.mode, np.asarray(image)
    except TooManyPixels as error:
        raise UserError(f"{path}: {error}") from None
    except Exception as error:  # a damaged file can raise nearly anything
        raise UserError(f"{path} is truncated or no PNG ({' '.join(str(error).split())[:120]})") from None
    if mode not in WHOLE:
        raise UserError(
            f"{path} is a PNG of mode {mode}, but labels are grey, palette or RGB without transparency: store plain numbers"
        )
    return pixels.astype(np.uint8) if mode == "1" else pixels
