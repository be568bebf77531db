"""`dmtl init`: what it writes, and what it says when it looks again."""

from pathlib import Path

import pytest
import yaml
from helpers.own_data import ALL, init, make_collection, scene, store
from helpers.project import ROOT
from PIL import Image

from dmtl.benchmarks import read_own
from dmtl.config import Project, for_report, for_training


def test_it_writes_a_project_that_can_be_read_and_leaves_the_data_alone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    init(tmp_path / "Boxes", "--data", data)
    said = capsys.readouterr().out
    assert f"cd {tmp_path / 'Boxes'} && dvc repro" in said
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
    project = Project(tmp_path / "Boxes")
    assert project.own is not None
    assert project.own.name == "boxes"
    kinds = {name: task.kind for name, task in project.own.tasks.items()}
    assert kinds == {"depth": "depth", "flow": "regression", "normals": "normals", "semseg": "classes"}
    [collection] = project.own.collections.values()
    assert collection.tasks["semseg"].labels == {0: "class_0", 7: "class_7"}
    assert collection.tasks["depth"].scale == 0.001
    assert project.own.tasks["flow"].channels == 2
    cells = for_report(project).cells
    assert {cell.setting for cell in cells.values()} == {"given"}
    for key in cells:
        assert set(for_training(project, key).recipe.task_weights) == set(kinds)
    own = read_own(tmp_path / "Boxes")
    assert own is not None
    assert own.outputs == {"depth": 1, "flow": 2, "normals": 3, "semseg": 2}
    for row in ("data        semseg   classes     6      3", "7: 25.0 %", "training images by number of labels: 4: 6"):
        assert row in said
    assert not list(tmp_path.glob(".Boxes*")), "nothing half-made is left"


