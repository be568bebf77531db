"""docs/own-data.md as its reader follows it: the made-up folders, the three commands, benchmark.yaml as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers.own_data import tiny_recipe
from helpers.project import ROOT
from PIL import Image

from dmtl.config import OwnBenchmark
from dmtl.config.blocks import validated

PAGE = (ROOT / "docs/own-data.md").read_text(encoding="utf-8")
COMMANDS = [line.partition("  #")[0].strip() for line in re.findall(r"```bash\n(.*?)```", PAGE, re.S)[0].splitlines()]
DESCRIBED = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)[0]
NAMED = "boxes-given-mtl_baseline-tf_efficientnet_lite0"  # which the page names; another machine takes another backbone


def _run(command: str, folder: Path) -> str:
    """A line of the page in a shell, with this environment's programs; what it prints."""
    path = f"export PATH={Path(sys.executable).parent}:$PATH PYTHONPATH={ROOT}"
    done = subprocess.run(["bash", "-ec", f"{path}\n{command}"], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the made-up folders lie."""
    made = tmp_path_factory.mktemp("walk")
    subprocess.run([sys.executable, ROOT / "bench" / "own_boxes.py", made], check=True, env={"PYTHONPATH": str(ROOT)})
    return made


def test_the_made_up_files_lie_as_the_page_shows(folder: Path) -> None:
    [tree] = re.findall(r"```\n(masks/.*?)```", PAGE, re.S)
    for line in tree.splitlines()[1:]:
        for name in re.findall(r"[\w.]+\.(?:jpg|png|npy|txt)", line):
            assert list(folder.rglob(name)), name
    for name in re.findall(r"(\w+)/(?=\s)", tree):
        assert any(path.is_dir() for path in folder.rglob(name)), name
    masks = [np.asarray(Image.open(path)) for path in folder.rglob("semseg/*.png")]
    assert len(masks) == 16
    assert set(np.unique(np.stack(masks)).tolist()) == {0, 7}
    depth = np.asarray(Image.open(folder / "depths" / "depth" / "7.png"))
    normals = np.load(folder / "depths" / "normals" / "7.npy").astype(np.float32)
    assert depth.dtype == np.uint16
    assert 1000 < np.median(depth) < 6000
    np.testing.assert_allclose(np.linalg.norm(normals, axis=-1), 1, atol=2e-3)


def test_the_page_s_description_is_a_valid_one() -> None:
    own = validated(OwnBenchmark, yaml.safe_load(DESCRIBED), "docs/own-data.md")
    assert list(own.collections) == ["masks", "depths"]


def test_the_page_s_pictures_are_there_and_small() -> None:
    names = re.findall(r"!\[[^\]]*\]\(([\w.-]+)\)", PAGE)
    assert names == ["own-files.png", "own-prediction.png"]
    assert sum((ROOT / "docs" / name).stat().st_size for name in names) < 150_000
    for name in names:
        with Image.open(ROOT / "docs" / name) as picture:
            assert picture.mode == "RGB", "its colours are those that were drawn"


@pytest.mark.long
def test_three_commands_lead_from_the_folders_to_predictions(folder: Path) -> None:
    """With the page's description, each training cut down to one epoch of small networks."""
    init, repro, predict = COMMANDS
    assert "boxes/benchmark.yaml" in _run(init, folder)
    (folder / "boxes" / "benchmark.yaml").write_text(DESCRIBED, encoding="utf-8")
    cells = list(tiny_recipe(folder / "boxes").grid["cells"])
    _run(repro, folder)
    inside = folder / "boxes"
    for cell in cells:
        result = json.loads((inside / "results" / "own" / f"{cell}.json").read_text())
        assert result["labels"] == {"semseg": 4, "depth": 4, "normals": 4}
    assert "Of 8 test images have a label" in (inside / "reports" / "own" / "index.html").read_text()
    [model] = [cell for cell in cells if "mtl_baseline" in cell]
    _run(predict.replace(NAMED, model), inside)
    with np.load(inside / "predictions" / "photo" / "predictions.npz") as arrays:
        assert {name: array.shape for name, array in arrays.items()} == {
            "final/semseg": (96, 128),
            "final/depth": (96, 128),
            "final/normals": (96, 128, 3),
        }
    assert (inside / "predictions" / "photo" / "sheet.png").is_file()
    assert "up to date" in _run("dvc status", inside)
    (folder / "masks" / "train" / "semseg" / "a.png").unlink()
    assert "masks/train/semseg: 1 gone" in _run("dmtl init boxes", folder)
    assert "download@boxes" in _run("dvc status", inside), "what came of the files is to be made anew"
