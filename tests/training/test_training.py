"""The loop: the same bytes twice, after any interruption too; errors in one line; nothing hidden is learned from."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from helpers.networks import fresh, installed, need
from helpers.project import ROOT
from lightning_fabric import Fabric

from dmtl.config import Project, for_training
from dmtl.data.batch import Batch
from dmtl.data.loading import noise_key
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.models import load_model, method_names
from dmtl.training import checkpoint, loop
from dmtl.training.adam import Adam
from dmtl.training.checkpoint import ResumeState
from dmtl.training.epoch_losses import EpochLosses
from dmtl.training.fingerprint import Fingerprint

FILES = ("model.safetensors", "model.json", "history.json")
FINGERPRINT = Fingerprint({"recipe": {"batch": 4}}, data="d", code="c")


def _train(folder: Path, cell: str) -> dict[str, bytes]:
    """Train a cell; the bytes of its outs."""
    project = Project(folder)
    loop.train(for_training(project, cell), project.paths)
    return {name: (project.paths.model(cell) / name).read_bytes() for name in FILES}


def _set(folder: Path, **recipe: object) -> None:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["scales"]["demo"]["train"]["nyud"] |= recipe
    (folder / "params.yaml").write_text(yaml.safe_dump(params))


@pytest.mark.parametrize("method", method_names())
def test_training_twice_gives_the_same_bytes(tiny: Path, method: str) -> None:
    cell = _cell_of(tiny, method)
    first, second = _train(tiny, cell), _train(tiny, cell)
    assert first == second
    assert sorted(p.name for p in Project(tiny).paths.model(cell).iterdir()) == sorted(FILES)


def _cell_of(folder: Path, method: str, setting: str = "full") -> str:
    """A cell of the method on NYUD, put into the tiny project's grid where the tables have none."""
    grid = yaml.safe_load((folder / "grid.yaml").read_text())
    need(method)
    made_of = grid["methods"][method]["cell"]
    cell = f"nyud-{setting}-{method}"
    plain = {"backbone": "resnet18", "scratch": False, "steps": None, "params_block": made_of["family"]}
    grid["cells"][cell] = made_of | plain | {"benchmark": "nyud", "setting": setting}
    (folder / "grid.yaml").write_text(yaml.safe_dump(grid))
    return cell


def test_another_seed_gives_other_weights(tiny: Path) -> None:
    first = _train(tiny, "nyud-full-mtl_baseline")
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    (tiny / "params.yaml").write_text(yaml.safe_dump(params | {"seed": 1}))
    assert _train(tiny, "nyud-full-mtl_baseline") != first


SEVERAL = [m for m in method_names() if not installed(m) or len(list(fresh(m).trainings())) > 1]  # that train several networks


@pytest.mark.parametrize("precision", ["32-true", pytest.param("bf16-mixed", marks=pytest.mark.long)])
@pytest.mark.parametrize("method", [*SEVERAL, "diffusion_prediction", "xtc", "jtr"])
def test_a_stop_at_any_step_changes_nothing(tiny: Path, monkeypatch: pytest.MonkeyPatch, method: str, precision: str) -> None:
    """Stopped by a signal after each step in turn, the training ends with the same bytes."""
    cell = _cell_of(tiny, method, "randomlabels")
    _set(tiny, epochs=2, precision=precision)
    expected = _train(tiny, cell)
    original = loop.Run.__init__

    def told_to_stop(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Run, "__init__", told_to_stop)
    stops = 0
    while (ended := _train_or_exit(tiny, cell)) == 128 + signal.SIGTERM:
        stops += 1
    assert ended == expected
    assert stops == 4 * len(list(fresh(method).trainings()))  # two epochs of two batches, of each network
    assert not list((tiny / ".work" / "demo").glob("*/"))


