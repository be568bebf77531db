"""The loop: the same bytes twice; nothing hidden is learned from; rate, precision and norm are those of the recipe."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import yaml
from helpers.training import FILES, cell_of, set_recipe, train

from dmtl.config import Project
from dmtl.data.batch import Batch
from dmtl.data.shards import Shard
from dmtl.models import load_model, method_names
from dmtl.training.adam import Adam
from dmtl.training.epoch_losses import EpochLosses


@pytest.mark.parametrize("method", ["constant", "mtl_baseline", "diffusion_feature", "xtc"])
def test_training_twice_gives_the_same_bytes(tiny: Path, method: str) -> None:
    """One of each family; every other method trains twice below, where hidden labels are spoilt in between."""
    cell = cell_of(tiny, method)
    first, second = train(tiny, cell), train(tiny, cell)
    assert first == second
    assert sorted(p.name for p in Project(tiny).paths.model(cell).iterdir()) == sorted(FILES)


def test_another_seed_gives_other_weights(tiny: Path) -> None:
    first = train(tiny, "nyud-full-mtl_baseline")
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    (tiny / "params.yaml").write_text(yaml.safe_dump(params | {"seed": 1}))
    assert train(tiny, "nyud-full-mtl_baseline") != first


def test_the_learning_rate_falls_by_epoch(tiny: Path) -> None:
    set_recipe(tiny, epochs=4, learning_rate=1e-3)
    history = json.loads(train(tiny, "nyud-full-mtl_baseline")["history.json"])
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
    set_recipe(tiny, epochs=4, learning_rate=1e-3, batch=6)
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["consistency"]["xtc"]["film_halving"] = 2
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    train(tiny, "nyud-onelabel-xtc")
    poly = [1e-3 * (1 - e / 4) ** 0.9 for e in range(4)]
    assert np.allclose(rates, list(zip(poly, [1e-3, 1e-3, 5e-4, 5e-4], strict=True)))


@pytest.mark.parametrize("method", [m for m in method_names() if m != "constant"])
def test_a_hidden_label_teaches_nothing(tiny: Path, method: str) -> None:
    """Every label that the setting hides is overwritten; all comes out the same but the hash of the data in the fingerprint."""
    cell = cell_of(tiny, method, "onelabel")
    expected = _but_the_fingerprint(train(tiny, cell))
    shard = Shard(Project(tiny).paths.shard("nyud", "train"))
    mask = shard.label_mask("onelabel")
    shard._close()
    with h5py.File(shard.path, "r+") as file:
        for k, row in enumerate(mask):
            for task, visible in zip(shard.outputs, row, strict=True):
                if not visible:
                    file[task][k] = 1
    assert _but_the_fingerprint(train(tiny, cell)) == expected


def _but_the_fingerprint(outs: dict[str, bytes]) -> dict[str, object]:
    description = json.loads(outs["model.json"])
    assert description.pop("fingerprint")
    return outs | {"model.json": description}


def test_single_task_networks_do_not_see_each_other(tiny: Path) -> None:
    """Spoiling every depth label changes the depth network and no other."""
    cell = "nyud-randomlabels-single_task"
    train(tiny, cell)
    before = load_model(Project(tiny).paths.model(cell)).state_dict()
    with h5py.File(Project(tiny).paths.shard("nyud", "train"), "r+") as file:
        file["depth"][:] = 1.0
    train(tiny, cell)
    after = load_model(Project(tiny).paths.model(cell)).state_dict()
    changed = {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"depth"}


def test_bfloat16_follows_float32(tiny: Path) -> None:
    set_recipe(tiny, epochs=3)
    single = json.loads(train(tiny, "nyud-full-diffusion_feature")["history.json"])
    set_recipe(tiny, epochs=3, precision="bf16-mixed")
    mixed = json.loads(train(tiny, "nyud-full-diffusion_feature")["history.json"])
    assert single != mixed
    for a, b in zip(single, mixed, strict=True):
        assert b["losses"]["total"] == pytest.approx(a["losses"]["total"], rel=0.03)


@pytest.mark.long
def test_compiled_follows_plain(tiny: Path) -> None:
    """torch.compile changes rounding and nothing else; a compiled training has the same files."""
    set_recipe(tiny, epochs=2, learning_rate=2.0e-6)  # Adam's first steps have the size of the rate, and would make rounding grow
    plain = json.loads(train(tiny, "nyud-onelabel-diffusion_feature")["history.json"])
    set_recipe(tiny, compile=True)
    compiled = json.loads(train(tiny, "nyud-onelabel-diffusion_feature")["history.json"])
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
    set_recipe(tiny, epochs=2)
    train(tiny, "nyud-onelabel-diffusion_feature")
    assert len(steps) == 4
    assert reads == []


def test_gradients_are_clipped_to_the_norm(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    original = Adam.step

    def step(self: torch.optim.Adam, *args: object, **kwargs: object) -> object:
        gradients = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.linalg.vector_norm(torch.stack([g.norm() for g in gradients]))))
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Adam, "step", step)
    set_recipe(tiny, clip=0.01)
    train(tiny, "nyud-full-mtl_baseline")
    assert norms
    assert np.allclose(norms, 0.01, rtol=1e-3)
