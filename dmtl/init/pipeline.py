"""dvc.yaml of a project folder: the root's, with scripts and code some folders up (docs/pipeline.md, "Project folders")."""

import os
import re
from pathlib import Path

from dmtl.errors import UserError
from dmtl.files import CLONE

HEADER = "# The stages of {source}, with parameters, a grid and a lock of this folder's own. Run in it: dvc repro\n"
OWN = "benchmark.yaml"  # what a user's own benchmark is described by


def pipeline_text(folder: Path, clone: Path = CLONE) -> str:
    """dvc.yaml for a project in `folder`, made of the clone's.

    A folder with a `benchmark.yaml` makes its shards from that, and anew when `inventory.json` lists other files; one with a
    `checks.md` shows it in its report.

    Raises:
        UserError: the package is installed without the pipeline's scripts.
    """
    root = clone / "dvc.yaml"
    if not root.is_file() or not (clone / "stages").is_dir():
        raise UserError(f"{clone} holds no pipeline: install dmtl from a clone of its repository (pip install -e .)")
    up = Path(os.path.relpath(clone, folder.resolve())).as_posix()
    stages = root.read_text(encoding="utf-8").partition("vars:")[2]
    text = HEADER.format(source=f"{up}/dvc.yaml") + "vars:" + stages
    text = re.sub(r"(cmd: python )stages/", rf"\g<1>{up}/stages/", text)
    text = re.sub(r"(?m)^(\s+- )((?:stages|dmtl)/)", rf"\g<1>{up}/\g<2>", text)
    text = re.sub(r"(?m)^ +- scales\.paper\n", "", text)  # networks are counted at the scale's own size
    text = re.sub(r"scales\.\$\{scale\}\.train #.*", "scales.${scale}", text)
    if (folder / OWN).is_file():
        text = _of_own_data(text, up)
    if (folder / "checks.md").is_file():
        text = text.replace("      - results/${scale}\n", "      - results/${scale}\n      - checks.md\n")
    return text


def _of_own_data(text: str, up: str) -> str:
    """The stages of a benchmark that is described by a file and not by a folder of the package."""
    described = f"        - {up}/dmtl/benchmarks/folder\n        - {OWN}\n"
    text = re.sub(r"(?m)^ +- \S+/dmtl/benchmarks/\$\{item\}.*\n", described, text)
    text = re.sub(r"(?m)^ +- scales\.\$\{scale\}\.data\.\$\{item\}\n", "", text)
    manifest = f"        - {up}/dmtl/prepare/obtain.py\n"
    return text.replace(manifest, f"        - inventory.json\n{manifest}", 1)
