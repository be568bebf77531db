"""Where raw files are: made here, or kept by the user wherever they like.

The path to a user's own files is a matter of one machine, so it stands in an environment variable (DMTL_ and the name in
capitals) or in the git-ignored `local.yaml` (`name: /where/it/is`) of the project's folder or the clone's root, never in
params.yaml or dvc.lock.
"""

import functools
import os
from pathlib import Path

from dmtl.benchmarks.shared.readers import must_be_readable
from dmtl.config import load_yaml, until_changed
from dmtl.errors import UserError
from dmtl.files import CLONE, file_sha256, original

LARGE = 64 << 20  # bytes; files from this size on are hashed once in a process


def local_path(root: Path, name: str) -> Path:
    """The folder that the user gave for `name` (a benchmark, or `mappings`).

    Raises:
        UserError: none was given, or it is no folder.
    """
    path, variable = given_path(root, name), f"DMTL_{name.upper()}"
    if path is None:
        settings = original(root) / "local.yaml"
        raise UserError(f"where are the files of '{name}'? Set {variable}, or write '{name}: /its/folder' into {settings}")
    if not path.is_dir():
        raise UserError(f"{variable} or local.yaml names {path} for '{name}', but there is no such folder")
    return path


def given_path(root: Path, name: str) -> Path | None:
    """The path that the user gave for `name`, whether it is there or not; None if there is none."""
    given = os.environ.get(f"DMTL_{name.upper()}")
    return Path(given).expanduser() if given else _local_settings(root).get(name)


def downloads_path(root: Path) -> Path:
    """Where downloaded files are kept: the folder that the user gave as `downloads`, else `data/raw/downloads`."""
    return given_path(root, "downloads") or original(root) / "data" / "raw" / "downloads"


def _local_settings(root: Path) -> dict[str, Path]:
    """Name -> path, relative ones to the local.yaml that says them; a project's own comes before that of the clone.

    An experiment's copy lacks the file, which git ignores, so that of the original is read.
    """
    files = (original(folder) / "local.yaml" for folder in (CLONE, root))
    return {name: path for file in files if file.is_file() for name, path in _paths_in(file).items()}


@until_changed
def _paths_in(file: Path) -> dict[str, Path]:
    """Read once and not anew for each raw file."""
    return {name: file.parent / Path(str(value)).expanduser() for name, value in load_yaml(file).items() if value}


def file_record(path: Path) -> dict[str, object]:
    """Size in bytes and SHA-256 of a file, as the manifest keeps them.

    Raises:
        UserError: it is missing or cannot be read.
    """
    with must_be_readable(path):
        status = path.stat()
        large = status.st_size >= LARGE
        sha256 = _sha256_once(path, status.st_size, status.st_mtime_ns) if large else file_sha256(path)
    return {"bytes": status.st_size, "sha256": sha256}


@functools.lru_cache
def _sha256_once(path: Path, _size: int, _changed: int) -> str:
    """SHA-256 of a large file, kept until its size or time of change (nanoseconds) is another."""
    return file_sha256(path)
