"""One kind of map a task, whether a network predicted it or a label says it: what pictures, files and galleries are made of.

| kind | of tasks | map |
|---|---|---|
| classes | semseg, human_parts | `(H, W)` uint8, 255 = not labelled |
| probability | saliency, boundary | `(H, W)` float32 in [0, 1], NaN = not labelled |
| depth | depth | `(H, W)` float32 as the benchmark stores it, NaN = not labelled |
| normals | normals | `(H, W, 3)` float32 unit vectors, NaN = not labelled |
"""

from typing import Literal, NamedTuple

import numpy as np

from dmtl.benchmarks.sample import NO_NORMAL
from dmtl.tasks import IGNORE, TASKS

Kind = Literal["classes", "probability", "depth", "normals"]
LEVELS = IGNORE - 1  # the largest byte of a value


class Range(NamedTuple):
    """The values of a benchmark's depth that pictures tell apart, from 0 up, and the largest error that they do."""

    high: float
    error: float
    unit: str


DEPTH = {"nyud": Range(10.0, 2.0, "m"), "cityscapes": Range(0.5, 0.05, "disparity / 65535")}


def depth_range(benchmark: str) -> Range:
    """The fixed range of a benchmark; one without a line above is taken to be in metres."""
    return DEPTH.get(benchmark, DEPTH["nyud"])


def kind(task: str) -> Kind:
    """Of which kind a task's maps are."""
    about = TASKS[task]
    if about.continuous:
        return "normals" if about.label_channels == 3 else "depth"
    return "classes" if about.metric == "miou" else "probability"


def decode(task: str, logits: np.ndarray) -> np.ndarray:
    """A prediction `(C, H, W)`, logits or values, as a map; a depth below 0 is 0."""
    of = kind(task)
    if of == "classes":
        return logits.argmax(0).astype(np.uint8)
    values = logits.astype(np.float32)
    if of == "probability":
        return _sigmoid(values[0] if len(values) == 1 else values[1] - values[0])
    return np.maximum(values[0], 0) if of == "depth" else _unit(np.moveaxis(values, 0, -1))


def decode_label(task: str, label: np.ndarray) -> np.ndarray:
    """A label `(1 or 3, H, W)` in which 255 marks what does not count (`dmtl.data.transforms.hide_invalid`) as a map."""
    if kind(task) == "classes":
        return label[0].astype(np.uint8)
    values = np.moveaxis(label.astype(np.float32), 0, -1)
    values = np.where((values == IGNORE).any(-1, keepdims=True), np.nan, values)
    return _unit(values) if kind(task) == "normals" else values[..., 0]


def error(task: str, prediction: np.ndarray, label: np.ndarray) -> np.ndarray:
    """How far a map is from the label's: `(H, W)`.

    Returns:
        Classes: uint8, 0 = right, 1 = wrong, 255 = not labelled. Else float32, NaN = not labelled: the absolute difference of
        probabilities or depth, the angle of normals in degrees.
    """
    of = kind(task)
    if of == "classes":
        return np.where(label == IGNORE, IGNORE, prediction != label).astype(np.uint8)
    if of != "normals":
        return np.abs(prediction - label)
    apart, sum_ = (np.linalg.norm(v, axis=-1) for v in (prediction - label, prediction + label))
    return np.rad2deg(2 * np.arctan2(apart, sum_))


def to_bytes(benchmark: str, task: str, values: np.ndarray) -> np.ndarray:
    """A map in one byte a value: classes, probabilities and depth in steps of 1/254 of their range, normals 127.5 (n + 1)."""
    of = kind(task)
    if of == "classes":
        return values
    missing = np.isnan(values)
    if of == "normals":
        return np.where(missing, NO_NORMAL, np.rint(127.5 * (np.nan_to_num(values) + 1))).astype(np.uint8)
    share = np.clip(np.nan_to_num(values) / _high(benchmark, of), 0, 1)
    return np.where(missing, IGNORE, np.rint(LEVELS * share)).astype(np.uint8)


def from_bytes(benchmark: str, task: str, codes: np.ndarray) -> np.ndarray:
    """The map that `to_bytes` coded, to half a step; normals are then unit vectors to 0.7 %."""
    of = kind(task)
    if of == "classes":
        return codes
    if of == "normals":
        missing = (codes == NO_NORMAL).all(-1, keepdims=True)
        return np.where(missing, np.nan, codes.astype(np.float32) / np.float32(127.5) - 1)
    return np.where(codes == IGNORE, np.nan, codes.astype(np.float32) * (_high(benchmark, of) / LEVELS))


def _high(benchmark: str, of: Kind) -> np.float32:
    return np.float32(1 if of == "probability" else depth_range(benchmark).high)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """`(H, W, 3)` made one long; a zero vector stays."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12))


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return (0.5 * (1 + np.tanh(0.5 * x))).astype(np.float32)  # of any size without overflow
