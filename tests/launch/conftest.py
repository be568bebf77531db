"""Launching needs no real shards."""

from pathlib import Path

import pytest
from helpers.launching import write_false_shards


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A fresh root with the tiny project's files, and shards that hold nothing."""
    return write_false_shards(tmp_path / "project")
