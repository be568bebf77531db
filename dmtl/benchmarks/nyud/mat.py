"""The primary source of NYUD-v2: `nyu_depth_v2_labeled.mat` (v7.3, so HDF5) with 1449 frames at 480x640, and beside it

    splits.mat           trainNdxs, testNdxs: the official split, 795 and 654 frame numbers from 1 on
    classMapping40.mat   mapClass: of each of the 894 classes the one of 40; both from ankurhanda/nyuv2-meta-data

A frame is cropped to where the projected depth map is valid (the official toolbox's rectangle) and brought to the wanted size.
MTAN's files were made likewise, but by code that is lost: its rectangle, its interpolation and the order of its k are unknown.
Normals are computed from depth, as those that MTAN used (Eigen and Fergus) cannot be downloaded.
"""

from pathlib import Path

import h5py
import numpy as np

from dmtl.benchmarks.shared.readers import check_range, load_mat
from dmtl.benchmarks.shared.sample import Sample, resized_photo
from dmtl.errors import UserError
from dmtl.reading.hdf5 import dataset
from dmtl.tasks import IGNORE
from dmtl.tasks.shared.arrays import nearest_pixels

FILES = (LABELED, SPLITS, CLASSES40) = ("nyu_depth_v2_labeled.mat", "splits.mat", "classMapping40.mat")
ROWS, COLUMNS = slice(44, 471), slice(40, 601)  # of 480 and 640 pixels: where the projected depth map is valid
INTRINSICS = (518.8579, 519.4696, 325.5824, 253.7362)  # fx, fy, cx, cy of the RGB camera at 480x640, pixels
# Of each of the 40 classes the one of 13, in the order of `files.CLASSES`, from 1 on (docs/data.md).
THIRTEEN = (
    12, 5, 6, 1, 4, 9, 10, 12, 13, 6, 8, 6, 13, 10, 6, 13, 6, 7, 7, 5,
    7, 3, 2, 6, 11, 7, 7, 7, 7, 7, 7, 6, 7, 7, 7, 7, 7, 7, 6, 7,
)  # fmt: skip
# Shape of a frame, its axes reversed, and types that its numbers may have.
FRAMES: dict[str, tuple[tuple[int, ...], tuple[str, ...]]] = {
    "images": ((3, 640, 480), ("uint8",)),
    "depths": ((640, 480), ("float32", "float64")),
    "labels": ((640, 480), ("uint8", "uint16")),
}
SMOOTHING = 3.0  # pixels: standard deviation of the blur of the depth map before its slope is taken


def is_there(root: Path) -> bool:
    """Whether the folder holds the primary source."""
    return (root / LABELED).is_file()


def frames(root: Path, split: str) -> list[str]:
    """The frames of a split, "nyu0001" to "nyu1449", in order.

    Raises:
        UserError: `splits.mat` is missing, damaged, or names a frame twice or one that is not there.
    """
    variables = {name: _small(root / SPLITS, name).ravel().astype(int) for name in ("trainNdxs", "testNdxs")}
    both, (count, _) = np.concatenate(list(variables.values())), _labeled(root, "images", 0)
    if len(np.unique(both)) != len(both) or both.min() < 1 or both.max() > count:
        raise UserError(f"{root / SPLITS} names a frame twice, or one outside 1 to {count}: take it anew")
    return [f"nyu{number:04d}" for number in sorted(variables["trainNdxs" if split == "train" else "testNdxs"])]


def read(root: Path, frame: str, size: tuple[int, int]) -> Sample:
    """One frame with its labels, cropped and brought to `size`.

    Raises:
        UserError: a file is missing, damaged, of another kind or out of range.
    """
    k, path = int(frame.removeprefix("nyu")) - 1, root / LABELED
    image, depth, label = (_labeled(root, name, k)[1].T for name in ("images", "depths", "labels"))  # MATLAB's order is reversed
    if image.shape != (480, 640, 3) or depth.shape != (480, 640) or label.shape != (480, 640):
        raise UserError(f"{path}: frame {k + 1} is not of 480x640 pixels: take the file anew")
    if not np.isfinite(depth).all():
        raise UserError(f"{path}: the depth of frame {k + 1} holds NaN or infinity: take the file anew")
    check_range(path, depth, 0, IGNORE - 1, "depth")
    depth = nearest_pixels(depth[ROWS, COLUMNS].astype(np.float32), size)
    labels = {
        "semseg": nearest_pixels(_thirteen(root)[_in_range(path, label, k)][ROWS, COLUMNS], size),
        "depth": depth,
        "normals": normals_from_depth(depth, cropped_intrinsics(size)),
    }
    return Sample(resized_photo(np.ascontiguousarray(image[ROWS, COLUMNS]), size), labels)


