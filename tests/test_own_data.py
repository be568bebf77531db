"""The whole way of one's own images: from folders to predictions."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from helpers.own_data import make_collection, scene, store, tiny_recipe
from helpers.project import tiny_params, write_project
from helpers.raw import make_scenes
from PIL import Image
from safetensors.numpy import load_file

from dmtl.__main__ import main
from dmtl.benchmarks import read_own
from dmtl.config import Project, for_download, for_report, for_training
from dmtl.data.shards import Shard
from dmtl.evaluation.evaluate import evaluate
from dmtl.evaluation.gallery import make_gallery
from dmtl.files import write_json
from dmtl.launch.overrides import check
from dmtl.models import load_model, read_description
from dmtl.prepare.obtain import Raw
from dmtl.prepare.shards import build_shards
from dmtl.report.costs import Costs
from dmtl.report.tables import write_report
from dmtl.training.loop import train


def run_stages(project: Project, *cells: str) -> None:
    """What `dvc repro` does, in this process."""
    own = read_own(project.paths.root)
    assert own is not None
    raw = Raw(own.name, *for_download(project, own.name), project.paths)
    raw.write_manifest()
    build_shards(raw, workers=0)
    for cell in cells:
        train(for_training(project, cell), project.paths)
        folder = project.paths.model(cell)
        model, description = load_model(folder), read_description(folder)
        shard = Shard(project.paths.shard(own.name, "val"))
        images = evaluate(model, shard, description)
        make_gallery(model, shard, description).save(project.paths.gallery(cell))
        images.save(project.paths.statistics(cell))
        write_json(project.paths.result(cell), images.result() | {"history": json.loads((folder / "history.json").read_text())})


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Masks and flow from one source, depth and normals from another, of which some lack the depth; two cells trained."""
    root = tmp_path_factory.mktemp("own")
    masks = make_collection(root / "masks", ("semseg", "flow"))
    depths = make_collection(root / "depths", ("depth", "normals"), first=50)
    for name in ("train/depth/50.png", "val/depth/56.png"):
        (depths / name).unlink()
    main(["init", str(root / "parts"), "--data", str(masks), str(depths)])
    project = tiny_recipe(root / "parts")
    cells = [key for key in for_report(project).cells if "constant" in key or "mtl_baseline" in key]
    run_stages(project, *cells)
    return project


def test_shards_hold_what_is_there(parts: Project) -> None:
    shard = Shard(parts.paths.shard("parts", "train"))
    assert list(shard.outputs) == ["flow", "semseg", "depth", "normals"]
    assert shard.labelled is not None
    assert shard.labelled.sum(0).tolist() == [6, 6, 5, 6]
    masks = {setting: shard.label_mask(setting).astype(bool) for setting in ("given", "full", "onelabel", "randomlabels")}
    by_id = dict(zip(shard.ids, range(12), strict=True))
    assert np.array_equal(masks["given"], shard.labelled)
    assert np.array_equal(masks["full"], shard.labelled)
    assert (masks["onelabel"].sum(1) == 1).all()
    assert not (masks["onelabel"] & ~shard.labelled).any()
    assert (masks["randomlabels"].sum(1) == 1).all()  # of two labels one
    k = by_id["depths-50"]
    assert (shard.label("depth", k) == 0).all()
    assert np.isnan(shard.label("flow", k)).all()
    assert (shard.label("semseg", k) == 255).all()


def test_scores_are_over_the_images_that_have_the_label(parts: Project) -> None:
    [key] = [key for key in for_report(parts).cells if "mtl_baseline" in key]
    result = json.loads(parts.paths.result(key).read_text())
    assert result["images"] == 6
    assert result["labels"] == {"flow": 3, "semseg": 3, "depth": 2, "normals": 3}
    assert all(np.isfinite(value) for scores in result["metrics"]["final"].values() for value in scores.values())