def _train_or_exit(folder: Path, cell: str) -> dict[str, bytes] | int:
    """The outs, or the exit status of a training that was told to stop."""
    try:
        return _train(folder, cell)
    except SystemExit as stop:
        return int(stop.code or 0)


def test_a_killed_training_goes_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 right after a checkpoint; the next run says where it goes on and ends with the same bytes."""
    cell = "nyud-full-diffusion_feature"
    _set(tiny, epochs=2)
    expected = _train(tiny, cell)
    for name in FILES:
        (Project(tiny).paths.model(cell) / name).unlink()
    script = f"""
import os, signal, sys; sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
from helpers.narrow_resnet import narrow_backbones
from dmtl.config import Project, for_training
from dmtl.training import checkpoint, loop
checkpoint.FIRST_SECONDS, checkpoint.COST_RATIO = 0.0, 0
save = checkpoint.ResumeState.save
def save_and_die(resume, state):
    save(resume, state)
    if state["position"]["epoch"] == 1:
        os.kill(os.getpid(), signal.SIGKILL)
checkpoint.ResumeState.save = save_and_die
project = Project(Path({str(tiny)!r}))
with narrow_backbones():
    loop.train(for_training(project, {cell!r}), project.paths)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (Project(tiny).paths.model(cell) / "model.json").exists()
    said: list[str] = []
    monkeypatch.setattr(loop.tqdm, "write", said.append)
    assert _train(tiny, cell) == expected
    assert said == [f"{cell}: going on at epoch 2, batch 2"]


def test_two_processes_do_not_train_the_same_cell(tiny: Path) -> None:
    with (
        ResumeState(tiny, "demo/cell", FINGERPRINT),
        pytest.raises(UserError, match="another process is training this cell"),
        ResumeState(tiny, "demo/cell", FINGERPRINT),
    ):
        pass


def test_a_damaged_or_foreign_checkpoint_is_refused(tiny: Path) -> None:
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        resume.save({"step": 1})
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        resume.save({"step": 1})
        other = ResumeState(tiny, "demo/cell", replace(FINGERPRINT, config={"recipe": {"batch": 3}}))
        other._file = resume.folder / "checkpoint.pt"  # as if the hashes began alike
        with pytest.raises(UserError, match=r"of another configuration \(config\.recipe\.batch 4, not 3\)"):
            other.load()
        (resume.folder / "checkpoint.pt").write_bytes(b"damaged")
        with pytest.raises(UserError, match=r"checkpoint\.pt is damaged"):
            resume.load()


def test_a_full_disk_keeps_the_last_checkpoint(tiny: Path) -> None:
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        whole = {"model": {}, "optimiser": {}, "balance": {}, "history": []}
        whole["position"] = {"network": 0, "epoch": 0, "batch": 0, "losses": {}}
        resume.save(whole | {"step": 1})
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
        try:
            with pytest.raises(UserError, match=r"checkpoint\.pt could not be written .*: free the disk") as caught:
                resume.save(whole | {"step": 2, "weights": torch.zeros(100_000)})
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert "\n" not in str(caught.value)
        state = resume.load()
        assert state is not None
        assert state["step"] == 1