def cropped_intrinsics(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """fx, fy, cx, cy in pixels of the cropped frame at `size` (height, width)."""
    (fx, fy, cx, cy), height, width = INTRINSICS, ROWS.stop - ROWS.start, COLUMNS.stop - COLUMNS.start
    y, x = size[0] / height, size[1] / width
    return fx * x, fy * y, (cx + 0.5 - COLUMNS.start) * x - 0.5, (cy + 0.5 - ROWS.start) * y - 0.5


def normals_from_depth(depth: np.ndarray, intrinsics: tuple[float, float, float, float]) -> np.ndarray:
    """Unit normals `(H, W, 3)` toward the camera of a metric depth map `(H, W)`; (0, 0, 0) where the depth is 0.

    The cross product of the two slopes of the back-projected points, after a blur that leaves invalid pixels out.
    """
    fx, fy, cx, cy = intrinsics
    valid = depth > 0
    from scipy.ndimage import gaussian_filter  # where raw files are read alone: whoever only names a benchmark needs none

    weight = gaussian_filter(valid.astype(np.float64), SMOOTHING)
    smooth = gaussian_filter(depth.astype(np.float64), SMOOTHING) / np.maximum(weight, 1e-9)
    v, u = np.mgrid[: depth.shape[0], : depth.shape[1]]
    points = np.stack([(u - cx) / fx * smooth, (v - cy) / fy * smooth, smooth], axis=-1)
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    length = np.linalg.norm(normal, axis=-1, keepdims=True)
    normal *= np.where((normal * points).sum(-1, keepdims=True) > 0, -1, 1) / np.maximum(length, 1e-12)
    normal[~valid | (length[..., 0] < 1e-12)] = 0
    return normal.astype(np.float32)


def _in_range(path: Path, label: np.ndarray, k: int) -> np.ndarray:
    if label.max() > 894:
        raise UserError(f"{path}: class {label.max()} in frame {k + 1} is outside 0 to 894: take the file anew")
    return label


def _thirteen(root: Path) -> np.ndarray:
    """Of each of the 894 classes, and 0 = unlabelled before them, the one of 13, from 0 on; 255 = unlabelled."""
    forty = _small(root / CLASSES40, "mapClass").ravel()
    if len(forty) != 894 or forty.min() < 1 or forty.max() > 40:
        raise UserError(f"{root / CLASSES40}: mapClass must give 894 classes one of 1 to 40 each: take the file anew")
    return np.concatenate([[IGNORE], np.array(THIRTEEN)[forty.astype(int) - 1] - 1]).astype(np.uint8)


def _labeled(root: Path, variable: str, k: int) -> tuple[int, np.ndarray]:
    """How many frames a variable of the large file holds, and frame `k` of it, its axes reversed."""
    path = root / LABELED
    try:
        with h5py.File(path, "r", locking=False) as file:
            data = dataset(file, variable)
            shape, types = FRAMES[variable]
            if data.shape[1:] != shape or data.dtype not in types or not len(data):
                held = f"'{variable}' is of type {data.dtype} and shape {data.shape}"
                raise UserError(f"{path}: frame {k + 1} is not of 480x640 pixels ({held}): take the file anew")
            return len(data), data[k]
    except FileNotFoundError:
        raise UserError(f"{path} is missing: get it from the NYU Depth Dataset V2 page") from None
    except KeyError:
        raise UserError(f"{path} has no variable '{variable}': is it the labelled data set?") from None
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UserError(f"{path} is truncated or no MATLAB v7.3 file, frame {k + 1} ({reason}): take it anew") from None


def _small(path: Path, variable: str) -> np.ndarray:
    """A numeric variable of one of the two small files."""
    if not path.is_file():
        raise UserError(f"{path} is missing: take it from ankurhanda/nyuv2-meta-data on GitHub")
    numbers = load_mat(path, variable)
    if numbers.dtype.kind not in "uif" or not numbers.size:
        raise UserError(f"{path}: {variable} holds no numbers; take it anew")
    return numbers
