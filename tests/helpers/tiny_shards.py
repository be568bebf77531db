"""The shards of the tiny project: `python tiny_shards.py FOLDER` makes them for a machine that cannot (`DMTL_TINY_SHARDS`)."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # for `helpers`, where this is the script

from dmtl.config import Project, for_shards
from helpers.project import tiny_params, write_project


def make_tiny_shards(folder: Path) -> None:
    """Raw scenes and shards of every benchmark."""
    from dmtl.prepare.obtain import Raw
    from dmtl.prepare.shards import build_shards

    project = Project(write_project(folder, tiny_params()))
    for benchmark in project.grid["benchmarks"]:
        raw = Raw(benchmark, *for_shards(project, benchmark), project.paths)
        raw.write_manifest()
        build_shards(raw)


if __name__ == "__main__":
    make_tiny_shards(Path(sys.argv[1]))
