"""A user's own raw files as the pipeline takes them, and ways to damage them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dmtl.benchmarks import benchmark
from dmtl.config import Data, Paths
from dmtl.errors import UserError
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards


def make_scenes(name: str, folder: Path, train: int, val: int, seed: int = 3) -> Path:
    """That many synthetic scenes of a benchmark as a tree of raw files."""
    synthesise = benchmark(name).synthesise
    assert synthesise
    for split, count in (("train", train), ("val", val)):
        if count:
            synthesise(folder, split, count, seed)
    return folder


def local_raw(name: str, tree: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], **masks: str) -> Raw:
    """A tree as the user's own, with canonical texts of mapping files by setting; what is built goes into `folder`."""
    mappings = folder / "mappings"
    mappings.mkdir(exist_ok=True)
    for setting, text in masks.items():
        (mappings / f"{name}_{setting}.tsv").write_text(text)
    monkeypatch.setenv(f"DMTL_{name.upper()}", str(tree))
    monkeypatch.setenv("DMTL_MAPPINGS", str(mappings))
    return Raw(name, Data(source="local", size=size, train=None, val=None), 0, Paths(root=folder, scale="test"))


def build(raw: Raw) -> None:
    """From raw files to both shards."""
    raw.write_manifest()
    build_shards(raw)


def assert_refused(raw: Raw, message: str) -> None:
    """The build fails with one line, and leaves neither a shard of bad files nor a temporary one."""
    with pytest.raises(UserError, match=message) as caught:
        build(raw)
    assert "\n" not in str(caught.value)
    train, val = (raw.paths.shard(raw.name, split) for split in ("train", "val"))
    assert not train.exists() or message.startswith("val/")  # built first, and whole where only test images are bad
    assert not val.exists()
    assert not list(val.parent.glob(".*"))
    assert not list(raw.paths.root.rglob("*.tmp"))


def edited(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Replaces the array of a npy file below the tree by `change` of it."""
    return lambda tree: np.save(tree / name, change(np.load(tree / name)))


def at(value: float) -> Callable[[np.ndarray], np.ndarray]:
    """Puts `value` at row 7, column 9."""

    def change(array: np.ndarray) -> np.ndarray:
        array[7, 9] = value
        return array

    return change
