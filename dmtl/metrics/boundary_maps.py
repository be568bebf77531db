"""From a soft boundary map to binary boundaries (suppression, 101 thresholds), and from a label map to its boundaries.

The steps are those of the evaluation that boundary papers report: structured-edge non-maximum suppression, strict thresholds,
thinning; in float64, so that results do not hang on single-precision rounding.
"""

import numpy as np

from dmtl.errors import UserError

THRESHOLDS = np.concatenate([[0.001], np.arange(1, 100) / 100, [0.999]])
"""The 101 thresholds, on a map scaled to [0, 1]: 0.001, 0.01, 0.02, ..., 0.99, 0.999."""

_TRIANGLE = np.array([1, 2, 3, 4, 5, 4, 3, 2, 1]) / 25
_DAMPED = 5


def suppress(soft: np.ndarray) -> np.ndarray:
    """Non-maximum suppression of a boundary map, and damping towards the border of the image.

    A pixel is zeroed when, on either side, the map one pixel away across the boundary is more than 1 % stronger.

    soft: uint8 (H, W). Returns float64 (H, W) in [0, 1].
    """
    strength = soft / 255.0
    y, x = np.nonzero(soft)
    angle = _orientation(strength, y, x)
    step_x, step_y = np.cos(angle), np.sin(angle)
    here = 1.01 * strength[y, x]
    weaker = (here < _sample(strength, x + step_x, y + step_y)) | (here < _sample(strength, x - step_x, y - step_y))
    kept = strength.copy()
    kept[y[weaker], x[weaker]] = 0
    _damp_border(kept)
    return kept


def _orientation(strength: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Direction across the boundary at pixels (y, x), in [0, pi): from the second derivatives of the smoothed map (H, W).

    On straight boundaries the mixed derivative is zero but for rounding, and its sign decides. So the order of these operations
    (columns first, weights divided beforehand, d/dx of the y-slope) is part of the metric: another one moves counts by a dozen.
    """
    from scipy.ndimage import correlate1d

    smooth = correlate1d(strength, _TRIANGLE, axis=0, mode="reflect")
    smooth = correlate1d(smooth, _TRIANGLE, axis=1, mode="reflect")
    slope_x, slope_y = _derivative(smooth, axis=1), _derivative(smooth, axis=0)
    xx, xy, yy = (d[y, x] for d in (_derivative(slope_x, axis=1), _derivative(slope_y, axis=1), _derivative(slope_y, axis=0)))
    return np.mod(np.arctan(yy * np.sign(-xy) / (xx + 1e-5)), np.pi)


def _derivative(values: np.ndarray, axis: int) -> np.ndarray:
    """Central differences, one-sided at the border; zero along an axis of one pixel."""
    return np.gradient(values, axis=axis) if values.shape[axis] > 1 else np.zeros_like(values)


def _sample(values: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples of values (H, W) at real coordinates, x held in [0, W - 1.001] and y in [0, H - 1.001]."""
    height, width = values.shape
    x, y = np.clip(x, 0, max(width - 1.001, 0)), np.clip(y, 0, max(height - 1.001, 0))
    left, top = x.astype(np.intp), y.astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = x - left, y - top
    upper = values[top, left] * (1 - a) * (1 - b) + values[top, right] * a * (1 - b)
    return upper + values[bottom, left] * (1 - a) * b + values[bottom, right] * a * b


def _damp_border(strength: np.ndarray) -> None:
    """Multiply the i-th row and column from each border by i / 5, i < 5, in place; n for 5 where a side has only 2 n pixels."""
    lines = min(_DAMPED, *(side // 2 for side in strength.shape))
    for i in range(lines):
        for line in (strength[:, i], strength[:, -1 - i], strength[i], strength[-1 - i]):
            line *= i / lines


def threshold_planes(strength: np.ndarray, margin: int) -> np.ndarray:
    """The 101 binary maps `strength > threshold`, one bit each.

    strength: float64 (H, W); margin: rows and columns of empty pixels added on every side.
    Returns uint64 (H + 2 margin, W + 2 margin, 2): threshold k is bit k % 64 of word k // 64.
    """
    passed = np.searchsorted(THRESHOLDS, strength, side="left")
    bits = np.tri(len(THRESHOLDS) + 1, 128, k=-1, dtype=bool)
    words = np.packbits(bits, axis=1, bitorder="little").view("<u8").astype(np.uint64)
    return words[np.pad(passed, margin)]


def plane_totals(planes: np.ndarray) -> np.ndarray:
    """Number of pixels set in each of the 101 planes of `threshold_planes`: int64 (101,)."""
    occupied = planes[planes.any(axis=2)].astype("<u8").view(np.uint8)
    bits = np.unpackbits(occupied, axis=1, count=len(THRESHOLDS), bitorder="little")
    return bits.sum(axis=0, dtype=np.int64)


def boundary_from_labels(label: np.ndarray) -> np.ndarray:
    """True boundary: pixels whose label differs from the right, the lower or the lower-right neighbour, thinned to convergence.

    label: integer or bool (H, W). Returns bool (H, W). The last row compares to the right only and the last column downwards
    only, so an image of a single pixel has no boundary. Raises UserError for another type or shape.
    """
    from dmtl.metrics.boundary_kernels import thin_planes

    if label.ndim != 2 or label.size == 0 or label.dtype.kind not in "biu":
        raise UserError(f"a label map must be integer (height, width), not {label.dtype} {label.shape}; give one id a pixel")
    edge = np.zeros(label.shape, bool)
    edge[:, :-1] |= label[:, :-1] != label[:, 1:]
    edge[:-1] |= label[:-1] != label[1:]
    edge[:-1, :-1] |= label[:-1, :-1] != label[1:, 1:]
    planes = np.pad(edge, 1).astype(np.uint64)[..., None]
    thin_planes(planes)
    return planes[1:-1, 1:-1, 0] != 0