def test_checkpoints_are_rare_when_saving_is_slow(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr(checkpoint.torch, "save", lambda _, path: (path.touch(), clock.__setitem__(0, clock[0] + 3.0)))
    with ResumeState(tiny, "demo/cell", FINGERPRINT) as resume:
        clock[0] += checkpoint.FIRST_SECONDS
        assert resume.due()
        resume.save({})
        clock[0] += 3.0 * checkpoint.COST_RATIO - 0.1
        assert not resume.due()
        clock[0] += 0.2
        assert resume.due()


def test_a_loss_that_is_not_finite_is_named(tiny: Path) -> None:
    _set(tiny, learning_rate=1e9)
    with pytest.raises(UserError, match=r"the (loss of \w+|gradient) is not finite in epoch 1, batch 2 \(images .*, .*, .*\)"):
        _train(tiny, "nyud-full-mtl_baseline")
    assert not Project(tiny).paths.model("nyud-full-mtl_baseline").exists()


def test_the_first_bad_step_is_found_and_the_last_good_checkpoint_kept(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that spoils one task's loss in the second epoch: named with its images; the checkpoint is of the step before."""
    _set(tiny, epochs=3)
    monkeypatch.setattr(checkpoint, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "COST_RATIO", 0)
    original, seen = Batch.to, []

    def spoilt(batch: Batch, device: torch.device) -> Batch:
        seen.append(batch)
        if len(seen) == 4:
            batch.labels["depth"][:] = float("nan")
        return original(batch, device)

    monkeypatch.setattr(Batch, "to", spoilt)
    with pytest.raises(UserError, match=r"the loss of depth is not finite in epoch 2, batch 2") as caught:
        _train(tiny, "nyud-full-mtl_baseline")
    shard = Shard(Project(tiny).paths.shard("nyud", "train"))
    named = re.findall(r"\(images (.*?)\)", str(caught.value))[0].split(", ")
    assert [noise_key(name, 0, 1) for name in named] == seen[3].noise_keys.tolist()
    assert set(named) <= set(shard.ids)
    (file,) = (tiny / ".work").glob("demo/*/checkpoint.pt")
    state = torch.load(file, weights_only=True)
    assert (state["position"]["epoch"], state["position"]["batch"]) == (1, 1)
    assert all(torch.isfinite(value).all() for value in state["model"].values())


def test_a_loss_seen_late_or_never_has_its_own_mean(tiny: Path) -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    losses = EpochLosses(("semseg", "depth", "normals"), torch.device("cpu"))
    losses.add(fabric, {"semseg": torch.tensor(1.0), "total": torch.tensor(1.0), "gradient": torch.tensor(9.0)})
    again = EpochLosses(("semseg", "depth", "normals"), torch.device("cpu"))
    again.load_state_dict(losses.state_dict())
    term = {"own": torch.tensor(3.0)}
    again.add(fabric, {"depth": torch.tensor(2.0), **term, "total": torch.tensor(2.0), "gradient": torch.tensor(9.0)})
    assert again.means(2) == {"semseg": 0.5, "depth": 1.0, "own": 1.5, "total": 1.5}
    assert again.first_bad() is None
    again.add(fabric, {"own": torch.tensor(float("inf")), "total": torch.tensor(2.0), "gradient": torch.tensor(9.0)})
    assert again.first_bad() == ("own", 2)


def test_a_full_disk_does_not_stop_a_training(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _train(tiny, "nyud-full-mtl_baseline")
    monkeypatch.setattr(checkpoint, "FIRST_SECONDS", 0.0)
    said: list[str] = []

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", full)
    monkeypatch.setattr(loop.tqdm, "write", said.append)
    assert _train(tiny, "nyud-full-mtl_baseline") == expected
    assert "No space left on device" in said[0]
    assert "the training goes on" in said[0]


def test_the_learning_rate_falls_by_epoch(tiny: Path) -> None:
    _set(tiny, epochs=4, learning_rate=1e-3)
    history = json.loads(_train(tiny, "nyud-full-mtl_baseline")["history.json"])
    assert [h["learning_rate"] for h in history] == pytest.approx([1e-3 * (1 - e / 4) ** 0.9 for e in range(4)])
    assert [h["epoch"] for h in history] == [1, 2, 3, 4]
    for entry in history:
        losses = dict(entry["losses"])
        assert losses.pop("total") == pytest.approx(sum(losses.values()))


def test_a_group_with_a_rate_of_its_own_follows_it(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """gamma and beta of XTC; everything else follows the recipe."""
    rates: list[list[float]] = []
    original = Adam.step

    def step(self: torch.optim.Adam, *args: object, **kwargs: object) -> object:
        rates.append([group["lr"] for group in self.param_groups])
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Adam, "step", step)
    _set(tiny, epochs=4, learning_rate=1e-3, batch=6)
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["consistency"]["xtc"]["film_halving"] = 2
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    _train(tiny, "nyud-onelabel-xtc")
    poly = [1e-3 * (1 - e / 4) ** 0.9 for e in range(4)]
    assert np.allclose(rates, list(zip(poly, [1e-3, 1e-3, 5e-4, 5e-4], strict=True)))


def test_a_term_of_the_methods_own_is_not_weighted(tiny: Path) -> None:
    weights = {"semseg": 2.0, "depth": 3.0, "normals": 0.0}
    _set(tiny, task_weights=weights)
    (entry,) = json.loads(_train(tiny, "nyud-onelabel-xtc")["history.json"])
    losses = entry["losses"]
    assert losses["consistency"] > 0
    expected = sum(w * losses.get(t, 0.0) for t, w in weights.items()) + losses["consistency"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_task_weights_weigh(tiny: Path) -> None:
    weights = {"semseg": 1.0, "depth": 3.0, "normals": 0.0}
    _set(tiny, task_weights=weights)
    (entry,) = json.loads(_train(tiny, "nyud-full-mtl_baseline")["history.json"])
    assert entry["losses"]["total"] == pytest.approx(sum(w * entry["losses"][t] for t, w in weights.items()), rel=1e-5)


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_a_hidden_label_teaches_nothing(tiny: Path, method: str) -> None:
    """Every label that the setting hides is overwritten; the weights come out the same."""
    cell = _cell_of(tiny, method, "onelabel")
    expected = _train(tiny, cell)["model.safetensors"]
    shard = Shard(Project(tiny).paths.shard("nyud", "train"))
    mask = shard.label_mask("onelabel")
    shard._close()
    with h5py.File(shard.path, "r+") as file:
        for k, row in enumerate(mask):
            for task, visible in zip(shard.outputs, row, strict=True):
                if not visible:
                    file[task][k] = 1
    assert _train(tiny, cell)["model.safetensors"] == expected


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"semseg": 1.0, "normals": 1.0}, "task_weights of nyud lacks 'depth': give it a weight"),
        (
            {"semseg": 1.0, "normals": 1.0, "depth": 1.0, "depht": 1.0},
            "task_weights of nyud: 'depht' is not one of its tasks; did you mean 'depth'",
        ),
        (
            {"semseg": 1.0, "normals": 1.0, "depth": 1.0, "saliency": 1.0},
            "task_weights of nyud: 'saliency' is not one of its tasks; valid: depth, normals, semseg",
        ),
    ],
)
def test_task_weights_that_do_not_fit_are_named(tiny: Path, weights: dict[str, float], message: str) -> None:
    """Before anything is trained: a task without a weight, one that is unknown, and one of another benchmark."""
    _set(tiny, task_weights=weights)
    with pytest.raises(UserError, match=message) as caught:
        _train(tiny, "nyud-full-mtl_baseline")
    assert "\n" not in str(caught.value)
    assert not (tiny / ".work").exists()


