"""The whole way of the data: the stage scripts on a tiny project, and DVC's own view of them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.narrow_resnet import narrow_backbones
from helpers.project import ROOT, tiny_params, write_project
from helpers.stages import run

from dmtl.init.pipeline import pipeline_text

CELLS = ("nyud-onelabel-single_task", "nyud-onelabel-diffusion_prediction", "nyud-full-constant")
UNTRAINED = ("nyud-onelabel-mtl_baseline", "nyud-full-mtl_baseline")


pytestmark = pytest.mark.usefixtures("narrow")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny project of a few cells in which every stage has run; the report counts the costs of their networks alone."""
    folder = write_project(tmp_path_factory.mktemp("clone"), tiny_params())
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    for part in ("cells", "gradients", "extra"):
        grid[part] = {key: value for key, value in grid[part].items() if key in CELLS + UNTRAINED}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid, sort_keys=False))
    with narrow_backbones():
        for stage in ("download", "shards"):
            run(folder, f"stages/{stage}.py", "nyud")
        for cell in CELLS:
            run(folder, "stages/train.py", cell)
            run(folder, "stages/evaluate.py", cell)
        run(folder, "stages/report.py")
    return folder


def test_the_stages_make_a_report(clone: Path) -> None:
    result = json.loads((clone / "results/demo/nyud-onelabel-diffusion_prediction.json").read_text())
    assert set(result["metrics"]["final"]) == set(result["metrics"]["initial"]) == {"semseg", "depth", "normals"}
    assert json.loads((clone / "results/demo/nyud-full-constant.json").read_text())["metrics"]["initial"] is None
    model = json.loads((clone / "models/demo/nyud-onelabel-diffusion_prediction/model.json").read_text())
    scores = json.loads((clone / "results/demo/nyud-onelabel-diffusion_prediction.scores.json").read_text())
    headline = {"semseg": "miou", "depth": "abs_error", "normals": "mean_error"}
    final = {task: result["metrics"]["final"][task][name] for task, name in headline.items()}
    assert scores == {"nyud-onelabel-diffusion_prediction": final}  # what DVC shows: numbers alone, under names of their own
    assert result["training"] == model["training"]
    assert (model["training"]["options"]["steps"], model["training"]["recipe"]["epochs"]) == (2, 1)
    assert "†" not in (clone / "reports/demo/table3.md").read_text()  # all were trained with today's parameters
    summary = json.loads((clone / "reports/demo/summary.json").read_text())
    assert list(summary) == ["nyud-one-P"]
    assert not list(clone.rglob("*.tmp"))


def test_the_evaluate_command_gives_what_the_stage_gave(clone: Path) -> None:
    for name in ("single_task", "diffusion_prediction"):
        cell = f"nyud-onelabel-{name}"
        said = run(clone, "-m", "dmtl", "evaluate", f"models/demo/{cell}", "--benchmark", "nyud", "--json")
        kept = json.loads((clone / f"results/demo/{cell}.json").read_text())
        assert json.loads(said) | {"history": kept["history"]} == kept
    table = run(clone, "-m", "dmtl", "evaluate", f"models/demo/{cell}", "--benchmark", "nyud")
    names = [tuple(line.split()[:2]) for line in table.splitlines()[1:]]
    assert {("semseg", "miou"), ("depth", "abs_error"), ("depth", "rmse"), ("normals", "mean_error")} < set(names)


