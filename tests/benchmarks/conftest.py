"""A small tree of PASCAL."""

from pathlib import Path

import pytest
from helpers.pascal import put
from helpers.raw import local_raw

from dmtl.prepare.obtain import Raw


@pytest.fixture
def pascal_tree(tmp_path: Path) -> Path:
    """Two training images and two test images."""
    root = tmp_path / "a tree é"  # a space and a letter beyond ASCII
    for name in ("2008_1", "2008_2", "2009_1", "2009_2"):
        put(root, name)
    (root / "ImageSets/Context/train.txt").write_text("2008_1\n2008_2\n")
    (root / "ImageSets/Context/val.txt").write_text("2009_1\n2009_2\n")
    return root


@pytest.fixture
def pascal_raw(pascal_tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Raw:
    """The tree as the user's own, with mappings."""
    masks = "2008_1\t10000\n2008_2\t01010\n"
    return local_raw("pascal", pascal_tree, tmp_path, monkeypatch, (64, 64), onelabel=masks, randomlabels=masks)
