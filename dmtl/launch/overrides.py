"""`launch -S KEY=VALUE`: values of params.yaml, written there, since DVC goes by that file and by nothing else."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dmtl.config import Project, for_download, for_training
from dmtl.errors import UserError
from dmtl.files import replacing


def set_values(project: Project, overrides: Sequence[str]) -> None:
    """Write values into params.yaml as `dvc exp run -S` does, by the same function; the file is as it was if one is wrong.

    Args:
        project: whose params.yaml.
        overrides: `key=value` each, with a dotted key.

    Raises:
        UserError: a key is not there, or a cell or benchmark of the grid does not accept the value.
    """
    from dvc.exceptions import DvcException
    from dvc.utils.hydra import apply_overrides

    params = project.paths.root / "params.yaml"
    for override in overrides:
        key, equals, _ = override.partition("=")
        if not equals:
            raise UserError(f"-S {override}: give KEY=VALUE, such as diffusion.steps=4")
        project.block(key)
    with tempfile.TemporaryDirectory() as folder:
        tried = Path(folder)
        for name in ("grid.yaml", "benchmark.yaml"):
            if (project.paths.root / name).is_file():
                shutil.copy(project.paths.root / name, tried)
        shutil.copy(params, tried)
        try:
            apply_overrides(tried / "params.yaml", list(overrides))
        except DvcException as error:
            raise UserError(f"-S {' -S '.join(overrides)}: {' '.join(str(error.__cause__ or error).split())[:200]}") from None
        check(Project(tried))
        with replacing(params) as temporary:
            shutil.copy(tried / "params.yaml", temporary)


def check(project: Project) -> None:
    """UserError where a benchmark or cell of the grid does not accept the parameters."""
    for benchmark in project.grid["benchmarks"]:
        for_download(project, benchmark)
    for cell in project.grid["cells"]:
        for_training(project, cell)
