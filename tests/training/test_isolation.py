"""Isolation: a step learns one task alone."""

import pytest
import torch
from helpers.balancing import ONES, Lines, gradients, of, step
from helpers.networks import batch_of, fresh
from torch import Tensor, nn

from dmtl.data.batch import Batch
from dmtl.training.balance import Balance, Isolation

TURNS = [(epoch, number) for epoch in range(3) for number in range(4)]


def _alone(
    model: nn.Module, batch: Batch, at: tuple[int, int], weights: dict[str, float]
) -> tuple[str, dict[str, Tensor | None]]:
    """The task that isolation learns in a step, told by which decoder has a gradient, and the gradients."""
    model.zero_grad()
    step(of("isolation", model, weights), model(batch), at)
    found = gradients(model)
    (task,) = [task for task in ONES if found[f"decoders.heads.{task}.weight"] is not None]
    return task, found


@pytest.mark.parametrize("setting", ["onelabel", "randomlabels", "full"])
def test_isolation_is_the_gradient_of_one_loss_alone(setting: str) -> None:
    """To the bit; other decoders have none at all, and every task has its turn among T steps that follow each other."""
    model, batch, weights = fresh("mtl_baseline").eval(), batch_of(setting), {"semseg": 2.0, "depth": 3.0, "normals": 0.5}
    learned = {}
    for at in TURNS:
        task, found = _alone(model, batch, at, weights)
        model.zero_grad()
        (weights[task] * model(batch)[task]).backward()
        for name, gradient in gradients(model).items():
            assert (found[name] is None) == (gradient is None), name
            assert gradient is None or torch.equal(found[name], gradient), name
        learned[at] = task
    for epoch in range(3):
        assert {learned[epoch, number] for number in range(3)} == set(ONES)
    assert {learned[epoch, 0] for epoch in range(3)} == set(ONES)  # so that no batch is one task's in every epoch


def test_isolation_takes_the_next_task_that_the_batch_labels() -> None:
    model, batch = fresh("mtl_baseline").eval(), batch_of("full")
    for number, expected in enumerate(["semseg", "normals", "normals"]):  # depth's turn goes to normals
        assert _alone(model, batch.only(("semseg", "normals")), (0, number), ONES)[0] == expected
        assert _alone(model, batch.only(("depth",)), (0, number), ONES)[0] == "depth"


def test_isolation_does_not_see_the_other_tasks_and_notes_them_all() -> None:
    """Another task's weight times 100 changes nothing of the step but the noted total."""
    network, heavier = (Lines({"a": [1.0, 2.0], "b": [-2.0, 0.5]}) for _ in range(2))
    plain = step(of("isolation", network, {"a": 2.0, "b": 1.0}), network.losses(), (0, 0))
    other = step(of("isolation", heavier, {"a": 2.0, "b": 100.0}), heavier.losses(), (0, 0))
    assert torch.equal(network.shared.grad, heavier.shared.grad)
    assert (network.own["b"].grad, heavier.own["b"].grad) == (None, None)
    assert plain["total"] == 2 * plain["a"] + plain["b"]
    assert other["total"] == 2 * plain["a"] + 100 * plain["b"]


def test_a_method_may_have_a_balance_of_its_own() -> None:
    isolated = of("fixed", fresh("isolation"))
    assert type(isolated) is Isolation
    assert type(of("uncertainty", fresh("isolation"))) is Isolation
    assert type(of("fixed", fresh("mtl_baseline"))) is Balance
