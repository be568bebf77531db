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
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmtl.errors import UserError
from dmtl.metrics.boundary_maps import THRESHOLDS, boundary_from_labels, plane_totals, suppress, threshold_planes
from dmtl.metrics.metric import Metric, Scores, divided
from dmtl.tasks.shared.arrays import eight_bits

if TYPE_CHECKING:
    from torch import Tensor

MAX_DIST = 0.0075
"""Matching distance as a fraction of the image diagonal (docs/metrics.md, "odsF")."""

UNCOUNTED = np.zeros(2 * len(THRESHOLDS) + 4, np.int64)
"""The statistics of an image that the evaluation's list leaves out."""


@dataclass(frozen=True, eq=False)
class BoundaryCounts:
    """What one image adds to the metric: pixels paired and predicted at each of the 101 thresholds (int64), and true pixels."""

    matched: np.ndarray
    predicted: np.ndarray
    truth: int


def boundary_counts(soft: np.ndarray, label: np.ndarray, max_dist: float = MAX_DIST) -> BoundaryCounts:
    """Compare a soft boundary map with the boundaries of a label map.

    soft: uint8 (H, W), 255 = certain; label: integer (H, W), any values;
    max_dist: the distance within which pixels may be paired, a fraction of the diagonal.

    An empty map, a label map of one region and an image of a single pixel are counted like any other: nothing predicted, nothing
    true. Raises UserError for another type or shape, for sizes that differ, and for a max_dist that is not finite and at least 0.
    """
    from dmtl.metrics.boundary_kernels import match_planes, thin_planes  # numba, only where something is counted

    check_maps(soft, label)
    truth = boundary_from_labels(label)
    radius = _radius(max_dist, truth.shape)
    margin = int(radius) + 1
    planes = threshold_planes(suppress(soft), margin)
    thin_planes(planes)
    matched = match_planes(planes, np.pad(truth, margin), radius, len(THRESHOLDS))
    return BoundaryCounts(matched, plane_totals(planes), int(truth.sum()))


def check_maps(soft: np.ndarray, label: np.ndarray) -> None:
    """Raise the UserError of `boundary_counts` where the types or shapes of the two maps are wrong."""
    if soft.ndim != 2 or soft.size == 0 or soft.dtype != np.uint8:
        raise UserError(f"a boundary map must be uint8 (height, width), not {soft.dtype} {soft.shape}; convert it to 8-bit gray")
    if soft.shape != label.shape:
        raise UserError(f"the boundary map has shape {soft.shape}, its label map {label.shape}; bring both to the image's size")


def _radius(max_dist: float, shape: tuple[int, ...]) -> float:
    """Matching distance in pixels."""
    if not (math.isfinite(max_dist) and max_dist >= 0):
        raise UserError(f"max_dist is {max_dist}; give a fraction of the image diagonal such as {MAX_DIST}")
    return max_dist * math.sqrt(shape[0] ** 2 + shape[1] ** 2)


def statistics(image: BoundaryCounts) -> np.ndarray:
    """What one image adds to the scores: int64 (206,), numbers that add up over images in any order.

    Matched pixels and predicted pixels at each threshold; true pixels; matched and predicted ones at the image's own best
    threshold; 1.
    """
    matched, predicted = image.matched, image.predicted
    best = np.argmax(_f_measure(matched, predicted, image.truth))
    return np.hstack([matched, predicted, image.truth, matched[best], predicted[best], 1])


def map_statistics(soft: np.ndarray, label: np.ndarray) -> np.ndarray:
    """`statistics` of a soft boundary map and a label map, as `boundary_counts` takes them."""
    return statistics(boundary_counts(soft, label))


def summarise(images: Iterable[BoundaryCounts]) -> dict[str, float]:
    """`ods`, `ois`, `ap` in per cent and `threshold`, that of ODS (the lowest of equals). UserError when there is no image."""
    return summary_of(sum((statistics(image) for image in images), UNCOUNTED))


def summary_of(totals: np.ndarray) -> dict[str, float]:
    """`summarise` of sums of `statistics`, int64 (206,)."""
    if not totals[-1]:
        raise UserError("no image to score; give at least one boundary map")
    scores = {name: float(value) for name, value in OdsF().scores(totals).items()}
    matched, predicted = totals[:-4].reshape(2, -1)
    best = np.argmax(_f_measure(matched, predicted, totals[-4]))
    return {"ods": scores["odsf"], "ois": scores["ois"], "ap": scores["ap"], "threshold": float(THRESHOLDS[best])}


class OdsF(Metric):
    """odsF, OIS and AP in % of a network: its prediction is scored as the 8-bit map that papers save; the label is the label map.

    Both must be of the image's own size, without padding. The statistics are `statistics`, or `UNCOUNTED`. Where no image was
    counted the scores are NaN.
    """

    measures: ClassVar = {"odsf": ("%", False), "ois": ("%", False), "ap": ("%", False)}

    @property
    def width(self) -> int:
        return len(UNCOUNTED)

    def scores(self, totals: np.ndarray) -> Scores:
        matched, predicted = totals[..., : len(THRESHOLDS)], totals[..., len(THRESHOLDS) : -4]
        truth, best_matched, best_predicted, images = np.moveaxis(totals[..., -4:], -1, 0)
        precision, recall = _precision_recall(matched, predicted, truth[..., None])
        scores = {
            "odsf": _harmonic_mean(precision, recall).max(-1),
            "ois": _f_measure(best_matched, best_predicted, truth),
            "ap": np.array([_average_precision(p, r) for p, r in zip(_rows(precision), _rows(recall), strict=True)]),
        }
        return {name: np.where(images > 0, 100 * value.reshape(images.shape), np.nan) for name, value in scores.items()}

    def _count(self, decoded: "Tensor", label: "Tensor | np.ndarray") -> np.ndarray:
        return map_statistics(eight_bits(decoded.cpu().numpy()), np.asarray(label))


def _rows(values: np.ndarray) -> np.ndarray:
    return values.reshape(-1, values.shape[-1])


def _precision_recall(matched: np.ndarray, predicted: np.ndarray, truth: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    nothing_true = np.equal(truth, 0)
    precision = np.where(nothing_true, 0.0, divided(matched, predicted, empty=1))
    return precision, np.where(nothing_true, 1.0, matched / np.maximum(truth, 1))


def _f_measure(matched: np.ndarray, predicted: np.ndarray, truth: np.ndarray | int) -> np.ndarray:
    return _harmonic_mean(*_precision_recall(matched, predicted, truth))


def _harmonic_mean(precision: np.ndarray, recall: np.ndarray) -> np.ndarray:
    return divided(2 * precision * recall, precision + recall, empty=0)


def _average_precision(precision: np.ndarray, recall: np.ndarray) -> float:
    recalls, first = np.unique(recall, return_index=True)
    if len(recalls) < 2:
        return 0.0
    return float(np.interp(np.arange(101) / 100, recalls, precision[first], left=0, right=0).sum() * 0.01)
