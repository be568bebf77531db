"""A collection of images to look at."""

from pathlib import Path

import pytest
from helpers.own_data import make_collection


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return make_collection(tmp_path / "data")