def test_the_statistics_give_the_scores_and_the_comparison(clone: Path) -> None:
    for name in CELLS:
        said = run(clone, "-m", "dmtl", "scores", f"results/demo/{name}.npz", "--json")
        kept = json.loads((clone / f"results/demo/{name}.json").read_text())
        assert json.loads(said) | {"history": kept["history"]} == kept
    compared = json.loads(run(clone, "-m", "dmtl", "compare", *CELLS[1::-1], "--draws", "200", "--json"))
    assert compared["images"] == 3
    result = json.loads((clone / f"results/demo/{CELLS[1]}.json").read_text())
    assert compared["metrics"]["depth"]["rmse"]["a"] == result["metrics"]["final"]["depth"]["rmse"]
    summary = json.loads((clone / "reports/demo/summary.json").read_text())
    assert compared["delta_m"]["difference"] == pytest.approx(summary["nyud-one-P"])
    assert "cannot be told" in run(clone, "-m", "dmtl", "compare", CELLS[0], CELLS[1]) or compared["delta_m"]["significant"]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("stages/train.py", "nyud-onelabel-mtl_basline"), "did you mean 'nyud-onelabel-mtl_baseline' or"),
        (("stages/download.py", "nyu"), "no key 'scales.demo.data.nyu'; did you mean 'nyud'?"),
        (("stages/train.py", CELLS[0], "--project", "nowhere"), "nowhere/params.yaml is missing"),
        (("stages/evaluate.py", "nyud-full-mtl_baseline"), "model.json is missing"),
        (("-m", "dmtl", "evaluate", "nowhere", "--benchmark", "nyud"), "nowhere/model.json is missing"),
        (("-m", "dmtl", "evaluate", "nowhere", "--benchmark", "nyu"), "no benchmark 'nyu'; did you mean 'nyud'?"),
        (("-m", "dmtl", "scores", "nowhere.npz"), "nowhere.npz is missing"),
        (("-m", "dmtl", "compare", CELLS[0], "nyud-full-mtl_baseline"), "dvc repro evaluate@nyud-full-mtl_baseline"),
        (("-m", "dmtl", "mapping", "nowhere.pth"), "nowhere.pth"),
        (("-m", "dmtl", "data", "--get", "nyd"), "nothing is known of 'nyd'; did you mean 'nyud'?"),
        (("-m", "dmtl", "import-official", "nowhere.pth", "--out", "model"), "nowhere.pth is missing"),
        (("-m", "dmtl", "odsf", "nowhere", "nowhere"), "nowhere"),
    ],
)
def test_a_mistake_ends_in_one_line(clone: Path, command: tuple[str, ...], message: str) -> None:
    said = run(clone, *command, expect=2)
    assert message in said
    assert len(said.strip().splitlines()) == 1
    assert said.startswith("error: ")


@pytest.mark.parametrize("command", ["stages/download.py", "stages/shards.py", "stages/train.py", "stages/report.py", "-m dmtl"])
def test_every_command_explains_itself(command: str) -> None:
    assert "usage:" in run(ROOT, *command.split(), "--help")


def test_a_stage_that_fails_says_so_to_dvc() -> None:
    """As a process: its exit status, and one line on standard error."""
    done = subprocess.run([sys.executable, "stages/train.py", "nowhere"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")


IMPORTS = """
import sys, json
sys.path.insert(0, "stages")
for roots in json.loads(sys.argv[1]):
    for name in [name for name in sys.modules if name.partition(".")[0] in ("dmtl", "train", "evaluate", "report", "_root")]:
        del sys.modules[name]
    for name in roots:
        __import__(name)
    print(*sorted(name for name in sys.modules if name.partition(".")[0] == "dmtl"))
"""
FAMILIES = {
    "plain": "single_task",
    "diffusion": "no_conditioning",
    "consistency": "xtc",
    "multiscale": "invpt",
    "representation": "task_prototype",
}


@pytest.fixture(scope="module")
def imported() -> dict[str, set[str]]:
    """What of the package a stage imports: a training of each family, and an evaluation.

    One process imports them one after the other and forgets the package's modules in between; other packages stay.
    """
    roots = {family: ["train", f"dmtl.models.{method}"] for family, method in FAMILIES.items()}
    roots["evaluate"] = ["dmtl.evaluation.evaluate", "dmtl.models.diffusion_feature", "dmtl.metrics.boundary_pool"]
    command = [sys.executable, "-c", IMPORTS, json.dumps([*roots.values()])]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(zip(roots, map(_outside_config, done.stdout.splitlines()), strict=True))


def _outside_config(modules: str) -> set[str]:
    """Modules but for those of dmtl.config, which holds no value."""
    return {name for name in modules.split() if not name.startswith("dmtl.config.")}


def test_what_a_training_depends_on(root: Path, imported: dict[str, set[str]]) -> None:
    """Every module that a training imports is watched by its stage, or is one that cannot change its weights."""
    neutral = {
        "dmtl",
        "dmtl.commands",
        "dmtl.commands.shared",
        "dmtl.commands.shared.arguments",
        "dmtl.errors",
        "dmtl.files",
        "dmtl.reading",  # it refuses, and changes no value
        "dmtl.reading.bounded",
        "dmtl.reading.hdf5",
        "dmtl.stage",
        "dmtl.config",
        "dmtl.tracking",
        "dmtl.tracking.store",
        "dmtl.tracking.training",
        "dmtl.data",
        "dmtl.models",
    }
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    for family, method in FAMILIES.items():
        assert f"dmtl.models.{method}" in imported[family]
        deps = [d.replace("${item.family}", family).replace("${item.method}", method) for d in stages["train"]["do"]["deps"]]
        watched = [d.removesuffix(".py").replace("/", ".") for d in deps]
        unwatched = [m for m in imported[family] - neutral if not any(m == w or m.startswith(f"{w}.") for w in watched)]
        assert unwatched == []


def test_what_an_evaluation_depends_on(root: Path, imported: dict[str, set[str]]) -> None:
    """Every module that an evaluation imports is watched by its stage, or cannot change a result.

    What the training watches, the evaluation watches through model.json, whose `fingerprint` is a hash of that code.
    """
    neutral = {
        "dmtl",
        "dmtl.commands",
        "dmtl.commands.shared",
        "dmtl.commands.shared.arguments",
        "dmtl.errors",
        "dmtl.files",
        "dmtl.reading",  # it refuses, and changes no value
        "dmtl.reading.bounded",
        "dmtl.reading.hdf5",
        "dmtl.models.shared.imports",
        "dmtl.stage",
        "dmtl.config",
        "dmtl.data",
        "dmtl.parallel",
    }
    stages = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]
    deps = [*stages["evaluate"]["do"]["deps"], *stages["train"]["do"]["deps"]]
    assert "models/${scale}/${key}" in stages["evaluate"]["do"]["deps"]
    watched = [d.replace("${item.family}", "diffusion").replace("${item.method}", "diffusion_feature") for d in deps]
    watched = [
        d.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".") for d in watched if d != "dmtl/models/__init__.py"
    ]
    found = imported["evaluate"] - neutral - {"dmtl.models"}  # its __init__.py is watched as a file
    assert [m for m in found if not any(m == w or m.startswith(f"{w}.") for w in watched)] == []


