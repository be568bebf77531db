"""Get a benchmark's raw files, or make them, and list them: -> data/raw/<scale>/<benchmark>.json."""

import _root  # noqa: F401

from dmtl.config import Project, for_download
from dmtl.prepare.obtain import Raw
from dmtl.prepare.publications import get_weights
from dmtl.stage import run_stage


def download(project: Project, benchmark: str) -> str:
    """Obtain the raw files and write their manifest."""
    data, seed = for_download(project, benchmark)
    if data.source == "download":
        get_weights()
    raw = Raw(benchmark, data, seed, project.paths)
    raw.write_manifest()
    return f"{benchmark}: the raw files are listed in {project.paths.manifest(benchmark)}"


if __name__ == "__main__":
    run_stage(__doc__, "benchmark", download)
