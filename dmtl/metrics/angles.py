"""Angular errors of surface normals, pooled over the pixels of the data set (docs/metrics.md, "mErr")."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmtl.metrics.metric import Metric, Scores, divided
from dmtl.tasks import IGNORE

if TYPE_CHECKING:
    from torch import Tensor

PIECE = 2**16  # pixels at a time: in float64 they and what is made of them stay in the processor's cache
WITHIN = (11.25, 22.5, 30.0)  # degrees
EDGES = np.concatenate([np.arange(180) / 4, np.arange(18, 73) * 2.5])  # of the histogram: 0.25 degrees wide up to 45, then 2.5


def angles(prediction: "Tensor", label: "Tensor") -> "Tensor":
    """Angles in degrees, [0, 180], between vectors of any length `(3, ...)`; 90 where one of them is zero. Float64.

    The arc tangent of |p x g| / p.g, which is 2 atan2(|p - g|, |p + g|) of the unit vectors and as exact near 0 and 180.
    """
    (px, py, pz), (gx, gy, gz) = prediction.double(), label.double()
    x = (py * gz).addcmul_(pz, gy, value=-1)  # in place: passes over memory are what this costs
    y = (pz * gx).addcmul_(px, gz, value=-1)
    z = (px * gy).addcmul_(py, gx, value=-1)
    sine = x.square_().addcmul_(y, y).addcmul_(z, z).sqrt_()
    cosine = (px * gx).addcmul_(py, gy).addcmul_(pz, gz)
    return sine.clamp_(min=1e-300).atan2_(cosine).rad2deg_()  # the least sine makes 90 of two zeros


class AngularErrors(Metric):
    """`mean_error`, `median_error` (degrees) and the share of pixels (%) whose error is below 11.25, 22.5 and 30 degrees.

    The median is that of a histogram, interpolated linearly in its bin of 0.25 degrees (2.5 above 45), so at most a bin off the
    exact one and on smooth distributions some thousandths. A pixel is out when any channel of its label is 255.
    Statistics, float64: sum of the angles; pixels in each bin.
    """

    measures: ClassVar = {
        "mean_error": ("degrees", True),
        "median_error": ("degrees", True),
        **{f"within_{t:g}": ("%", False) for t in WITHIN},
    }

    @property
    def width(self) -> int:
        return len(EDGES)

    def scores(self, totals: np.ndarray) -> Scores:
        reached = np.concatenate([np.zeros_like(totals[..., :1]), totals[..., 1:].cumsum(-1)], axis=-1)  # (..., edges)
        pixels = reached[..., -1]
        shares = {f"within_{t:g}": 100 * divided(reached[..., list(EDGES).index(t)], pixels) for t in WITHIN}
        return {"mean_error": divided(totals[..., 0], pixels), "median_error": _median(reached), **shares}

    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        pieces = zip(decoded.flatten(1).split(PIECE, 1), label.flatten(1).split(PIECE, 1), strict=True)
        return np.sum([_count_pixels(p, g) for p, g in pieces], axis=0)


def _count_pixels(prediction: "Tensor", label: "Tensor") -> np.ndarray:
    """Statistics of `(3, pixels)`."""
    valid = (label[0] != IGNORE) & (label[1] != IGNORE) & (label[2] != IGNORE)
    error = angles(prediction, label).where(valid, 0)
    counts = (error * 4).int().bincount(minlength=721).cpu().numpy()  # of 0.25 degrees; the last is 180 itself
    counts[0] -= len(valid) - int(valid.sum())
    counts[-2] += counts[-1]
    return np.concatenate([[float(error.sum())], np.add.reduceat(counts[:-1], (4 * EDGES[:-1]).astype(int))])


def _median(reached: np.ndarray) -> np.ndarray:
    """From the number of pixels below each edge `(..., edges)`; NaN where there is none."""
    half = reached[..., -1:] / 2
    upper = (reached < half).sum(-1, keepdims=True).clip(1)  # the first edge that half of the pixels lie below
    below, above = (np.take_along_axis(reached, edge, -1) for edge in (upper - 1, upper))
    median = EDGES[upper - 1] + (EDGES[upper] - EDGES[upper - 1]) * divided(half - below, above - below, empty=0)
    return np.where(half > 0, median, np.nan)[..., 0]
