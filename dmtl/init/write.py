"""A project folder for a user's own images: benchmark.yaml, params.yaml, grid.yaml, dvc.yaml, and a DVC project around them."""

import io
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from dmtl.config import Project, for_download, for_report, for_training
from dmtl.errors import UserError
from dmtl.files import CLONE, write_json
from dmtl.init.pipeline import pipeline_text
from dmtl.init.recipe import Plan

SCALE = "own"
METHODS = ("constant", "single_task", "mtl_baseline", "xtc", "diffusion_prediction", "diffusion_feature")
OF_SEVERAL_TASKS = ("xtc",)
IGNORED = ("data", "models", "results", "plots", ".work", "mlruns", "dvc_plots", "local.yaml", "mlflow.db*")
INVENTORY = "inventory.json"
PARAMS_TITLE = "How every training of this project is made; 'dvc exp run -S KEY=VALUE' changes one value for one run."
GRID_TITLE = (
    "Every training; settings: given (the labels that are there), onelabel, randomlabels (fewer, drawn), full (as given)."
)

Content = dict[str, Any]


def write_project(folder: Path, own: Content, plan: Plan, places: Mapping[str, Path], inventory: object) -> None:
    """Write a project folder; it appears only when it is whole.

    Args:
        folder: must not exist.
        own: the content of benchmark.yaml.
        plan: canvas, backbone and recipe.
        places: collection -> its folder, kept in local.yaml, which git ignores.
        inventory: what files there are, for JSON.

    Raises:
        UserError: the folder exists or cannot be written.
    """
    if folder.exists():
        raise UserError(f"{folder} exists: take another name, or say 'dmtl init {folder}' alone to look at its images again")
    making = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        making.mkdir(parents=True)
        _write_all(making, own, plan, places, inventory)
        _dvc_project(making)
        making.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} could not be written ({error.strerror}): free the disk or mend the folder") from None
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _write_all(making: Path, own: Content, plan: Plan, places: Mapping[str, Path], inventory: object) -> None:
    _dump(
        making / "benchmark.yaml",
        own,
        "What the images and labels are (docs/own-data.md); dvc repro makes anew what a change here concerns.",
    )
    write_json(making / INVENTORY, inventory)
    _dump(making / "local.yaml", {name: str(path) for name, path in places.items()}, "Where each collection is on this machine.")
    (making / "params.yaml").write_text(_params(own["name"], plan), encoding="utf-8")
    (making / "grid.yaml").write_text(_grid(own["name"], plan.backbone, len(own["tasks"])), encoding="utf-8")
    (making / "dvc.yaml").write_text(pipeline_text(making), encoding="utf-8")
    (making / ".gitignore").write_text("".join(f"/{name}\n" for name in IGNORED), encoding="utf-8")
    shutil.copy(CLONE / ".dvcignore", making / ".dvcignore")
    project = Project(making)  # what was written is read once, so that no project begins with a fault
    for key in for_report(project).cells:
        for_training(project, key)
    for_download(project, own["name"])


def _dvc_project(folder: Path) -> None:
    """What git keeps of a DVC project, as `dvc init` makes it, with the clone's settings and plots."""
    shutil.copytree(CLONE / ".dvc" / "plots", folder / ".dvc" / "plots")
    shutil.copy(CLONE / ".dvc" / ".gitignore", folder / ".dvc" / ".gitignore")
    config = (CLONE / ".dvc" / "config").read_text(encoding="utf-8")
    if not _in_git(folder):
        config = config.replace("[core]\n", "[core]\n    no_scm = true\n")
    (folder / ".dvc" / "config").write_text(config, encoding="utf-8")


def _in_git(folder: Path) -> bool:
    return any((parent / ".git").exists() for parent in folder.resolve().parents)


def _params(name: str, plan: Plan) -> str:
    """A scale of its own, and the clone's blocks of the methods, as DVC writes them, which changes no other line than it must."""
    yaml, params = _loaded("params.yaml")
    first, *others = params["scales"]["paper"]["train"].values()
    shared = {key: value for key, value in first.items() if all(other[key] == value for other in others)} | plan.recipe
    for key in ("scale", "seed", "scales"):
        del params[key]
    params["plain"]["single_task"]["images"] = {SCALE: "labelled"}
    params["diffusion"]["network"]["token_stride"] = plan.token_stride
    params["consistency"]["benchmarks"] = {name: {"weight": 1.0, "film_rate": 1.0e-3, "flip": False}}
    scales = {"scale": SCALE, "seed": 0, "scales": {SCALE: {"train": {name: shared}}}}
    return f"# {PARAMS_TITLE}\n{_text(yaml, json.loads(json.dumps(scales)))}\n{_text(yaml, params)}"


def _grid(name: str, backbone: str, tasks: int) -> str:
    """The clone's methods, and the cells of some of them with the labels as they are given."""
    text = (CLONE / "grid.yaml").read_text(encoding="utf-8")
    methods = text[text.index("\nmethods:") : text.index("\ncells:")].replace("backbone: resnet18}", f"backbone: {backbone}}}")
    suffix = "" if backbone == "resnet18" else f"-{backbone}"
    cells = "".join(
        f"  {name}-given-{method}{suffix}: {{<<: *{method}, benchmark: {name}, setting: given}}\n"
        for method in METHODS
        if tasks > 1 or method not in OF_SEVERAL_TASKS
    )
    return f"# {GRID_TITLE}\nbenchmarks: [{name}]\n{methods}\ncells:\n{cells}\ngradients: {{}}\nextra: {{}}\n"


def _loaded(file: str) -> tuple[YAML, Any]:
    yaml = YAML()
    yaml.width = 150
    return yaml, yaml.load(CLONE / file)


def _text(yaml: YAML, content: Any) -> str:
    stream = io.StringIO()
    yaml.dump(content, stream)
    return stream.getvalue()


def _dump(path: Path, content: Content, title: str) -> None:
    yaml = YAML()
    yaml.width = 150
    path.write_text(f"# {title}\n{_text(yaml, _styled(content))}", encoding="utf-8")


def _styled(content: Content) -> Any:
    return json.loads(json.dumps(content), object_pairs_hook=_flow)


def _flow(pairs: Sequence[tuple[str, Any]]) -> Any:
    """A mapping; short ones without others inside stand in one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    mapping = CommentedMap()
    for key, value in pairs:
        if isinstance(value, list):
            value = CommentedSeq(value)
            value.fa.set_flow_style()
        mapping[int(key) if key.lstrip("-").isdecimal() else key] = value
    if mapping and not any(isinstance(value, CommentedMap) for value in mapping.values()) and len(mapping) < 40:
        mapping.fa.set_flow_style()
    return mapping