def test_single_task_networks_do_not_see_each_other(tiny: Path) -> None:
    """Spoiling every depth label changes the depth network and no other."""
    cell = "nyud-randomlabels-single_task"
    _train(tiny, cell)
    before = load_model(Project(tiny).paths.model(cell)).state_dict()
    with h5py.File(Project(tiny).paths.shard("nyud", "train"), "r+") as file:
        file["depth"][:] = 1.0
    _train(tiny, cell)
    after = load_model(Project(tiny).paths.model(cell)).state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"depth"}


def test_bfloat16_follows_float32(tiny: Path) -> None:
    _set(tiny, epochs=3)
    single = json.loads(_train(tiny, "nyud-full-diffusion_feature")["history.json"])
    _set(tiny, epochs=3, precision="bf16-mixed")
    mixed = json.loads(_train(tiny, "nyud-full-diffusion_feature")["history.json"])
    assert single != mixed
    for a, b in zip(single, mixed, strict=True):
        assert b["losses"]["total"] == pytest.approx(a["losses"]["total"], rel=0.03)


@pytest.mark.long
def test_compiled_follows_plain(tiny: Path) -> None:
    """torch.compile changes rounding and nothing else; a compiled training has the same files."""
    _set(tiny, epochs=2, learning_rate=2.0e-6)  # Adam's first steps have the size of the rate, and would make rounding grow
    plain = json.loads(_train(tiny, "nyud-onelabel-diffusion_feature")["history.json"])
    _set(tiny, compile=True)
    compiled = json.loads(_train(tiny, "nyud-onelabel-diffusion_feature")["history.json"])
    for a, b in zip(plain, compiled, strict=True):
        assert b["losses"] == pytest.approx(a["losses"], rel=1e-4)
    load_model(Project(tiny).paths.model("nyud-onelabel-diffusion_feature"))


