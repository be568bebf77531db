"""The images of a user's own benchmark, from one collection or several, each with the labels that it has."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from dmtl.benchmarks.folder import labels, listing
from dmtl.benchmarks.shared.sample import ImageList, Sample
from dmtl.config.own import Collection, OwnBenchmark
from dmtl.errors import UserError
from dmtl.prepare.places import local_path
from dmtl.reading.bounded import LARGEST_FILE, require_within
from dmtl.tasks import Task


@dataclass(frozen=True)
class Collections:
    """Finds and reads what benchmark.yaml describes; `root` is always the project's folder, which names each collection's own.

    Raw files are called `<collection>/<path below its folder>`.
    """

    own: OwnBenchmark
    tasks: tuple[Task, ...]
    _places: dict[tuple[Path, str], Path] = field(default_factory=dict, init=False, repr=False, compare=False)

    def ids(self, root: Path, split: str) -> list[str]:
        """The images of a split, collection after collection.

        Raises:
            UserError: as `listing.collection_splits`; two images have one id; there is none.
        """
        several = len(self.own.collections) > 1
        names = [
            listing.image_id(name if several else None, stem)
            for name, collection in self.own.collections.items()
            for stem in listing.collection_splits(self._folder(root, name), collection)[split]
        ]
        if not names:
            raise UserError(
                f"no {'test' if split == 'val' else 'training'} image in any collection: see 'splits' in benchmark.yaml"
            )
        twice = [name for name, times in Counter(names).items() if times > 1]
        if twice:
            raise UserError(f"two images are called '{twice[0]}': rename one of the collections")
        return names

    def files(self, root: Path, split: str, image: str) -> list[str]:
        """The raw files of an image: itself, then the labels that it has.

        Raises:
            UserError: it is not there any more.
        """
        photo, labels_ = self._found(root, split, image)
        return [photo, *labels_.values()]

    def place(self, root: Path, file: str) -> Path:
        """Where a raw file is.

        Raises:
            UserError: it is larger than an image or a label can be.
        """
        path = self._folder(root, file.partition("/")[0]) / _below(file)
        with suppress(OSError):  # one that is missing is told of where it is read
            require_within(path, LARGEST_FILE)
        return path

    def labelled(self, root: Path, split: str, ids: Sequence[str]) -> np.ndarray:
        """`(N, T)` bool: which labels each image has."""
        there = {name: self._labels(root, split, name) for name in self.own.collections}
        whose = (listing.stem_of(image, self.own.collections) for image in ids)
        return np.array([[stem in there[name].get(task.name, ()) for task in self.tasks] for name, stem in whose], bool)

    def read(self, root: Path, split: str, image: str) -> Sample:
        """One image with the labels that it has.

        Raises:
            UserError: a file is missing or damaged, or holds what benchmark.yaml does not tell of.
        """
        name, _, collection = self._whose(image)
        photo, found = self._found(root, split, image)
        above = self._folder(root, name)
        pixels = labels.read_photo(above / _below(photo))
        read = {
            task.name: labels.read_label(above / _below(label), task, collection.tasks[task.name], pixels.shape[:2])
            for task in self.tasks
            if (label := found.get(task.name))
        }
        return Sample(pixels, read, labels.extras(read, self.tasks, pixels.shape[:2]) if split == "val" else {})

    def boundary_list(self, root: Path, mappings: Path | None) -> ImageList:
        """The test images whose boundaries are scored: those that have such a label."""
        ids, column = self.ids(root, "val"), [task.kind.name for task in self.tasks].index("boundary")
        there = self.labelled(root, "val", ids)[:, column]
        return ImageList(frozenset(np.array(ids)[there].tolist()), "the images with a boundary label")

    def _found(self, root: Path, split: str, image: str) -> tuple[str, dict[str, str]]:
        """The raw file of an image, and of each label that it has."""
        name, stem, collection = self._whose(image)
        folder = listing.split_folder(self._folder(root, name), collection, split)
        below = listing.split_folder(Path(name), collection, split).as_posix()
        photo = listing.files_of(folder / listing.IMAGES, listing.PHOTOS).get(stem)
        if photo is None:
            raise UserError(f"{folder / listing.IMAGES} has no image '{stem}' any more: put it back, or run 'dmtl init' again")
        there = self._labels(root, split, name)
        found = {task: f"{below}/{collection.tasks[task].folder}/{files[stem]}" for task, files in there.items() if stem in files}
        return f"{below}/{listing.IMAGES}/{photo}", found

    def _labels(self, root: Path, split: str, name: str) -> dict[str, Mapping[str, str]]:
        """Task -> the label files of a split of a collection; a task without its folder is not there."""
        collection = self.own.collections[name]
        folder = listing.split_folder(self._folder(root, name), collection, split)
        folders = {task: folder / files.folder for task, files in collection.tasks.items()}
        return {task: listing.files_of(path, listing.LABELS) for task, path in folders.items() if path.is_dir()}

    def _folder(self, root: Path, name: str) -> Path:
        """A collection's folder, which is asked for once."""
        if (root, name) not in self._places:
            self._places[root, name] = local_path(root, name)
        return self._places[root, name]

    def _whose(self, image: str) -> tuple[str, str, Collection]:
        name, stem = listing.stem_of(image, self.own.collections)
        return name, stem, self.own.collections[name]


def _below(file: str) -> str:
    """The path of a raw file below its collection's folder."""
    return file.partition("/")[2]
