"""Cosines of the gradients of steps and tasks: against gradients taken one by one, and as their stage writes them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.networks import NYUD, batch_of, fresh
from helpers.stages import run

from dmtl.config import Project, for_report, for_training
from dmtl.errors import UserError
from dmtl.evaluation.step_gradients import BATCHES, measure, step_cosines
from dmtl.models.diffusion.network import DiffusionNetwork
from dmtl.report.figures import gradients_chart
from dmtl.report.results import load_runs
from dmtl.training import loop

# with a condition that is not detached every task moves all decoders, too
SHARED = ("trunk.", "decoders.", "condition.", "denoiser.blocks.", "denoiser.step_embedding.")


def _cosines(gradients: list[np.ndarray]) -> list[list[float]]:
    return [[a @ b / np.sqrt((a @ a) * (b @ b)) for b in gradients] for a in gradients]


def test_cosines_are_those_of_gradients_taken_one_by_one() -> None:
    """Each step's loss of each task from a pass of its own, through the method's own losses."""
    batch, model = batch_of("full"), fresh("step_intervals", steps=3)
    plain = fresh("diffusion_prediction", steps=3).eval()
    assert isinstance(model, DiffusionNetwork)
    assert isinstance(plain, DiffusionNetwork)
    plain.load_state_dict({name: value for name, value in model.state_dict().items() if name != "log_variances"})
    plain.options = plain.options.model_copy(update={"initial_weight": 0.0})
    shared = [p for name, p in plain.named_parameters() if name.startswith(SHARED)]
    gradients = []
    for step in range(3):
        plain.step_weights = lambda step=step: {step: 1.0}  # type: ignore[assignment, method-assign]
        for task in NYUD:
            taken = torch.autograd.grad(plain(batch)[task], shared, allow_unused=True)
            flat = [(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(shared, taken, strict=True)]
            gradients.append(torch.cat(flat).double().numpy())
    found = step_cosines(model, [batch])
    assert np.allclose(np.array(found["objectives"]), _cosines(gradients), atol=1e-3)
    summed = [np.sum(gradients[3 * step : 3 * step + 3], axis=0) for step in range(3)]
    assert np.allclose(np.array(found["steps"]), _cosines(summed), atol=1e-3)


def test_a_task_that_no_batch_labels_has_no_cosine() -> None:
    model = fresh("step_intervals", steps=2)
    assert isinstance(model, DiffusionNetwork)
    found = step_cosines(model, [batch_of("full").only(("semseg", "depth")), batch_of("onelabel").only(("semseg",))])
    there = np.array([[value is not None for value in row] for row in found["objectives"]])
    labelled = np.array([True, True, False] * 2)
    assert (there == np.outer(labelled, labelled)).all()
    assert np.allclose(np.diag(np.array(found["steps"])), 1)


def _trained(tiny: Path, cell: str) -> str:
    project = Project(tiny)
    loop.train(for_training(project, cell), project.paths)
    return cell


@pytest.mark.long
def test_the_report_shows_what_its_stage_measured(tiny: Path) -> None:
    cell, project = _trained(tiny, "nyud-onelabel-step_intervals-steps5"), Project(tiny)
    project.paths.result(cell).parent.mkdir(parents=True)
    project.paths.result(cell).write_text(
        json.dumps({"cell": cell, "seed": 0, "metrics": {"final": {"depth": {"abs_error": 1.0}}, "initial": None}})
    )
    assert gradients_chart(for_report(project), load_runs(for_report(project), project.paths)) is None
    run(tiny, "stages/gradients.py", cell)
    written = json.loads(project.paths.step_gradients(cell).read_text())
    assert (written["cell"], written["batches"], written["tasks"]) == (cell, 2, list(NYUD))  # all there are
    assert written["first"] != written["last"]
    assert written == json.loads(json.dumps(measure(for_training(project, cell), project.paths, BATCHES)))
    chart = gradients_chart(for_report(project), load_runs(for_report(project), project.paths))
    assert chart is not None
    assert len(chart.images) == 4
    assert [row[1] for row in chart.rows] == ["before training", "after training"]
    steps = np.array(written["last"]["steps"])
    assert float(chart.rows[1][2]) == pytest.approx(steps[~np.eye(5, dtype=bool)].mean(), abs=5e-4)


def test_a_method_without_steps_is_named(tiny: Path) -> None:
    cell, project = _trained(tiny, "nyud-onelabel-mtl_baseline"), Project(tiny)
    with pytest.raises(UserError, match=f"cell '{cell}': its method has no denoising steps"):
        measure(for_training(project, cell), project.paths, 1)
