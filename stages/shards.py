"""Turn a benchmark's raw files into HDF5 shards with label masks: -> data/shards/<scale>/<benchmark>/{train,val}.h5."""

import _root  # noqa: F401

from dmtl.config import Project, for_shards
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards
from dmtl.stage import run_stage


def shards(project: Project, benchmark: str) -> str:
    """Build both shards."""
    data, seed = for_shards(project, benchmark)
    build_shards(Raw(benchmark, data, seed, project.paths))
    return f"{benchmark}: {' and '.join(str(project.paths.shard(benchmark, split)) for split in ('train', 'val'))} are made"


if __name__ == "__main__":
    run_stage(__doc__, "benchmark", shards)