def test_dry_run_writes_nothing(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path / "boxes", "--data", data, "--dry-run")
    assert "nothing was written" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_another_look_says_what_has_changed(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "boxes"
    init(folder, "--data", data)
    text = (folder / "benchmark.yaml").read_text()
    init(folder)
    assert "nothing has changed" in capsys.readouterr().out
    arrays = scene(99)
    store(data / "train" / "image", "99", arrays["image"])
    store(data / "train" / "semseg", "99", arrays["semseg"])
    (data / "val" / "depth" / "7.png").unlink()
    store(data / "val" / "image", "8", scene(98)["image"])
    init(folder, "--dry-run")
    kept = (folder / "inventory.json").read_bytes()
    said = capsys.readouterr().out
    for line in ("data/train/image: 1 new", "data/train/semseg: 1 new", "data/val/depth: 1 gone", "data/val/image: 1 changed"):
        assert line in said
    init(folder)
    assert (folder / "inventory.json").read_bytes() != kept
    assert (folder / "benchmark.yaml").read_text() == text, "what the user may have edited stays"


def test_collections_of_other_tasks_come_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    masks, depths = make_collection(tmp_path / "masks", ("semseg",)), make_collection(tmp_path / "depths", ("depth",), first=50)
    init(tmp_path / "both", "--data", masks, depths)
    own = read_own(tmp_path / "both")
    assert own is not None
    ids = own.ids(tmp_path / "both", "train")
    assert ids == [f"masks-{k}" for k in range(6)] + [f"depths-{k}" for k in range(50, 56)]
    assert own.labelled is not None
    assert own.labelled(tmp_path / "both", "train", ids).tolist() == [[True, False]] * 6 + [[False, True]] * 6
    assert "with both: none of any two" in capsys.readouterr().out


def test_a_fifth_of_unsplit_images_are_test_images_whatever_is_added(tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    for k in range(40):
        store(flat / "image", f"photo {k}", scene(k)["image"])
        store(flat / "semseg", f"photo {k}", scene(k)["semseg"])
    init(tmp_path / "drawn", "--data", flat)
    own = read_own(tmp_path / "drawn")
    assert own is not None
    before = {split: set(own.ids(tmp_path / "drawn", split)) for split in ("train", "val")}
    assert 4 <= len(before["val"]) <= 14
    assert all(" " not in name for name in before["train"] | before["val"])
    store(flat / "image", "photo x", scene(77)["image"])
    after = {split: set(own.ids(tmp_path / "drawn", split)) for split in ("train", "val")}
    assert all(before[split] <= after[split] for split in before)


def test_broken_images_can_be_left_out(data: Path, tmp_path: Path) -> None:
    (data / "train" / "image" / "2.png").write_bytes((data / "train" / "image" / "2.png").read_bytes()[:-30])
    with pytest.raises(SystemExit):
        init(tmp_path / "boxes", "--data", data)
    assert not (tmp_path / "boxes").exists()
    init(tmp_path / "boxes", "--data", data, "--skip-broken")
    own = read_own(tmp_path / "boxes")
    assert own is not None
    assert own.ids(tmp_path / "boxes", "train") == ["0", "1", "3", "4", "5"]


def test_few_labels_and_images_without_any_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in range(1, 6):
        (data / "train" / "flow" / f"{k}.npy").unlink()
    for task in ALL:
        (data / "train" / task / f"3.{'png' if task in ('semseg', 'depth') else 'npy'}").unlink(missing_ok=True)
    init(tmp_path / "boxes", "--data", data)
    said = capsys.readouterr().out
    assert "1 of 6 training images, such as 3, have no label at all" in said
    assert "flow: 1 training label, too few" in said
    assert "semseg: 5" not in said


def test_another_look_at_what_is_gone_is_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "boxes"
    init(folder, "--data", data)
    kept = (folder / "inventory.json").read_text()

    def said() -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            init(folder)
        assert ended.value.code == 2
        [line] = capsys.readouterr().err.strip().splitlines()
        return line

    (folder / "inventory.json").write_text(kept[:-20])
    assert "inventory.json" in said()
    (folder / "inventory.json").unlink()
    assert "inventory.json" in said()
    (folder / "inventory.json").write_text(kept)
    data.rename(tmp_path / "elsewhere")
    assert "there is no such folder" in said()
    (folder / "local.yaml").unlink()
    assert "where are the files of 'data'?" in said()


def test_a_name_that_is_taken_or_lies_in_the_data_is_refused(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    for words, said in (
        ((tmp_path / "there", "--data", data), "exists: take another name"),
        ((data / "inside", "--data", data), "which is never written to"),
        ((tmp_path / "new", "--data", tmp_path / "nowhere"), "is no folder"),
        ((tmp_path / "new", "--data", data, data), "is named twice"),
        ((tmp_path / "new",), "is no project of own images"),
    ):
        with pytest.raises(SystemExit):
            init(*words)
        assert said in capsys.readouterr().err


def test_labels_that_nothing_reads_are_told(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(scene(0)["semseg"]).save(data / "train" / "semseg" / "0.jpg")
    store(data / "train" / "depth", "999", scene(0)["depth"])
    store(data / "val" / "image", "Case", scene(55)["image"])
    store(data / "val" / "semseg", "case", scene(55)["semseg"])
    init(tmp_path / "boxes", "--data", data, "--dry-run")
    said = capsys.readouterr().out
    assert "1 file of ending '.jpg' cannot be labels" in said
    assert "1 labels without an image, such as 999.png" in said
    assert "such as case.png; the image is called Case" in said


def test_ending_and_letters_may_be_any(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for k, name in enumerate(("Grüße 1", "日本", "a b", "x%y", "UPPER", "dots.in.it")):
        Image.fromarray(scene(k)["image"]).save(_made(folder / "image") / f"{name}.JPG")
        store(folder / "semseg", name, scene(k)["semseg"], ".PNG")
    (folder / "train.txt").write_text("# comment\nGrüße 1.JPG\n日本\na b\n\nx%y\n")
    (folder / "val.txt").write_text("UPPER\ndots.in.it\n")
    init(tmp_path / "named", "--data", folder)
    own = read_own(tmp_path / "named")
    assert own is not None
    ids = own.ids(tmp_path / "named", "train")
    assert len(ids) == 4
    for name in ids:
        assert own.read(tmp_path / "named", "train", name).labels.keys() == {"semseg"}


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_stages_of_own_data_watch_its_description_and_its_files(data: Path, tmp_path: Path) -> None:
    init(tmp_path / "boxes", "--data", data)
    stages = yaml.safe_load((tmp_path / "boxes" / "dvc.yaml").read_text())["stages"]
    download, shards, train = (stages[name]["do"] for name in ("download", "shards", "train"))
    assert {"benchmark.yaml", "inventory.json"} <= set(download["deps"])
    assert "benchmark.yaml" in shards["deps"]
    assert download["params"] == shards["params"] == ["seed"]
    for stage in (download, shards, train):
        for dep in stage["deps"]:
            if "$" not in dep and dep.startswith(".."):
                assert (tmp_path / "boxes" / dep).exists(), dep
    script = train["cmd"].split()[1]
    assert (tmp_path / "boxes" / script).resolve() == ROOT / "stages" / "train.py"
