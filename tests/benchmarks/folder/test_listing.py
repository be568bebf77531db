"""The files of a folder."""

import os
from pathlib import Path

from dmtl.benchmarks.folder.listing import PHOTOS, files_of


def test_a_folder_of_many_files_is_listed_whole(tmp_path: Path) -> None:
    for k in range(20_000):
        os.close(os.open(tmp_path / f"{k}.png", os.O_CREAT | os.O_WRONLY))
    assert len(files_of(tmp_path, PHOTOS)) == 20_000
