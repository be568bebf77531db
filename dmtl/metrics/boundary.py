"""Boundary odsF: how well a soft boundary map finds the boundaries of a label map (with OIS and AP), without MATLAB.

Per image, `boundary_counts` suppresses non-maxima, binarises at 101 thresholds, thins, and counts how many predicted pixels can
be paired one to one with true boundary pixels within `max_dist` of the image diagonal. Summed over images, divided once:

    recall R = matched / true pixels, precision P = matched / predicted pixels, F = 2 P R / (P + R), 0 where both are 0
    (R = 1, P = 0 where nothing is true; otherwise R = 0, P = 1 where nothing is predicted)

- ODS: the best F over the thresholds, from the counts of all images.
- OIS: F of the counts added over images, each taken at its own best threshold (the lowest of equals).
- AP: the area under the pooled precision-recall curve as the BSDS tool computes it: precision interpolated linearly at recalls
  0, 0.01, ..., 1, zero beyond the recalls that occur, summed, times 0.01. Of thresholds with equal recall the lowest counts.
  The 101 terms can reach 101 %, and where only one recall occurs, as for a map of two values, AP is 0.

The number of pairs is that of a maximum matching. The BSDS code minimises a cost whose optimum has just that many, over a
randomised graph that can lose a few, so its counts lie up to about 1 % below these.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from dmtl.errors import UserError
from dmtl.metrics.boundary_kernels import match_planes, thin_planes
from dmtl.metrics.boundary_maps import THRESHOLDS, boundary_from_labels, plane_totals, suppress, threshold_planes

MAX_DIST = 0.0075
"""Matching distance as a fraction of the image diagonal: 0.0075 for PASCAL and BSDS; NYUD is reported with 0.011."""


@dataclass(frozen=True, eq=False)
class BoundaryCounts:
    """What one image adds to the metric: pixels paired and predicted at each of the 101 thresholds (int64), and true pixels."""

    matched: np.ndarray
    predicted: np.ndarray
    truth: int


def boundary_counts(soft: np.ndarray, label: np.ndarray, max_dist: float = MAX_DIST) -> BoundaryCounts:
    """Compare a soft boundary map with the boundaries of a label map.

    soft: uint8 (H, W), 255 = certain (`quantise` makes it from probabilities); label: integer (H, W), any values;
    max_dist: the distance within which pixels may be paired, a fraction of the diagonal.

    An empty map, a label map of one region and an image of a single pixel are counted like any other: nothing predicted, nothing
    true. Raises UserError for another type or shape, for sizes that differ, and for a max_dist that is not finite and at least 0.
    """
    _check_soft(soft)
    if soft.shape != label.shape:
        raise UserError(f"the boundary map has shape {soft.shape}, its label map {label.shape}; bring both to the image's size")
    truth = boundary_from_labels(label)
    radius = _radius(max_dist, truth.shape)
    margin = int(radius) + 1
    planes = threshold_planes(suppress(soft), margin)
    thin_planes(planes)
    matched = match_planes(planes, np.pad(truth, margin), radius, len(THRESHOLDS))
    return BoundaryCounts(matched, plane_totals(planes), int(truth.sum()))


def quantise(probability: np.ndarray) -> np.ndarray:
    """8-bit map of boundary probabilities, 255 p truncated, as predictions are saved for the evaluation.

    probability: float (H, W) in [0, 1]. Returns uint8 (H, W). Raises UserError for NaN and for values outside [0, 1].
    """
    if not np.all((probability >= 0) & (probability <= 1)):
        raise UserError("boundary probabilities hold NaN or values outside [0, 1]; apply the sigmoid, check the model")
    return (255 * probability).astype(np.uint8)


def _check_soft(soft: np.ndarray) -> None:
    if soft.ndim != 2 or soft.size == 0 or soft.dtype != np.uint8:
        raise UserError(f"a boundary map must be uint8 (height, width), not {soft.dtype} {soft.shape}; convert it to 8-bit gray")


def _radius(max_dist: float, shape: tuple[int, ...]) -> float:
    """Matching distance in pixels."""
    if not (math.isfinite(max_dist) and max_dist >= 0):
        raise UserError(f"max_dist is {max_dist}; give a fraction of the image diagonal such as {MAX_DIST}")
    return max_dist * math.sqrt(shape[0] ** 2 + shape[1] ** 2)


class BoundaryScore:
    """Sums over images, all integers, so that any order and any split into parts gives the same score to the last digit.

    `counts`, int64 (206,): matched and predicted pixels at each threshold, true pixels, matched and predicted pixels with each
    image at its own best threshold, images. Two scores merge by adding theirs.
    """

    def __init__(self) -> None:
        self.counts = np.zeros(2 * len(THRESHOLDS) + 4, np.int64)

    def update(self, image: BoundaryCounts) -> None:
        """Add one image."""
        matched, predicted = image.matched, image.predicted
        best = np.argmax(_f_measure(matched, predicted, image.truth))
        self.counts = self.counts + np.hstack([matched, predicted, image.truth, matched[best], predicted[best], 1])

    def merge(self, other: "BoundaryScore") -> None:
        """Add what another score has seen."""
        self.counts = self.counts + other.counts

    def compute(self) -> dict[str, float]:
        """`ods`, `ois`, `ap` in per cent and `threshold`, that of ODS (the lowest of equals). UserError when no image."""
        (matched, predicted), rest = self.counts[:-4].reshape(2, -1), self.counts[-4:]
        truth, best_matched, best_predicted, images = rest
        if not images:
            raise UserError("no image to score; give at least one boundary map")
        f_measure = _f_measure(matched, predicted, truth)
        best = np.argmax(f_measure)
        return {
            "ods": 100 * float(f_measure[best]),
            "ois": 100 * float(_f_measure(best_matched, best_predicted, truth)),
            "ap": 100 * _average_precision(*_precision_recall(matched, predicted, truth)),
            "threshold": float(THRESHOLDS[best]),
        }

    @property
    def images(self) -> int:
        """Number of images seen."""
        return int(self.counts[-1])


def summarise(images: Iterable[BoundaryCounts]) -> dict[str, float]:
    """ODS, OIS and AP in per cent and the threshold of ODS, of many images. Raises UserError when there is none."""
    score = BoundaryScore()
    for image in images:
        score.update(image)
    return score.compute()


def _precision_recall(matched: np.ndarray, predicted: np.ndarray, truth: int) -> tuple[np.ndarray, np.ndarray]:
    if truth == 0:
        return np.zeros_like(matched, float), np.ones_like(matched, float)
    return np.where(predicted > 0, matched / np.maximum(predicted, 1), 1.0), matched / truth


def _f_measure(matched: np.ndarray, predicted: np.ndarray, truth: int) -> np.ndarray:
    precision, recall = _precision_recall(matched, predicted, truth)
    total = precision + recall
    return 2 * precision * recall / np.where(total > 0, total, 1)


def _average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    recalls, first = np.unique(recall, return_index=True)
    if len(recalls) < 2:
        return 0.0
    return float(np.interp(np.arange(101) / 100, recalls, precision[first], left=0, right=0).sum() * 0.01)
