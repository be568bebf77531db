"""Label masks: which labels each training image may use (the one-label and random-label settings of XTC).

A label mask has one canonical text, `id TAB bits LF`: a line per image, a bit per task. Its SHA-256 tells published ones from
others. A drawn one is for synthetic images, or for data that none was published for; it never stands in for a published one.
"""

import hashlib
import re
import reprlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dmtl.benchmarks import all_benchmarks
from dmtl.config import SETTINGS
from dmtl.errors import UserError, nearest


@dataclass(frozen=True, eq=False)
class LabelMask:
    """The labels that each training image may use.

    Attributes:
        ids: N image ids, in order (by number where all are numbers, else as text).
        tasks: T task names, the columns.
        allowed: `(N, T)` uint8, 1 where the image may use the label of the task; read-only.
        source: where it came from, for messages.
    """

    ids: tuple[str, ...]
    tasks: tuple[str, ...]
    allowed: np.ndarray
    source: str = "label mask"

    def __post_init__(self) -> None:
        self.allowed.setflags(write=False)

    def of_images(self, ids: Sequence[str]) -> np.ndarray:
        """What the images `ids` may use, in their order, as a copy: `(N, T)` uint8.

        Raises:
            UserError: these are not the images of the label mask, each once.
        """
        index = {name: row for row, name in enumerate(self.ids)}
        asked = Counter(ids)
        lists = {
            "images have no row in it": [name for name in asked if name not in index],
            "of its rows have no image": [name for name in self.ids if name not in asked],
            "images are asked for more than once": [name for name, times in asked.items() if times > 1],
        }
        wrong = [f"{len(names)} {what} (first {names[0]!r})" for what, names in lists.items() if names]
        if wrong:
            raise UserError(f"{self.source}: {', '.join(wrong)}: use the mapping made for exactly these images")
        return self.allowed[[index[name] for name in ids]]


def canonical_text(mask: LabelMask) -> str:
    """A line per image, `id TAB bits LF`, by id: equal label masks have equal text, whatever form they were read from."""
    rows = dict(zip(mask.ids, mask.allowed.tolist(), strict=True))
    return "".join(f"{name}\t{''.join(map(str, rows[name]))}\n" for name in in_order(mask.ids))


def content_sha256(mask: LabelMask) -> str:
    """SHA-256 (hexadecimal) of the canonical text."""
    return hashlib.sha256(canonical_text(mask).encode()).hexdigest()


def counts(mask: LabelMask) -> str:
    """Lines for people: how many labels each task has, how many images have one label, two, and so on; and what it is."""
    by_task = ", ".join(f"{task} {count}" for task, count in zip(mask.tasks, mask.allowed.sum(axis=0), strict=True))
    by_number = ", ".join(f"{k}: {count}" for k, count in enumerate(np.bincount(mask.allowed.sum(axis=1))) if count)
    sha256 = content_sha256(mask)
    published = [
        (f"{benchmark.name} {setting}", benchmark.masks.remarks.get(setting))
        for benchmark in all_benchmarks()
        if benchmark.masks
        for setting, known in benchmark.masks.sha256.items()
        if known == sha256
    ]
    return (
        f"{len(mask.ids)} images; labels: {by_task}\nimages by number of labels: {by_number}\n"
        f"published as: {', '.join(name for name, _ in published) or 'none'}; content SHA-256 {sha256}\n"
        + "".join(f"{remark}\n" for _, remark in published if remark)
    )


def draw_label_mask(
    setting: str, ids: Sequence[str], tasks: Sequence[str], rng: np.random.Generator, labelled: np.ndarray | None = None
) -> LabelMask:
    """Draw a label mask of the published kind for N images and T tasks.

    onelabel: one label per image, and the tasks' counts differ by at most one. randomlabels: k uniform in 1..T-1 (1 if T is 1),
    then a uniform subset of k labels. full: all. The result depends on `rng` and on which ids there are, not on their order.

    Where not every image has every label, each draws from those that it has: onelabel gives it the task with the fewest labels so
    far, randomlabels k in 1..n-1 of its n labels; full and given are all that there are.

    Args:
        setting: one of `SETTINGS`.
        ids: of the images.
        tasks: the columns.
        rng: what is drawn from.
        labelled: `(N, T)` bool, the labels that the images `ids` have; None: all.

    Raises:
        UserError: the setting is unknown, there are no ids or tasks, or an id stands twice, is empty or holds white space.
    """
    if setting not in SETTINGS:
        raise UserError(f"unknown setting {setting!r}; {nearest(setting, SETTINGS)}")
    count, width = len(ids), len(tasks)
    must(count > 0 and width > 0, f"{setting} mapping of {count} images and {width} tasks: give at least one of each")
    check_ids(ids)
    if labelled is not None and not labelled.all():
        order = {name: row for row, name in enumerate(ids)}
        allowed = _drawn_of(setting, labelled[[order[name] for name in in_order(ids)]], rng)
    elif setting in ("full", "given"):
        allowed = np.ones((count, width), np.uint8)
    elif setting == "onelabel":
        allowed = np.eye(width, dtype=np.uint8)[rng.permutation(width)[rng.permutation(count) % width]]
    else:
        labels = rng.integers(1, max(width, 2), size=(count, 1))
        allowed = (rng.random((count, width)).argsort(axis=1).argsort(axis=1) < labels).astype(np.uint8)
    return LabelMask(in_order(ids), tuple(tasks), allowed, f"drawn {setting} mapping")


def _drawn_of(setting: str, there: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A label mask `(N, T)` uint8 of the labels that are `there`, `(N, T)` bool."""
    if setting == "onelabel":
        allowed, counts = np.zeros(there.shape, np.uint8), np.zeros(there.shape[1])
        for row in rng.permutation(len(there)):
            own = rng.permutation(np.flatnonzero(there[row]))
            if own.size:
                fewest = own[counts[own].argmin()]
                allowed[row, fewest] = 1
                counts[fewest] += 1
        return allowed
    if setting == "randomlabels":
        most = np.maximum(there.sum(axis=1, keepdims=True) - 1, 1)
        labels = (rng.random((len(there), 1)) * most).astype(int) + 1
        ranks = np.where(there, rng.random(there.shape), 2).argsort(axis=1).argsort(axis=1)
        return ((ranks < labels) & there).astype(np.uint8)
    return there.astype(np.uint8)


def check_ids(ids: Sequence[Any]) -> None:
    """Refuse what is no image id, and an id that stands twice."""
    for name in ids:
        fits = isinstance(name, str) and re.fullmatch(r"\S+", name)
        must(fits, f"{reprlib.repr(name)} is no image id, give text without white space")
    for name, times in Counter(ids).items():
        must(times == 1, f"id {name!r} stands {times} times, list every image once")


def in_order(ids: Sequence[str]) -> tuple[str, ...]:
    """By number where all ids are numbers, else as text."""
    numbers = all(name.isascii() and name.isdecimal() for name in ids)
    return tuple(sorted(sorted(ids), key=int) if numbers else sorted(ids))


def must(holds: Any, fault: str) -> None:
    """Raise a UserError that says `fault` unless `holds`."""
    if not holds:
        raise UserError(fault)
