"""`dmtl hardware` at tiny sizes: measured once, gone on with, read by the report."""

import json
import math
from pathlib import Path

import pytest
import torch
from helpers.stages import run

from dmtl.config import Project
from dmtl.errors import UserError
from dmtl.hardware import measure as measuring
from dmtl.hardware.batches import random_batch
from dmtl.hardware.machine import PeakMemory, as_file_name, matrix_peak, milliseconds
from dmtl.hardware.measure import measure
from dmtl.hardware.plan import Work, missing, works
from dmtl.hardware.record import Record
from dmtl.report.costs import Costs
from dmtl.report.measured import Measured, load_measured, report_of, with_memory
from dmtl.tasks import kinds_of

CPU = torch.device("cpu")
CELLS = ("nyud-onelabel-diffusion_feature", "nyud-onelabel-single_task")


@pytest.mark.long
def test_a_cell_is_measured_and_gone_on_with(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dmtl.hardware.loading.worker_counts", lambda: [0])
    monkeypatch.setattr("dmtl.hardware.steps.compile_parts", lambda *_: None)  # the compiler takes a minute
    command = ("-m", "dmtl", "hardware", "--scale", "demo", "--seconds", "0.001", "--rows", CELLS[0])
    said = run(tiny, *command, "--minutes", "1e-9")
    assert "things are left; the same command goes on with them" in said
    said = run(tiny, *command)
    (file,) = (tiny / "reports" / "hardware").glob("*.json")
    content = json.loads(file.read_text())
    step = content["steps"][f"{CELLS[0]}/32-true/eager"]
    assert list(step["parts"]) == ["all"]
    assert step["parts"]["all"] > step["outside_ms"] >= 0
    assert step["tflop"] > 0
    assert content["loading"]["nyud"]["0"] > 0
    assert "failed" not in said
    assert f"{CELLS[0]}  " in said
    assert "pays: scales.demo.train.nyud.workers=0" in said
    assert "Table 1:    not measured" in said, "nothing of PASCAL was measured"
    before = file.read_bytes()
    assert run(tiny, *command).splitlines()[-1].startswith("written to")
    assert file.read_bytes() == before, "nothing is measured twice"
    params = (tiny / "params.yaml").read_text()
    (tiny / "params.yaml").write_text(params.replace("width: 8", "width: 16"))
    assert Record(Project(tiny, "demo"), CPU).content["steps"] == {}, "of other settings"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--minutes", "0"), "--minutes: '0': give a number above 0 up to 10000"),
        (("--rows", "nonsense"), "--rows nonsense: no cell"),
    ],
)
def test_a_mistake_is_told_in_a_line(tiny: Path, options: tuple[str, ...], says: str) -> None:
    said = run(tiny, "-m", "dmtl", "hardware", "--scale", "demo", *options, expect=2)
    assert says in said
    assert len(said.splitlines()) == 1


def test_what_fails_is_noted_and_the_rest_goes_on(tiny: Path) -> None:
    def too_large() -> dict:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    def stopped() -> dict:
        raise KeyboardInterrupt

    record = Record(Project(tiny, "demo"), CPU)
    todo = [
        Work("steps", "a", too_large),
        Work("steps", "b", lambda: {"parts": {"all": 1.0}, "batch": 1}),
        Work("steps", "c", stopped),
    ]
    assert not measure(todo, record, 1.0)
    assert record.content["steps"]["a"] == {"failed": "OutOfMemoryError: CUDA out of memory. Tried to allocate"}
    again = Record(Project(tiny, "demo"), CPU)
    assert [work.key for work in missing(todo, again)] == ["c"]
    assert measuring.measure([], again, 1.0)


def test_the_plan_begins_with_every_network_as_it_is_trained(tiny: Path) -> None:
    project = Project(tiny, "demo")
    plan = works(project, Costs(project), CPU, ["*-onelabel-mtl_baseline", "*-onelabel-xtc"], 1.0)
    parts = [work.part for work in plan]
    assert parts[:5] == ["peaks"] * 2 + ["loading"] * 3
    assert {work.key.split("/")[1:][-1] for work in plan[5:11]} == {"eager"}
    assert len({(work.part, work.key) for work in plan}) == len(plan)


