"""The raw files of a benchmark: made or found, listed in a manifest, and read back as samples and label masks."""

import sys
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from dmtl.benchmarks import Benchmark, benchmark, read_own
from dmtl.benchmarks.shared.sample import ImageList, Sample
from dmtl.config import SETTINGS, Data, Paths
from dmtl.config.records import read_manifest
from dmtl.errors import UserError
from dmtl.files import digest, write_json
from dmtl.parallel import in_order, processes_for
from dmtl.prepare.label_masks import LabelMask, content_sha256, draw_label_mask
from dmtl.prepare.mapping_files import find_mapping, has_mapping, read_mapping
from dmtl.prepare.places import downloads_path, file_record, given_path, local_path
from dmtl.prepare.publications import benchmark_folder, get_benchmark, get_mappings

SPLITS = ("train", "val")
FILES_AS_AN_IMAGE = 10  # so many are hashed while one image is read and packed


@dataclass(frozen=True)
class Raw:
    """A benchmark's raw files as one pipeline uses them.

    Attributes:
        name: the benchmark.
        data: where the files come from and how many of them are used.
        seed: of synthetic scenes and label masks.
        paths: the pipeline's folders.
    """

    name: str
    data: Data
    seed: int
    paths: Paths

    @cached_property
    def benchmark(self) -> Benchmark:
        """What the benchmark's folder, or the project's benchmark.yaml, says of it."""
        own = read_own(self.paths.root)
        return own if own is not None and own.name == self.name else benchmark(self.name)

    @property
    def synthetic(self) -> bool:
        """Whether the images are scenes that were made here."""
        return self.data.source == "synthetic"

    def obtain(self) -> Path:
        """The tree's root, after making or downloading what is not there yet.

        Raises:
            UserError: the user's folder is not named or not there; a file cannot be downloaded; there are no scenes of it.
        """
        if self.data.source == "download":
            downloads = downloads_path(self.paths.root)
            get_mappings(downloads, self.benchmark)
            return get_benchmark(downloads, self.benchmark)
        root = self.location()
        if self.synthetic:
            for split in SPLITS:
                count = self._limit(split)
                assert self.benchmark.synthesise is not None  # `location` has refused it
                assert count is not None  # as has `Data`
                self.benchmark.synthesise(root, split, count, self.seed)
        return root

    def location(self) -> Path:
        """Where the tree's root is, or will be.

        Raises:
            UserError: the user's folder is not named or not there; the benchmark has no synthetic scenes.
        """
        if self.benchmark.collections:
            return self.paths.root  # which knows the folder of each
        if self.data.source == "local":
            return local_path(self.paths.root, self.name)
        if self.data.source == "download":
            return benchmark_folder(downloads_path(self.paths.root), self.benchmark)
        if self.benchmark.synthesise is None:
            raise UserError(f"{self.name} has no synthetic scenes: set its 'source' in params.yaml to local or download")
        scenes = [file_record(Path(str(module.__file__))) for module in self.benchmark.scenes]
        return self.paths.raw(self.name) / digest(self.seed, *scenes)[:12]  # other code or another seed draws other scenes

    def ids(self, root: Path, split: str) -> list[str]:
        """The images of a split that are used."""
        return self.benchmark.ids(root, split)[: self._limit(split)]

    def write_manifest(self) -> None:
        """List every raw file that is used with its size and SHA-256, in the stage's out."""
        root = self.obtain()
        splits = {split: self.ids(root, split) for split in SPLITS}
        names = [name for split in SPLITS for image_id in splits[split] for name in self.benchmark.files(root, split, image_id)]
        workers = processes_for(len(names) // FILES_AS_AN_IMAGE)
        records = in_order(
            partial(_record, self, root), names, f"{self.name}: hashing", workers, unit="file", per_call=FILES_AS_AN_IMAGE
        )
        files = dict(zip(names, records, strict=True))
        masks = {setting: content_sha256(self.label_mask(setting, root)) for setting in self.benchmark.settings}
        manifest: dict[str, Any] = {"source": self.data.source, "splits": splits, "mappings": masks, "files": files}
        if self.benchmark.boundary_list is not None:
            manifest["boundary_list"] = self.benchmark.boundary_list(root, self.mappings_folder()).title
        write_json(self.paths.manifest(self.name), manifest)

    def records(self) -> dict[str, Any]:
        """Raw file -> its size and SHA-256, as the manifest lists them."""
        return read_manifest(self.paths.manifest(self.name))["files"]

    def sample(self, root: Path, split: str, image_id: str, records: dict[str, Any]) -> Sample:
        """One image with its labels, its files checked against their `records` first.

        Raises:
            UserError: a file is missing, damaged, or not the one that was listed.
        """
        for name, record in records.items():
            if file_record(path := self.benchmark.place(root, name)) != record:
                raise self._changed(path)
        return self.benchmark.read(root, split, image_id)

    def boundary_list(self, root: Path) -> ImageList | None:
        """The test images that the boundary metric counts; None for a benchmark without such a list.

        Raises:
            UserError: it is not the list that the manifest names, or not the published one.
        """
        if self.benchmark.boundary_list is None:
            return None
        images = self.benchmark.boundary_list(root, self.mappings_folder())
        if images.title != read_manifest(self.paths.manifest(self.name)).get("boundary_list"):
            raise self._changed("the list of images whose boundaries are scored (test_new.txt)")
        return images

    def masks(self, root: Path) -> dict[str, np.ndarray]:
        """Setting -> `(N, T)` uint8 of the training images that are used, from mapping files or drawn (`mapping_file`).

        Raises:
            UserError: a label mask is not the one that was listed, or is not of these images and tasks.
        """
        listed = read_manifest(self.paths.manifest(self.name))["mappings"]
        masks = {}
        for setting in self.benchmark.settings:
            mask = self.label_mask(setting, root)
            if content_sha256(mask) != listed.get(setting):
                raise self._changed(mask.source)
            drawn = self.mapping_file(setting) is None
            masks[setting] = mask.of_images(self._mask_ids(root, drawn))[: len(self.ids(root, "train"))]
        return masks

    def labelled(self, root: Path, split: str) -> np.ndarray | None:
        """`(N, T)` bool, which labels the images of a split have; None where each has all of them.

        Raises:
            UserError: no image has a label of some task.
        """
        if self.benchmark.labelled is None:
            return None
        there = self.benchmark.labelled(root, split, self.ids(root, split))
        for task, some in zip(self.benchmark.outputs, there.T, strict=True):
            if not some.any():
                what = "test" if split == "val" else "training"
                raise UserError(f"no {what} image has a label of '{task}': give some one, or delete the task in benchmark.yaml")
        return there

    def label_mask(self, setting: str, root: Path) -> LabelMask:
        """The label mask of a setting; a note on standard error says where it is not the published one.

        Raises:
            UserError: its mapping file is missing or damaged.
        """
        path, masks = self.mapping_file(setting), self.benchmark.masks
        if path is None:
            rng = np.random.default_rng([self.seed, SETTINGS.index(setting)])
            ids = self._mask_ids(root, drawn=True)
            return draw_label_mask(setting, ids, tuple(self.benchmark.outputs), rng, self.labelled(root, "train"))
        mask = read_mapping(path, self.benchmark)
        if masks and content_sha256(mask) != masks.sha256[setting]:  # someone's own mapping is allowed, but never unseen
            print(f"note: {mask.source} is not the published {self.name} {setting} mapping", file=sys.stderr)
        return mask

    def mapping_file(self, setting: str) -> Path | None:
        """The file that says which labels a setting shows; None where that is drawn with the seed.

        So it is for synthetic scenes, and for a benchmark without published label masks unless the user gave such a file.

        Raises:
            UserError: a published one is missing.
        """
        folder = self.mappings_folder()
        if setting in ("full", "given") or folder is None:
            return None
        if self.benchmark.masks is None and not has_mapping(folder, self.benchmark, setting):
            return None
        return find_mapping(folder, self.benchmark, setting)

    def mappings_folder(self) -> Path | None:
        """Where the mapping files are; None where there need not be any.

        Raises:
            UserError: the user's folder is not named or not there.
        """
        if self.synthetic or (self.benchmark.masks is None and given_path(self.paths.root, "mappings") is None):
            return None
        if self.data.source == "local" or self.benchmark.masks is None:
            return local_path(self.paths.root, "mappings")
        return downloads_path(self.paths.root) / "mappings"

    def __getstate__(self) -> dict[str, Any]:
        """Without the benchmark, which the other process reads again."""
        return {name: value for name, value in vars(self).items() if name != "benchmark"}

    def _mask_ids(self, root: Path, drawn: bool) -> list[str]:
        """The images of a label mask, by its names: a drawn one has those that are used, a mapping file all of the split."""
        ids = self.ids(root, "train") if drawn else self.benchmark.ids(root, "train")
        masks = self.benchmark.masks
        return [str(k) for k in range(len(ids))] if masks and masks.numbered else ids

    def _changed(self, what: object) -> UserError:
        stage = f"download@{self.name}"
        return UserError(f"{what} has changed since it was listed: run 'dvc repro -f {stage}' in {self.paths.root.resolve()}")

    def _limit(self, split: str) -> int | None:
        return self.data.train if split == "train" else self.data.val


def _record(raw: Raw, root: Path, name: str) -> dict[str, object]:
    """What the manifest keeps of a raw file."""
    return file_record(raw.benchmark.place(root, name))
