"""What a benchmark is: one frozen object that says everything about it."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from dmtl.benchmarks.shared.sample import Fit, ImageList, Sample
from dmtl.tasks import Task

_XTC = "https://raw.githubusercontent.com/VICO-UoE/MTPSL/HEAD/data"


@dataclass(frozen=True)
class Publication:
    """One file as someone publishes it.

    Attributes:
        name: where it is kept, below the downloads folder.
        url: where it is fetched from; None if only by hand.
        size: bytes; None if unknown.
        sha256: hexadecimal, or its first digits; None if unknown.
    """

    name: str
    url: str | None = None
    size: int | None = None
    sha256: str | None = None


def xtc_file(path: str, size: int, sha256: str) -> Publication:
    """One of the mapping files of XTC: `path` below the folder `data` of the authors' repository, `size` in bytes."""
    return Publication(f"mappings/{path}", f"{_XTC}/{path}", size, sha256)


@dataclass(frozen=True)
class PublishedMasks:
    """The label masks that XTC published for a benchmark: which labels each training image may use.

    Attributes:
        folders: where the published collections keep their files.
        files: what is downloaded.
        sha256: setting -> that of the canonical text (`dmtl.prepare.label_masks.canonical_text`).
        labels: setting -> how many training images have the label of each task.
        numbered: whether the files call an image by its place in the split.
        task_names: task -> what the files call it, where that differs from its name here.
        published_as: setting -> the setting under whose name its file was published, where that differs.
        remarks: setting -> how the paper's text differs from its file.
    """

    folders: tuple[str, ...]
    files: tuple[Publication, ...]
    sha256: Mapping[str, str]
    labels: Mapping[str, tuple[int, ...]]
    numbered: bool = False
    task_names: Mapping[str, str] = field(default_factory=dict)
    published_as: Mapping[str, str] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)


class ReleasedModel(NamedTuple):
    """A network that the authors released for a benchmark: the cell it is, and the (height, width) of its training images."""

    cell: str
    size: tuple[int, int]


@dataclass(frozen=True)
class Benchmark:
    """A data set with its tasks and splits.

    Attributes:
        name: that of its folder.
        title: for people.
        tasks: in the order of the label masks.
        fit: how images come to a shard's canvas.
        ids: (root, split) -> the images of a split.
        files: (root, split, id) -> the raw files of an image, relative to the root.
        read: (root, split, id) -> the image with its labels.
        synthesise: (folder, split, count, seed): renders that many scenes as a tree of raw files; None where there are none.
        scenes: the modules that draw them; other code draws other scenes.
        images: how many images train and val have, as published; empty for a user's own.
        archive: what is downloaded and unpacked.
        further: name -> what else `python -m dmtl data --get NAME` gets for it.
        unpacked: files or folders by which its tree, put there by hand, is known.
        masks: those that were published; None where none were.
        by_hand: what to do where a login or a dead link stands in the way, a line each; `{folder}` is where archives belong.
        boundary_list: (root, folder of mapping files or None) -> the test images that odsF is taken over; needed for that metric.
        released: a network that the authors released.
        place: (root, raw file) -> its path; below the root.
        labelled: (root, split, ids) -> `(N, T)` bool, which labels there are; None where every image has all of them.
        settings: which labels a training may be allowed: those of the paper, and `given`, all that there are.
        collections: of a user's own benchmark, whose folders the user names one by one.
        described: what pictures and predictions need to know of a user's own, for JSON.
    """

    name: str
    title: str
    tasks: tuple[Task, ...]
    fit: Fit
    ids: Callable[[Path, str], list[str]]
    files: Callable[[Path, str, str], list[str]]
    read: Callable[[Path, str, str], Sample]
    synthesise: Callable[[Path, str, int, int], None] | None = None
    scenes: tuple[ModuleType, ...] = ()
    images: Mapping[str, int] = field(default_factory=dict)
    archive: Publication | None = None
    further: Mapping[str, tuple[Publication, ...]] = field(default_factory=dict)
    unpacked: tuple[str, ...] = ()
    masks: PublishedMasks | None = None
    by_hand: tuple[str, ...] = ()
    boundary_list: Callable[[Path, Path | None], ImageList] | None = None
    released: ReleasedModel | None = None
    place: Callable[[Path, str], Path] = operator.truediv
    labelled: Callable[[Path, str, Sequence[str]], np.ndarray] | None = None
    settings: tuple[str, ...] = ("onelabel", "randomlabels", "full")
    collections: tuple[str, ...] = ()
    described: Mapping[str, Any] | None = None

    @property
    def outputs(self) -> dict[str, int]:
        """Task -> channels of a network's output."""
        return {task.name: task.channels for task in self.tasks}

    def task(self, name: str) -> Task:
        """One of its tasks."""
        return next(task for task in self.tasks if task.name == name)

    @property
    def authors_names(self) -> dict[str, str]:
        """Task -> what the authors' files call it."""
        names = self.masks.task_names if self.masks else {}
        return {task.name: names.get(task.name, task.name) for task in self.tasks}
