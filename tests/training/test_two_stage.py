"""Two trainings inside a cell: the second begins from the first, leaves it as it is, and is gone on with to the bit."""

import json
from pathlib import Path

import pytest
import torch
import yaml
from helpers.networks import batch_of, network
from helpers.training import set_recipe, stopped_after_each_step, train, train_or_exit
from lightning_fabric import Fabric

from dmtl.config import NetworkConfig
from dmtl.data.batch import Batch
from dmtl.models.plain.network import PlainNetwork
from dmtl.models.shared.method import Maps
from dmtl.models.shared.two_stage import TwoStage
from dmtl.tracking.training import Tracker
from dmtl.training import checkpoint, loop
from dmtl.training.epoch_losses import EpochLosses

CELL = "nyud-randomlabels-mtl_baseline"


class Continued(TwoStage, PlainNetwork):
    """A baseline that begins where another has ended, and is drawn to what that predicts."""

    def __init__(self, network: NetworkConfig) -> None:
        super().__init__(network)
        self.first = PlainNetwork(network)
        self.begun = 0

    def begin(self) -> None:
        self.load_state_dict(self.first.state_dict(), strict=False)
        self.begun += 1

    def forward(self, batch: Batch) -> Maps:
        _, predictions = self.decoders(self.trunk(batch.images))
        with torch.no_grad():
            before = self.first.maps(batch.images, 0.0, batch.noise_keys)["final"]
        apart = torch.stack([(predictions[task] - before[task]).square().mean() for task in self.tasks]).sum()
        return {**self.supervised(predictions, batch), "apart": apart}


@pytest.fixture
def made(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> list[Continued]:
    """The networks that trainings of the tiny project make, two epochs of two batches each."""
    set_recipe(tiny, epochs=2)
    networks: list[Continued] = []

    def build(network: NetworkConfig) -> Continued:
        networks.append(Continued(network))
        return networks[-1]

    monkeypatch.setattr(loop, "build", build)
    return networks


def test_a_stop_at_any_step_of_either_stage_changes_nothing(
    tiny: Path, made: list[Continued], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train_or_exit(tiny, CELL)
    ended, stops = stopped_after_each_step(tiny, CELL, monkeypatch)
    assert ended == expected
    assert stops == 2 * 4
    assert [one.begun for one in made] == [1, *[0] * 4, 1, *[0] * 4]  # where the second stage was come to, and nowhere else


def test_the_second_begins_from_the_trained_first_and_leaves_it_alone(
    tiny: Path, made: list[Continued], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, torch.Tensor]] = []
    original = Continued.begin

    def begin(network: Continued) -> None:
        original(network)
        seen.append({name: value.clone() for name, value in network.state_dict().items()})

    monkeypatch.setattr(Continued, "begin", begin)
    train_or_exit(tiny, CELL)
    (at_begin,), after = seen, made[0].state_dict()
    first = [name for name in at_begin if name.startswith("first.")]
    assert len(first) * 2 == len(at_begin)
    for name in first:
        assert torch.equal(at_begin[name], at_begin[name.removeprefix("first.")]), name
        assert torch.equal(at_begin[name], after[name]), name
    assert not torch.equal(after["trunk.fuse.weight"], after["first.trunk.fuse.weight"])


def test_the_first_stays_in_evaluation_mode_and_gets_no_gradient() -> None:
    model = Continued(network("mtl_baseline"))
    assert [(name, one is model) for name, one in model.trainings()] == [("first", False), ("second", True)]
    model.train()
    assert not any(module.training for module in model.first.modules())
    assert all(module.training for name, module in model.named_modules() if not name.startswith("first"))
    assert model.first.train().training  # while it is trained itself
    torch.stack(list(model.train()(batch_of("onelabel")).values())).sum().backward()
    moved = {id(parameter) for group in model.parameter_groups() for parameter in group["params"]}
    for name, parameter in model.named_parameters():
        assert (id(parameter) in moved) == (parameter.grad is not None) == (not name.startswith("first.")), name


def test_a_teacher_that_is_killed_while_it_trains_goes_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint after every step; the process ends without a word in the teacher's last step, and in the student's first."""
    cell = "nyud-onelabel-teacher_control"
    set_recipe(tiny, epochs=2)
    expected = train_or_exit(tiny, cell)
    monkeypatch.setattr(checkpoint, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(checkpoint, "COST_RATIO", 0)
    original, steps = EpochLosses.add, []

    def add(losses: EpochLosses, *args: object) -> None:
        steps.append(losses)
        if len(steps) in (4, 6):
            raise MemoryError
        original(losses, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(EpochLosses, "add", add)
    for _ in range(2):
        with pytest.raises(MemoryError):
            train_or_exit(tiny, cell)
    assert train_or_exit(tiny, cell) == expected
    assert len(steps) == 8 + 2  # none but the two that were cut off is taken twice


def test_pseudo_labels_are_noted_by_epoch_and_are_no_part_of_the_loss(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights, logged = {"semseg": 2.0, "depth": 3.0, "normals": 0.5}, {}
    set_recipe(tiny, task_weights=weights)
    params = yaml.safe_load((tiny / "params.yaml").read_text())
    params["plain"]["teacher_control"] |= {"threshold": 0.1, "thresholds": {}}
    (tiny / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.setattr(Tracker, "log", lambda _, metrics, step: logged.update(metrics))
    outs = train(tiny, "nyud-onelabel-teacher_control")
    teacher, student = json.loads(outs["history.json"])
    assert (teacher["network"], student["network"]) == ("teacher", "student")
    assert "figures" not in teacher
    assert set(student["figures"]) == {f"kept/{task}" for task in weights}
    assert all(0 <= share <= 1 for share in student["figures"].values())
    assert student["figures"]["kept/depth"] > 0
    assert {name: logged[f"student/{name}"] for name in student["figures"]} == student["figures"]
    losses = dict(student["losses"])
    total = losses.pop("total")
    assert set(losses) == {*weights, *(f"pseudo/{task}" for task in weights), "feature"}
    assert total == pytest.approx(sum(weights.get(name.split("/")[-1], 1.0) * loss for name, loss in losses.items()), rel=1e-5)


def test_a_figure_is_a_mean_over_the_steps_that_gave_it() -> None:
    fabric = Fabric(accelerator="cpu", devices=1)
    made = (("semseg",), torch.device("cpu"), ("kept/semseg",))
    losses, always = EpochLosses(*made), {"semseg": torch.tensor(1.0), "total": torch.tensor(1.0), "gradient": torch.tensor(1.0)}
    for share in (0.2, None, 0.6):
        again = EpochLosses(*made)
        again.load_state_dict(losses.state_dict())
        again.add(fabric, always | ({} if share is None else {"kept/semseg": torch.tensor(share)}))
        losses = again
    assert losses.figures() == pytest.approx({"kept/semseg": 0.4})
    assert losses.means(3) == {"semseg": 1.0, "total": 1.0}