def test_a_checkpoint_is_of_the_code_that_dvc_watches(root: Path) -> None:
    from dmtl.config import Project
    from dmtl.training.fingerprint import code_of

    deps = yaml.safe_load((root / "dvc.yaml").read_text())["stages"]["train"]["do"]["deps"]
    cell = Project(root).cell("nyud-onelabel-diffusion_feature")
    watched: set[Path] = set()
    for dep in deps:
        path = root / dep.replace("${item.family}", cell.family).replace("${item.method}", cell.method)
        watched |= set(path.rglob("*.py")) if path.is_dir() else {path}
    assert set(code_of(cell)) == {path for path in watched if path.is_relative_to(root / "dmtl")}


def test_both_pipelines_have_the_same_stages(root: Path) -> None:
    """study/dvc.yaml is the root's with the code one folder up, and its report shows what was tried besides."""
    text = (root / "study" / "dvc.yaml").read_text()
    assert text == pipeline_text(root / "study", root)
    whole, study = (yaml.safe_load(part)["stages"] for part in ((root / "dvc.yaml").read_text(), text.replace("../", "")))
    reports = whole.pop("report"), study.pop("report")
    assert whole == study
    assert {*reports[0]["deps"], "checks.md"} == set(reports[1]["deps"])
    assert reports[0]["outs"] == reports[1]["outs"]


def _outputs(stage: dict) -> dict[str, bool]:
    """Output -> whether DVC keeps it in its cache, and not git in the repository."""
    named = [out if isinstance(out, dict) else {out: {}} for out in stage["outs"]]
    return {name: options.get("cache", True) for out in named for name, options in out.items()}


@pytest.mark.parametrize("folder", [".", "study"])
def test_a_fresh_clone_makes_its_report(root: Path, folder: str) -> None:
    """What git brings is never missing, so without an output that it does not bring the stage would be skipped as unchanged."""
    stage = yaml.safe_load((root / folder / "dvc.yaml").read_text())["stages"]["report"]
    kept = [name for name, cached in _outputs(stage).items() if cached]
    assert kept
    ignored = _lines(root / folder / ".gitignore")
    assert [name for name in kept if f"/{name.partition('/')[0]}/" not in ignored] == []


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_dvc_does_not_see_bytecode(root: Path) -> None:
    assert "__pycache__/" in _lines(root / ".dvcignore")
    config = (root / ".dvc" / "config").read_text()
    assert "analytics = false" in config
