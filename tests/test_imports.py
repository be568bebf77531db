"""Each stage imports what it uses and nothing else, so that it starts fast."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers.project import ROOT

from dmtl.files import read_json

CELL = "nyud-onelabel-diffusion_feature"
COMPILER = {"torch._dynamo", "sympy", "torch._inductor"}
DRAWING = {"matplotlib", "tensorboard", "tensorboardX"}
COUNTING = {"numba", "scipy", "skimage"}  # of boundaries, which NYUv2 has no scores of, and of raw files
TRACKING = {"mlflow", "pandas", "dvc"}


def _run(script: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(ROOT), str(ROOT / "stages"), str(ROOT / "tests")])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done


def _imported(work: str) -> tuple[set[str], str]:
    """Modules that are there once `work` is done, and what it wrote on standard error."""
    done = _run(f"import sys\nfrom pathlib import Path\nfrom dmtl.config import Project\n{work}\nprint(*sys.modules)")
    return set(done.stdout.split()), done.stderr


def test_training_and_evaluation_import_what_they_use(tiny: Path) -> None:
    """Nor does Fabric repeat what the recipe says."""
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"]["precision"] = "bf16-mixed"
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    trained, errors = _imported(f"import train; train.train_cell(Project(Path({str(tiny)!r})), {CELL!r})")
    assert "lightning_fabric" in trained, "the test sees what a training imports"
    assert trained & (COMPILER | DRAWING | COUNTING | TRACKING) == set()
    assert "Automatic Mixed Precision" not in errors
    evaluated, _ = _imported(f"import evaluate; evaluate.evaluate_cell(Project(Path({str(tiny)!r})), {CELL!r})")
    assert "torchvision" in evaluated
    assert evaluated & (COMPILER | DRAWING | COUNTING | TRACKING | {"lightning_fabric"}) == set()
    assert read_json(next((tiny / "results").rglob(f"{CELL}.json")))["images"] == 3


@pytest.mark.parametrize("stage", ["download", "shards"])
def test_making_data_imports_no_network(stage: str) -> None:
    imported, _ = _imported(f"import {stage}")
    assert imported & (COMPILER | DRAWING | TRACKING | {"torch", "numba"}) == set()


def test_numba_waits_for_a_boundary() -> None:
    count = "import numpy as np; soft = np.zeros((4, 4), np.uint8); map_statistics(soft, soft)"
    work = "import sys; from dmtl.metrics.boundary import OdsF, map_statistics"
    done = _run(f"{work}; print({COUNTING} & set(sys.modules)); {count}; print('numba' in sys.modules)")
    assert done.stdout.splitlines() == ["set()", "True"]


def test_the_writers_of_predict_need_no_torch() -> None:
    imported, _ = _imported("import dmtl.inference.prediction, dmtl.pictures.read")
    assert imported & {"torch", "scipy", "numba"} == set()


@pytest.mark.long
def test_the_compiler_is_there_for_who_asks() -> None:
    """What the imports left out stands in for nothing afterwards."""
    work = "import dmtl.training.loop; assert 'torch._dynamo' not in sys.modules; import torch"
    check = "print(torch.compile(lambda x: x + 1, backend='eager')(torch.ones(1)).item(), torch._dynamo.__spec__.name)"
    assert _run(f"import sys; {work}; {check}").stdout.split() == ["2.0", "torch._dynamo"]
