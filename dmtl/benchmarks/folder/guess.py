"""What the labels of a folder probably are; whoever owns them corrects it in benchmark.yaml."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dmtl.init.look import Label
from dmtl.pictures.colours import hex_of, palette
from dmtl.tasks import NAMES

IGNORED = (-1, 255)  # what usually says that a pixel has no class
DISTANCES = ("depth", "disp")
MILLIMETRES = 255  # depth in whole numbers beyond it is taken for millimetres
NO_DEPTH_16 = 65535
MOST_CLASSES = 200
PLAUSIBLE = (0.05, 200.0)  # metres, in which the median of depths is expected

Guess = tuple[
    dict[str, Any], dict[str, Any], list[str]
]  # of `tasks`, of the collection's `tasks`, and what to check, a line each


def guess(folder: str, labels: Sequence[Label]) -> Guess:
    """The task that a folder holds, how it stores it, and what is uncertain about that.

    Args:
        folder: its name.
        labels: what was seen of its files, at least one.
    """
    kind = _kind(folder.lower(), labels)
    task: dict[str, Any] = {"kind": kind, "title": NAMES[folder][0] if folder in NAMES else folder.replace("_", " ").capitalize()}
    files: dict[str, Any] = {"folder": folder}
    notes: list[str] = []
    if kind in ("classes", "binary", "boundary"):
        _numbers(kind, labels, task, files, notes)
    elif kind == "depth":
        _depth(labels, task, files, notes)
    elif kind == "regression":
        _regression(labels, task, files, notes)
    return task, files, [f"{folder}: {note}" for note in notes]


def _kind(folder: str, labels: Sequence[Label]) -> str:
    channels = Counter(label.channels for label in labels).most_common(1)[0][0]
    if channels == 1:
        if folder in NAMES and NAMES[folder][1] in ("classes", "boundary"):
            return NAMES[folder][1]
        if any(word in folder for word in DISTANCES):
            return "depth"
        looked_at = [label for label in labels if label.counts is not None or label.values is not None]
        numbers = {number for label in looked_at for number in label.counts or {}}
        if any(label.counts is None for label in looked_at) or len(numbers) > MOST_CLASSES:
            return "regression"
        if numbers <= {0, 1} or numbers <= {0, 255}:
            return "boundary" if "bound" in folder or "edge" in folder else "binary"
        return "classes"
    return "normals" if channels == 3 and _unit_vectors(labels) else "regression"


def _unit_vectors(labels: Sequence[Label]) -> bool:
    """Whether nearly all values, as they are or coded in 8 bits, have length 1."""
    for label in labels:
        if label.values is not None:
            vectors = label.values * (2 / 255) - 1 if label.whole else label.values
            lengths = np.linalg.norm(vectors, axis=1)
            none = (label.values == 128).all(1) if label.whole else lengths == 0
            return bool((none | (np.abs(lengths - 1) < 0.1)).mean() > 0.9)
    return False


def _numbers(kind: str, labels: Sequence[Label], task: dict[str, Any], files: dict[str, Any], notes: list[str]) -> None:
    pixels: Counter[int] = Counter()
    for label in labels:
        pixels.update(label.counts or {})
    if kind != "classes":
        largest = max(pixels)
        files["labels"] = {0: 0, largest or 1: 1}
        files["ignore"] = [number for number in sorted(pixels) if number not in files["labels"]]
        return
    numbers = sorted(number for number in pixels if number not in IGNORED)
    names = [f"class_{number}" for number in numbers]
    colours = palette("")
    task["classes"] = {name: hex_of(colours[k]) for k, name in enumerate(names)}
    files["labels"] = dict(zip(numbers, names, strict=True))
    files["ignore"] = [number for number in IGNORED if number in pixels] or [255]
    notes.append(f"{len(numbers)} classes by their numbers ({_listed(numbers)}): give them names in benchmark.yaml")


def _depth(labels: Sequence[Label], task: dict[str, Any], files: dict[str, Any], notes: list[str]) -> None:
    values = _sampled(labels)
    whole = all(label.whole for label in labels)
    files["scale"] = 0.001 if whole and values.size and np.median(values) > MILLIMETRES else (1.0 if whole else None)
    files["invalid"] = [0.0] + ([float(NO_DEPTH_16)] if (values == NO_DEPTH_16).any() else [])
    known = values[np.isfinite(values) & ~np.isin(values, files["invalid"])] * (files["scale"] or 1.0)
    if files["scale"] is None:
        del files["scale"]
    elif files["scale"] != 1:
        notes.append(f"whole numbers up to {values.max():g} are taken for millimetres ('scale: 0.001'): check it")
    task["unit"] = "m"
    if not known.size:
        return
    low, median, high = np.percentile(known, [5, 50, 95])
    task["high"] = _rounded(high)
    task["largest_error"] = _rounded(high / 5)
    if not PLAUSIBLE[0] <= median <= PLAUSIBLE[1]:
        notes.append(f"depth of {low:.3g} (5 %), {median:.3g} (median), {high:.3g} m (95 %) is not plausible: is 'scale' right?")


def _regression(labels: Sequence[Label], task: dict[str, Any], files: dict[str, Any], notes: list[str]) -> None:
    task["channels"] = Counter(label.channels for label in labels).most_common(1)[0][0]
    bits = next((label.bits for label in labels if label.bits is not None), None)
    if all(label.whole for label in labels):
        files["scale"] = 1 / (2**bits - 1) if bits in (8, 16) else 1.0
        notes.append(f"whole numbers are multiplied by {files['scale']:.6g} ('scale'): check it")
    values = np.abs(_sampled(labels) * files.get("scale", 1.0))
    values = values[np.isfinite(values)]
    if values.size:
        task["high"] = _rounded(float(np.percentile(values, 95)))
        task["largest_error"] = _rounded(float(np.percentile(values, 95)) / 5)


def _sampled(labels: Sequence[Label]) -> np.ndarray:
    parts = [label.values.ravel() for label in labels if label.values is not None]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _rounded(value: float) -> float:
    """To two digits, above 0."""
    return float(f"{max(value, 1e-6):.2g}")


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:12])) + (" ..." if len(numbers) > 12 else "")