def test_commands_know_the_benchmark(parts: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`evaluate` gives what the stage gave, `data` finds every file, and a value set for a launch is checked by its recipe."""
    [key] = [key for key in for_report(parts).cells if "mtl_baseline" in key]
    monkeypatch.chdir(parts.paths.root)
    main(["evaluate", str(parts.paths.model(key)), "--benchmark", "parts", "--json"])
    printed, stored = json.loads(capsys.readouterr().out), json.loads(parts.paths.result(key).read_text())
    assert printed["metrics"] == stored["metrics"]
    main(["data", "--verify"])
    said = capsys.readouterr().out
    assert "train: 12 images" in said
    assert "missing" not in said.partition("ImageNet")[0]
    assert "52 unchanged" in said
    check(parts)


@pytest.mark.long
def test_the_report_has_one_table_of_ones_own(parts: Project) -> None:
    write_report(for_report(parts), parts.paths, None, trained=Costs(parts).figures)
    reports = parts.paths.reports()
    tables = {f"scores.{ending}": (reports / f"scores.{ending}").read_text() for ending in ("csv", "md", "tex")}
    assert {path.name for path in reports.iterdir()} == {"index.html", "summary.json", *tables}
    rows = list(csv.DictReader(tables["scores.csv"].splitlines()))
    [key] = [key for key in for_report(parts).cells if "mtl_baseline" in key]
    metrics = json.loads(parts.paths.result(key).read_text())["metrics"]["final"]
    ours = {row["task"]: float(row["ours"]) for row in rows if row["method"] == "mtl_baseline" and row["task"]}
    assert ours == {task: pytest.approx(next(iter(values.values()))) for task, values in metrics.items()}
    page = (reports / "index.html").read_text()
    for text in (page, tables["scores.tex"]):
        assert "Of 6 test images have a label: flow 3, semseg 3, depth 2, normals 3." in text
    assert "the paper's figure" not in page


def test_a_model_predicts_without_the_project(parts: Project, tmp_path: Path) -> None:
    [key] = [key for key in for_report(parts).cells if "mtl_baseline" in key]
    folder = parts.paths.model(key).rename(tmp_path / "model")
    Image.fromarray(scene(5)["image"]).save(tmp_path / "photo.jpg")
    main(["predict", str(tmp_path / "photo.jpg"), "--model", str(folder), "--out", str(tmp_path / "out")])
    with np.load(tmp_path / "out" / "photo" / "predictions.npz") as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "final/flow": (40, 56, 2),
            "final/semseg": (40, 56),
            "final/depth": (40, 56),
            "final/normals": (40, 56, 3),
        }
    folder.rename(parts.paths.model(key))


@pytest.fixture(scope="module", params=["synthetic", "real"])
def rooms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path, Path]:
    """Rooms as MTAN's tree, and the same exported into folders: (the usual project, the tree, the exported folder)."""
    root = tmp_path_factory.mktemp("rooms")
    real = request.param == "real"
    tree = request.getfixturevalue("real_nyud") if real else make_scenes("nyud", root / "tree", train=6, val=3)
    out = root / "exported"
    for split in ("train", "val"):
        for k in range(len(list((tree / split / "image").iterdir()))):
            arrays = {name: np.load(tree / split / name / f"{k}.npy") for name in ("image", "label", "depth", "normal")}
            for name, folder in (("image", "image"), ("label", "semseg"), ("depth", "depth"), ("normal", "normals")):
                store(out / split / folder, f"{k}", arrays[name])
    params = tiny_params()
    params["scales"]["demo"]["data"]["nyud"] |= {"source": "local", "train": None, "val": None}
    return Project(write_project(root / "usual", params)), tree, out


def test_a_published_tree_in_this_layout_trains_the_same_to_the_bit(
    rooms: tuple[Project, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, tree, exported = rooms
    monkeypatch.setenv("DMTL_NYUD", str(tree))
    mappings, images = tmp_path / "mappings", len(list((exported / "train" / "image").iterdir()))
    mappings.mkdir()
    for setting in ("onelabel", "randomlabels"):
        (mappings / f"nyud_{setting}.tsv").write_text("".join(f"{k}\t100\n" for k in range(images)))
    monkeypatch.setenv("DMTL_MAPPINGS", str(mappings))
    raw = Raw("nyud", *for_download(usual, "nyud"), usual.paths)
    raw.write_manifest()
    build_shards(raw, workers=0)
    main(["init", str(tmp_path / "own"), "--data", str(exported)])
    described = yaml.safe_load((tmp_path / "own" / "benchmark.yaml").read_text())
    described |= {"size": [32, 64], "fit": "resize", "tasks": {t: described["tasks"][t] for t in ("semseg", "depth", "normals")}}
    classes = [f"class_{k}" for k in range(13)]
    described["tasks"]["semseg"]["classes"] = dict.fromkeys(classes, "#102030")
    described["collections"]["exported"]["tasks"]["semseg"] |= {"labels": dict(enumerate(classes)), "ignore": [-1]}
    (tmp_path / "own" / "benchmark.yaml").write_text(yaml.safe_dump(described, sort_keys=False))
    params = yaml.safe_load((usual.paths.root / "params.yaml").read_text())
    params["scales"]["own"] = {"train": {"own": params["scales"]["demo"]["train"]["nyud"]}}
    params["scale"], params["plain"]["single_task"]["images"]["own"] = "own", "all"
    (tmp_path / "own" / "params.yaml").write_text(yaml.safe_dump(params))
    grid = yaml.safe_load((tmp_path / "own" / "grid.yaml").read_text())
    shared = {"method": "mtl_baseline", "family": "plain", "params_block": "plain", "backbone": "resnet18"}
    grid["cells"] = {"own-given-mtl_baseline": shared | {"benchmark": "own", "setting": "given"}}
    (tmp_path / "own" / "grid.yaml").write_text(yaml.safe_dump(grid))
    own = Project(tmp_path / "own")
    run_stages(own, "own-given-mtl_baseline")
    for split in ("train", "val"):
        with h5py.File(usual.paths.shard("nyud", split)) as a, h5py.File(own.paths.shard("own", split)) as b:
            for name in ("id", "image", "semseg", "depth", "normals", "content_size", "original_size"):
                assert a[name].dtype == b[name].dtype
                assert np.array_equal(a[name][:], b[name][:]), name
    train(for_training(usual, "nyud-full-mtl_baseline"), usual.paths)
    weights = [
        load_file(project.paths.model(key) / "model.safetensors")
        for project, key in ((usual, "nyud-full-mtl_baseline"), (own, "own-given-mtl_baseline"))
    ]
    assert weights[0].keys() == weights[1].keys()
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0])
