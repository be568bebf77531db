"""What an epoch notes of its losses, under which weights they are learned, and what of them is an error."""

import json
import re
from pathlib import Path

import pytest
import torch
from helpers.training import set_recipe, train
from lightning_fabric import Fabric

from dmtl.config import Project
from dmtl.data.batch import Batch
from dmtl.data.loading import noise_key
from dmtl.data.shards import Shard
from dmtl.errors import UserError
from dmtl.training import checkpoint
from dmtl.training.epoch_losses import EpochLosses


def test_a_loss_that_is_not_finite_is_named(tiny: Path) -> None:
    set_recipe(tiny, learning_rate=1e9)
    with pytest.raises(UserError, match=r"the (loss of \w+|gradient) is not finite in epoch 1, batch 2 \(images .*, .*, .*\)"):
        train(tiny, "nyud-full-mtl_baseline")
    assert not Project(tiny).paths.model("nyud-full-mtl_baseline").exists()


def test_the_first_bad_step_is_found_and_the_last_good_checkpoint_kept(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A label that spoils one task's loss in the second epoch: named with its images; the checkpoint is of the step before."""
    set_recipe(tiny, epochs=3)
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
        train(tiny, "nyud-full-mtl_baseline")
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


def test_a_term_of_the_methods_own_is_not_weighted(tiny: Path) -> None:
    weights = {"semseg": 2.0, "depth": 3.0, "normals": 0.0}
    set_recipe(tiny, task_weights=weights)
    (entry,) = json.loads(train(tiny, "nyud-onelabel-xtc")["history.json"])
    losses = entry["losses"]
    assert losses["consistency"] > 0
    expected = sum(w * losses.get(t, 0.0) for t, w in weights.items()) + losses["consistency"]
    assert losses["total"] == pytest.approx(expected, rel=1e-5)


def test_task_weights_weigh(tiny: Path) -> None:
    weights = {"semseg": 1.0, "depth": 3.0, "normals": 0.0}
    set_recipe(tiny, task_weights=weights)
    (entry,) = json.loads(train(tiny, "nyud-full-mtl_baseline")["history.json"])
    assert entry["losses"]["total"] == pytest.approx(sum(w * entry["losses"][t] for t, w in weights.items()), rel=1e-5)


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
    set_recipe(tiny, task_weights=weights)
    with pytest.raises(UserError, match=message) as caught:
        train(tiny, "nyud-full-mtl_baseline")
    assert "\n" not in str(caught.value)
    assert not (tiny / ".work").exists()
