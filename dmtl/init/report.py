"""What `dmtl init` says of the data: counts, sizes, values, overlap, and what has changed since the last look."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from dmtl.init.look import Label, Look

MOST_FREQUENT = 8  # classes that are named


def table(looks: Mapping[str, Look], own: Mapping[str, Any]) -> str:
    """A table of the collections and their tasks, and how many labels an image has."""
    header = ("collection", "task", "kind", "train", "test", "size", "what is in it")
    rows = [header, *(row for name, one in looks.items() for row in _rows(name, one, own))]
    widths = [max(len(row[k]) for row in rows) for k in range(len(header) - 1)]
    lines = [
        "  ".join([*(text.ljust(width) for text, width in zip(row, widths, strict=False)), row[-1]]).rstrip() for row in rows
    ]
    return "\n".join([*lines, *_overlap(looks)])


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """A line for each collection, split and folder with files that came, went or are others."""
    lines = []
    for name in sorted({*before, *now}):
        for split in ("train", "val"):
            old, new = (_files(side.get(name, {}).get(split, {})) for side in (before, now))
            for folder in sorted({folder for folder, _ in {*old, *new}}):
                had, has = ({key: value for key, value in files.items() if key[0] == folder} for files in (old, new))
                counts = {
                    "new": len(has.keys() - had.keys()),
                    "gone": len(had.keys() - has.keys()),
                    "changed": sum(has[key] != had[key] for key in has.keys() & had.keys()),
                }
                if any(counts.values()):
                    lines.append(f"{name}/{split}/{folder}: {', '.join(f'{n} {what}' for what, n in counts.items() if n)}")
    return lines


def _files(images: Mapping[str, Mapping[str, Any]]) -> dict[tuple[str, str], tuple[Any, ...]]:
    return {(folder, stem): tuple(record) for stem, folders in images.items() for folder, record in folders.items()}


def _rows(name: str, one: Look, own: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    by_split = Counter(image.split for image in one.images)
    sizes = Counter(image.size for image in one.images if image.size)
    yield (
        name,
        "image",
        "",
        str(by_split["train"]),
        str(by_split["val"]),
        _sizes(sizes),
        f"{len(one.broken)} with faults" if one.broken else "",
    )
    tasks = {files["folder"]: key for key, files in own["collections"][name]["tasks"].items()}
    for folder in one.folders:
        counts = Counter(image.split for image in one.images if folder in image.labels)
        labels = one.of(folder)
        kind = own["tasks"][tasks[folder]]["kind"] if folder in tasks else "not used"
        scale = own["collections"][name]["tasks"][tasks[folder]].get("scale") if folder in tasks else None
        content = _values(labels, scale or 1.0) if all(label.counts is None for label in labels) else _classes(labels)
        yield (
            name,
            folder,
            kind,
            str(counts["train"]),
            str(counts["val"]),
            _sizes(Counter(label.size for label in labels)),
            content,
        )


def _sizes(sizes: Counter[Any]) -> str:
    """The size, or the smallest and largest by their pixels."""
    if not sizes:
        return "-"
    low, high = (f(sizes, key=lambda size: size[0] * size[1]) for f in (min, max))
    texts = [f"{height}x{width}" for height, width in (low, high)]
    return texts[0] if len(sizes) == 1 else f"{texts[0]} .. {texts[1]}, {len(sizes)} sizes"


def _classes(labels: list[Label]) -> str:
    """Numbers and their share of the pixels, the most frequent first."""
    pixels: Counter[int] = Counter()
    for label in labels:
        pixels.update(label.counts or {})
    total = sum(pixels.values())
    if not total:
        return ""
    named = ", ".join(f"{number}: {100 * count / total:.1f} %" for number, count in pixels.most_common(MOST_FREQUENT))
    return f"{len(pixels)} numbers: {named}{' ...' if len(pixels) > MOST_FREQUENT else ''}"


def _values(labels: list[Label], scale: float) -> str:
    """Percentiles of the values as they will be read."""
    parts = [label.values.ravel() for label in labels if label.values is not None]
    values = np.concatenate(parts) * scale if parts else np.zeros(0)
    values = values[np.isfinite(values) & (values != 0)]
    if not values.size:
        return "no values"
    low, median, high = np.percentile(values, [5, 50, 95])
    return f"5 % below {low:.3g}, median {median:.3g}, 5 % above {high:.3g}"


def _overlap(looks: Mapping[str, Look]) -> Iterator[str]:
    """How many training images have how many labels, and how many have both of two tasks."""
    images = [image for one in looks.values() for image in one.images if image.split == "train"]
    counts = Counter(len(image.labels) for image in images)
    yield "training images by number of labels: " + ", ".join(f"{k}: {counts[k]}" for k in sorted(counts))
    folders = sorted({folder for image in images for folder in image.labels})
    pairs = [(a, b) for k, a in enumerate(folders) for b in folders[k + 1 :]]
    both = {(a, b): sum(a in image.labels and b in image.labels for image in images) for a, b in pairs}
    if pairs:
        yield "with both: " + (", ".join(f"{a} and {b} {count}" for (a, b), count in both.items() if count) or "none of any two")
