"""maxF of a two-class map, pooled over the data set (docs/metrics.md, "maxF")."""

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from dmtl.metrics.metric import Metric, Scores, divided

if TYPE_CHECKING:
    from torch import Tensor

BETA_SQUARED = 0.3
THRESHOLDS = np.float32(np.arange(1, 20) / 20)
"""0.05, 0.10, ..., 0.95 on the probability of the salient class."""

_TRIED = np.arange(11, 15) / 20  # those of its thresholds that the released tool's second sigmoid leaves with an effect
RELEASED = np.concatenate([[0], np.log(_TRIED / (1 - _TRIED))]).astype(np.float32)
"""The released tool applies a sigmoid to probabilities before it tries the 19 thresholds. Ten of them then mark every pixel, five
none; left are these on the probability: 0 (all), 0.2007, 0.4055, 0.6190, 0.8473."""

ALL = np.concatenate([RELEASED[:1], np.sort(np.concatenate([THRESHOLDS, RELEASED[1:]]))])
COUNT = len(ALL)

_CELLS = 2**16  # of probability, into which pixels are sorted first; a power of two, so that the product below is exact
_NEXT = np.ceil(ALL * _CELLS).astype(int)  # the first cell that lies at or above each threshold
_SPLIT = np.isin(np.arange(_CELLS + 1), _NEXT[_NEXT > ALL * _CELLS] - 1)  # cells with a threshold inside


class MaxF(Metric):
    """`maxf` (%), over 19 thresholds on the probability, and `maxf_released`, over the five that the released tool really tries.

    F = 1.3 P R / (0.3 P + R) of the pixels at or above a threshold; 0 where none of them is salient. Statistics, int64: at each
    of the 24 thresholds the salient pixels marked, at each the pixels marked, and the salient pixels.
    """

    measures: ClassVar = {"maxf": ("%", False), "maxf_released": ("%", False)}

    @property
    def width(self) -> int:
        return 2 * COUNT + 1

    def scores(self, totals: np.ndarray) -> Scores:
        hits, marked, salient = totals[..., :COUNT], totals[..., COUNT:-1], totals[..., -1:]
        # P = hits / marked, R = hits / salient
        f_measure = 100 * (1 + BETA_SQUARED) * divided(hits, BETA_SQUARED * salient + marked, empty=0)
        f_measure = np.where(marked[..., :1] > 0, f_measure, np.nan)  # the first threshold marks every pixel that counts
        return {
            "maxf": f_measure[..., np.isin(ALL, THRESHOLDS)].max(-1),
            "maxf_released": f_measure[..., np.isin(ALL, RELEASED)].max(-1),
        }

    def _count(self, decoded: "Tensor", label: "Tensor") -> np.ndarray:
        """Counts of all pixels by cell; only pixels of a cell with a threshold inside are compared with it."""
        truth = label[0]
        kind = truth.where((truth == 0) | (truth == 1), 2).int().flatten()  # other, salient, ignored
        cell = (decoded * _CELLS).int().flatten()
        counts = (cell + (_CELLS + 1) * kind).bincount(minlength=3 * (_CELLS + 1)).cpu().numpy().reshape(3, -1)[:2]
        beyond = counts[:, ::-1].cumsum(1)[:, ::-1][:, _NEXT]  # pixels in whole cells above each threshold
        near = cell.new_tensor(_SPLIT).bool().index_select(0, cell)
        value, where, kinds = (x[near].cpu().numpy() for x in (decoded.flatten(), cell, kind))
        marked = (where == _NEXT[:, None] - 1) & (value >= ALL[:, None])
        hits, false = (beyond[k] + (marked & (kinds == k)).sum(1) for k in (1, 0))
        return np.concatenate([hits, hits + false, counts[1].sum(keepdims=True)])
