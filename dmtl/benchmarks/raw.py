"""The raw files of a benchmark: made or found, listed in a manifest, and read back as samples and label masks."""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
from tqdm import tqdm

from dmtl.benchmarks.mappings import Mapping, draw_mapping, read_mapping
from dmtl.benchmarks.sample import Sample
from dmtl.benchmarks.sources import file_record, local_path
from dmtl.config import SETTINGS, Data, Paths
from dmtl.errors import UserError, nearest
from dmtl.files import read_json, write_json

SPLITS = ("train", "val")
MAPPING_FOLDERS = {  # where the published collections keep a benchmark's mappings
    "nyud": ("nyud", "nyuv2_settings", "nyud_low"),
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
        root = self.paths.raw(self.name)
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
        names = [name for split in SPLITS for image_id in splits[split] for name in self.module.files(split, image_id)]
        files = {name: file_record(root / name) for name in tqdm(names, desc=f"{self.name}: hashing", unit="file", disable=None)}
        write_json(self.paths.manifest(self.name), {"source": self.data.source, "splits": splits, "files": files})

    def samples(self, root: Path, split: str) -> Iterator[Sample]:
        """The samples of a split in order, each file checked against the manifest first.

        Raises:
            UserError: a file is missing, damaged, or not the one that was listed.
        """
        listed = read_json(self.paths.manifest(self.name))["files"]
        for image_id in tqdm(self.ids(root, split), desc=f"{self.name}: {split}", unit="image", disable=None):
            for name in self.module.files(split, image_id):
                if file_record(root / name) != listed.get(name):
                    raise UserError(f"{root / name} has changed since it was listed: run 'dvc repro -f download@{self.name}'")
            yield self.module.read(root, split, image_id)

    def masks(self, root: Path) -> dict[str, np.ndarray]:
        """Setting -> `(N, T)` uint8 of the training images: XTC's own files for real data, else a seeded draw of that kind."""
        everything = self.module.ids(root, "train")
        used = self.ids(root, "train")
        return {setting: self._mapping(setting, everything).rows(everything)[: len(used)] for setting in SETTINGS}

    def _mapping(self, setting: str, ids: list[str]) -> Mapping:
        if self.data.source == "local" and setting != "full":
            return read_mapping(find_mapping(local_path(self.paths.root, "mappings"), self.name, setting))
        rng = np.random.default_rng([self.seed, SETTINGS.index(setting)])
        return draw_mapping(setting, ids, tuple(self.module.TASKS), rng)

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
