"""The raw files of a benchmark: made or found, listed in a manifest, and read back as samples and label masks."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from tqdm import tqdm

from dmtl.benchmarks.mappings import Mapping, content_sha256, draw_mapping, read_mapping
from dmtl.benchmarks.sample import ImageList, Sample
from dmtl.benchmarks.sources import file_record, local_path
from dmtl.config import SETTINGS, Data, Paths, digest
from dmtl.errors import UserError, nearest
from dmtl.files import read_json, write_json

SPLITS = ("train", "val")
MAPPING_FOLDERS = {  # where the published collections keep a benchmark's mappings
    "pascal": ("pascal", "pascal_settings"),
    "nyud": ("nyud", "nyuv2_settings", "nyud_low"),
    "cityscapes": ("cityscapes", "cityscapes_settings"),
}


def benchmark_module(name: str) -> ModuleType:
    """The module of a benchmark, which has its name.

    Raises:
        UserError: there is no such benchmark.
    """
    if name not in MAPPING_FOLDERS:
        raise UserError(f"no benchmark '{name}'; {nearest(name, MAPPING_FOLDERS)}")
    return importlib.import_module(f"dmtl.benchmarks.{name}")


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

    @property
    def module(self) -> ModuleType:
        return benchmark_module(self.name)

    def obtain(self) -> Path:
        """The tree's root, after making what is synthetic and not there yet.

        Raises:
            UserError: the user's folder is not named or not there.
        """
        if self.data.source == "local":
            return local_path(self.paths.root, self.name)
        scenes = file_record(Path(str(self.module.SCENES.__file__)))  # other code or another seed draws other scenes
        root = self.paths.raw(self.name) / digest(self.seed, scenes)[:12]
        for split in SPLITS:
            self.module.synthesise(root, split, self._limit(split), self.seed)
        return root

    def ids(self, root: Path, split: str) -> list[str]:
        """The images of a split that are used."""
        return self.module.ids(root, split)[: self._limit(split)]

    def write_manifest(self) -> None:
        """List every raw file that is used with its size and SHA-256, in the stage's out."""
        root = self.obtain()
        splits = {split: self.ids(root, split) for split in SPLITS}
        names = [name for split in SPLITS for image_id in splits[split] for name in self.module.files(root, split, image_id)]
        files = {name: file_record(root / name) for name in tqdm(names, desc=f"{self.name}: hashing", unit="file", disable=None)}
        mappings = {setting: content_sha256(self._mapping(setting, root)) for setting in SETTINGS}
        manifest: dict[str, Any] = {"source": self.data.source, "splits": splits, "mappings": mappings, "files": files}
        if "boundary" in self.module.TASKS:
            manifest["boundary_list"] = self._boundary_list(root).title
        write_json(self.paths.manifest(self.name), manifest)

    def records(self) -> dict[str, Any]:
        """Raw file -> its size and SHA-256, as the manifest lists them."""
        return read_json(self.paths.manifest(self.name))["files"]

    def sample(self, root: Path, split: str, image_id: str, records: dict[str, Any]) -> Sample:
        """One image with its labels, its files checked against their `records` first.

        Raises:
            UserError: a file is missing, damaged, or not the one that was listed.
        """
        for name, record in records.items():
            if file_record(root / name) != record:
                raise self._changed(root / name)
        return self.module.read(root, split, image_id)

    def boundary_list(self, root: Path) -> ImageList | None:
        """The test images that the boundary metric counts; None for a benchmark without that task.

        Raises:
            UserError: it is not the list that the manifest names, or not the published one.
        """
        if "boundary" not in self.module.TASKS:
            return None
        found = self._boundary_list(root)
        if found.title != read_json(self.paths.manifest(self.name)).get("boundary_list"):
            raise self._changed("the list of images whose boundaries are scored (test_new.txt)")
        return found

    def _boundary_list(self, root: Path) -> ImageList:
        return self.module.boundary_list(root, None if self.data.source == "synthetic" else self._mappings())

    def masks(self, root: Path) -> dict[str, np.ndarray]:
        """Setting -> `(N, T)` uint8 of the training images: XTC's own files for real data, else a seeded draw of that kind.

        Raises:
            UserError: a mapping is not the one that was listed, or is not of these images and tasks.
        """
        listed = read_json(self.paths.manifest(self.name))["mappings"]
        masks = {}
        for setting in SETTINGS:
            mapping = self._mapping(setting, root)
            if content_sha256(mapping) != listed.get(setting):
                raise self._changed(mapping.source)
            masks[setting] = mapping.rows(self._mapped_ids(root))[: len(self.ids(root, "train"))]
        return masks

    def _mapping(self, setting: str, root: Path) -> Mapping:
        tasks = tuple(self.module.TASKS)
        if self.data.source == "synthetic" or setting == "full":
            rng = np.random.default_rng([self.seed, SETTINGS.index(setting)])
            return draw_mapping(setting, self._mapped_ids(root), tasks, rng)
        mapping = read_mapping(find_mapping(self._mappings(), self.name, setting))
        if mapping.tasks != tasks:
            raise UserError(
                f"{mapping.source} is of the tasks {', '.join(mapping.tasks)}, but {self.name} has {', '.join(tasks)}"
            )
        return mapping

    def _mappings(self) -> Path:
        """The folder of the published mappings."""
        return local_path(self.paths.root, "mappings")

    def _mapped_ids(self, root: Path) -> list[str]:
        """What a mapping covers: the published ones every training image, a drawn one those that are used."""
        return self.ids(root, "train") if self.data.source == "synthetic" else self.module.ids(root, "train")

    def _changed(self, what: object) -> UserError:
        stage = f"download@{self.name}"
        return UserError(
            f"{what} has changed since it was listed: run 'dvc repro -f {stage}' (the study's: study/dvc.yaml:{stage})"
        )

    def _limit(self, split: str) -> int | None:
        return self.data.train if split == "train" else self.data.val


def find_mapping(folder: Path, benchmark: str, setting: str) -> Path:
    """The file of a published mapping below `folder`, under any of the names that the published collections use."""
    published = [f"{sub}/{setting}.{kind}" for sub in MAPPING_FOLDERS[benchmark] for kind in ("pth", "npy")]
    names = [f"{benchmark}_{setting}.tsv", *published]
    found = [folder / name for name in names if (folder / name).is_file()]
    if not found:
        raise UserError(f"{folder} holds none of {', '.join(names)}: take XTC's mapping files (VICO-UoE/MTPSL, folder data)")
    return found[0]