def test_no_step_waits_for_the_device(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is read from a tensor in a step: only at the end of an epoch, and when a checkpoint is due."""
    reads: list[str] = []
    steps: list[int] = []
    for method in ("item", "tolist", "cpu", "numpy", "__bool__", "__float__", "__int__"):
        original = getattr(torch.Tensor, method)

        def read(tensor: torch.Tensor, *args: object, _as: object = original, _name: str = method, **kwargs: object) -> object:
            if tensor.requires_grad or inside:
                reads.append(_name)
            return _as(tensor, *args, **kwargs)  # type: ignore[operator]

        monkeypatch.setattr(torch.Tensor, method, read)
    inside = False
    to, add = Batch.to, EpochLosses.add

    def begin(batch: Batch, device: torch.device) -> Batch:
        nonlocal inside
        inside = True
        return to(batch, device)

    def end(losses: EpochLosses, *args: object) -> None:
        nonlocal inside
        add(losses, *args)  # type: ignore[arg-type]
        inside = False
        steps.append(len(reads))

    monkeypatch.setattr(Batch, "to", begin)
    monkeypatch.setattr(EpochLosses, "add", end)
    _set(tiny, epochs=2)
    _train(tiny, "nyud-onelabel-diffusion_feature")
    assert len(steps) == 4
    assert reads == []


def test_a_model_folder_is_enough(tiny: Path, tmp_path: Path) -> None:
    cell = "nyud-full-diffusion_feature"
    _train(tiny, cell)
    folder = tmp_path / "elsewhere"
    Project(tiny).paths.model(cell).rename(folder)
    model = load_model(folder)
    assert not model.training
    predicted = model.predict(torch.zeros(1, 3, 32, 64))
    assert set(predicted["final"]) == {"semseg", "depth", "normals"}


def test_broken_model_folders_are_named(tiny: Path, tmp_path: Path) -> None:
    cell = "nyud-full-mtl_baseline"
    _train(tiny, cell)
    folder = Project(tiny).paths.model(cell)
    with pytest.raises(UserError, match=r"model\.json is missing"):
        load_model(tmp_path)
    content = (folder / "model.safetensors").read_bytes()
    for damaged in (content[: len(content) // 2], b"not safetensors", b""):
        (folder / "model.safetensors").write_bytes(damaged)
        with pytest.raises(UserError, match=str(folder)):
            load_model(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match="train it again"):
        load_model(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.json is damaged"):
        load_model(folder)


def test_gradients_are_clipped_to_the_norm(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    original = Adam.step

    def step(self: torch.optim.Adam, *args: object, **kwargs: object) -> object:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))))
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Adam, "step", step)
    _set(tiny, clip=0.01)
    _train(tiny, "nyud-full-mtl_baseline")
    assert norms
    assert np.allclose(norms, 0.01, rtol=1e-3)