def _record(kind: str, costs: Costs) -> Measured:
    """PASCAL's steps as if they took 100 ms, compiled 50, and a network that could not be."""
    steps = {}
    for cell in costs.grid.cells.values():
        if cell.benchmark == "pascal" and (trained := costs.training_steps(cell)):
            one = {"parts": {str(k): 100.0 for k, _ in enumerate(trained)}, "outside_ms": 1, "tflop": 1, "memory_mb": 7000.0}
            steps[f"{cell.name()}/bf16-mixed/eager"] = one | {"batch": 6}
    name = "pascal-onelabel-diffusion_feature"
    faster = {**steps[f"{name}/bf16-mixed/eager"], "parts": {"0": 50.0}}
    steps |= {f"{name}/bf16-mixed/compiled": faster, f"{name}/bf16-mixed/graphs": {"failed": "RuntimeError: no"}}
    device = {"name": "Test GPU", "type": kind}
    loading = {"pascal": {"0": 20.0, "2": 80.0, "4": 81.0}}
    return Measured({"device": device, "scale": "paper", "peaks": {}, "loading": loading, "steps": steps, "images": {}})


def test_hours_are_measured_steps_no_faster_than_loading(paper_costs: Costs) -> None:
    measured, cells = _record("cuda", paper_costs), paper_costs.grid.cells
    hours = measured.hours(paper_costs)
    baseline, feature = (cells[f"pascal-full-{method}"] for method in ("mtl_baseline", "diffusion_feature"))
    assert measured.workers("pascal") == (2, 80.0)
    assert hours(baseline) == pytest.approx(0.1 * 4998 / 6 * 100 / 3600)
    assert measured.choice(cells["pascal-onelabel-diffusion_feature"], "bf16-mixed")[0] == "compiled"
    assert hours(cells["pascal-onelabel-diffusion_feature"]) == pytest.approx(0.075 * 4998 / 6 * 100 / 3600), "6 images / 80"
    assert hours(feature) == hours(baseline)
    assert math.isnan(hours(cells["nyud-full-mtl_baseline"]))
    assert hours(cells["nyud-full-constant"]) == 0


def test_the_report_shows_what_a_gpu_measured(paper_costs: Costs, tmp_path: Path) -> None:
    assert load_measured(tmp_path) is None
    cell = paper_costs.grid.cells["pascal-onelabel-mtl_baseline"]
    for kind in ("cpu", "cuda"):
        file = tmp_path / "reports" / "hardware" / f"{kind}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(_record(kind, paper_costs).content))
        measured = load_measured(tmp_path)
        assert measured is not None
        gpu = kind == "cuda"
        assert with_memory(paper_costs, measured)(cell).get("train_memory_mb") == (7000.0 if gpu else None)
        assert report_of(paper_costs, measured).device == ("Test GPU" if gpu else "")
    file.write_text('{"device": {}}')
    with pytest.raises(UserError, match="no record of 'dmtl hardware'"):
        load_measured(tmp_path)


def test_a_batch_has_the_labels_of_its_setting() -> None:
    outputs = {"semseg": 13, "depth": 1, "normals": 3}
    one, full = (random_batch(kinds_of(outputs), outputs, (32, 64), 4, setting) for setting in ("onelabel", "full"))
    assert {task: index.tolist() for task, index in one.image_index.items()} == {"semseg": [0, 3], "depth": [1], "normals": [2]}
    assert full.labels["normals"].shape == (4, 3, 32, 64)
    assert one.labels["semseg"].max() <= 12


def test_time_memory_and_peak_are_measured() -> None:
    assert as_file_name("NVIDIA H100 80GB HBM3") == "nvidia-h100-80gb-hbm3"
    assert 0 < matrix_peak(CPU, "32-true", side=64) < 1e3
    import time

    assert milliseconds(lambda: time.sleep(0.01), CPU, seconds=0.03) == pytest.approx(10, rel=0.5)
    with PeakMemory(CPU) as memory:
        torch.ones(2**24).sum()
    assert memory.megabytes is None or memory.megabytes == pytest.approx(64, rel=0.3)
