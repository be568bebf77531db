"""Balances: what each promises of the gradient it makes, against explicit gradients; trainings that go on to the bit."""

import copy
import itertools
import json
import os
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from helpers.networks import batch_of, fresh
from helpers.project import tiny_params, write_project
from lightning_fabric import Fabric
from torch import Tensor, nn

from dmtl.config import Optim, Project, for_training
from dmtl.data.batch import Batch
from dmtl.errors import UserError
from dmtl.training import loop
from dmtl.training.adam import Adam
from dmtl.training.balance import TORCHJD, Balance, GradientBalance, Isolation, Uncertainty, balance_for
from dmtl.training.dibs import dibs_weights
from dmtl.training.gradients import inner_products, shared_by_tasks, task_gradients

FABRIC = Fabric(accelerator="cpu", devices=1)
BY_GRADIENT = ("dibs", *TORCHJD)
WEIGHING = ("uncertainty", *BY_GRADIENT)
CHOICES = (*WEIGHING, "isolation")
ONES = {"semseg": 1.0, "depth": 1.0, "normals": 1.0}


def need(choice: str) -> None:
    """Skip where the choice needs a package that is not installed."""
    if choice in TORCHJD:
        pytest.importorskip("torchjd", reason="the extra 'balance' is not installed")
    for package in {"cagrad": ("cvxpy", "clarabel"), "upgrad": ("quadprog", "qpsolvers")}.get(choice, ()):
        pytest.importorskip(package, reason=f"{choice} needs a solver that is not part of the lock")


class Lines(nn.Module):
    """Losses linear in one shared vector and in one vector of each task: their gradients are what one chooses."""

    balance = None  # of its own

    def __init__(self, gradients: dict[str, list[float]]) -> None:
        super().__init__()
        self.tasks = tuple(gradients)
        self.directions = {task: torch.tensor(direction) for task, direction in gradients.items()}
        self.shared = nn.Parameter(torch.ones(len(next(iter(gradients.values())))))
        self.own = nn.ParameterDict({task: nn.Parameter(torch.ones(2)) for task in gradients})

    def losses(self, *tasks: str, scale: dict[str, float] | None = None) -> dict[str, Tensor]:
        def loss(task: str) -> Tensor:
            return (scale or {}).get(task, 1.0) * (self.directions[task] @ self.shared + self.own[task].sum())

        return {task: loss(task) for task in tasks or self.tasks}


def of(choice: str, network: nn.Module, task_weights: dict[str, float] | None = None, **options: dict) -> Balance:
    """The balance of a choice, with the rest as params.yaml has it."""
    need(choice)
    params = tiny_params()
    optim = Optim.model_validate(params["optim"] | {"balance": choice} | options)
    weights = task_weights or dict.fromkeys(network.tasks, 1.0)  # type: ignore[arg-type]
    training = SimpleNamespace(optim=optim, recipe=SimpleNamespace(task_weights=weights), seed=0)
    return balance_for(training, network, FABRIC)  # type: ignore[arg-type]


def step(made: Balance, losses: dict[str, Tensor], at: tuple[int, int] = (0, 0)) -> dict[str, Tensor]:
    return made.backward(FABRIC, losses, at)


def gradients(network: nn.Module) -> dict[str, Tensor | None]:
    return {name: p.grad for name, p in network.named_parameters()}


@pytest.mark.parametrize("method", ["mtl_baseline", "diffusion_prediction", "diffusion_feature"])
def test_fixed_is_the_weighted_sum_to_the_bit(method: str) -> None:
    model, batch = fresh(method), batch_of("randomlabels")
    plain = copy.deepcopy(model)
    weights = {"semseg": 0.3, "depth": 2.0, "normals": 7.0}
    noted = step(of("fixed", model, weights), model(batch))
    losses = plain(batch)
    total = torch.stack([weights[task] * loss for task, loss in losses.items()]).sum()
    total.backward()
    assert torch.equal(noted.pop("total"), total)
    assert noted.keys() == losses.keys()
    for (name, ours), theirs in zip(gradients(model).items(), gradients(plain).values(), strict=True):
        assert (ours is None) == (theirs is None), name
        assert ours is None or torch.equal(ours, theirs), name


@pytest.mark.parametrize("setting", ["onelabel", "full"])
@pytest.mark.parametrize("method", ["mtl_baseline", "diffusion_prediction", "diffusion_feature"])
def test_weights_of_one_are_fixed_to_rounding(method: str, setting: str) -> None:
    """T passes, put together again, are one pass: no parameter is missed or counted twice."""
    model, batch = fresh(method), batch_of(setting)
    plain = copy.deepcopy(model)
    ones = GradientBalance(ONES, lambda g: torch.ones_like(g[0]), False, list(model.parameters()), seed=0)
    step(ones, model(batch))
    step(Balance(ONES), plain(batch))
    for (name, ours), theirs in zip(gradients(model).items(), gradients(plain).values(), strict=True):
        assert (ours is None) == (theirs is None), name
        assert ours is None or torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4 * float(theirs.abs().max())), name


def test_shared_are_the_parameters_that_two_tasks_move() -> None:
    """Prediction Diffusion's condition is not detached, so every loss moves every decoder."""
    shared = {}
    for method in ("mtl_baseline", "diffusion_feature", "diffusion_prediction"):
        model = fresh(method)
        rows = task_gradients(FABRIC, list(model(batch_of("onelabel")).values()), list(model.parameters()))
        names = [name for name, _ in model.named_parameters()]
        flags = shared_by_tasks(inner_products(rows)).tolist()
        shared[method] = {".".join(n.split(".")[:2]) for n, flag in zip(names, flags, strict=True) if flag}
    trunk = {"trunk.backbone", "trunk.fuse"}
    denoiser = {"denoiser.blocks", "denoiser.step_embedding", "condition.fuse"}
    assert shared["mtl_baseline"] == trunk
    assert shared["diffusion_feature"] == trunk | denoiser
    assert shared["diffusion_prediction"] == trunk | denoiser | {"decoders.decoders", "decoders.heads", "condition.project"}


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_inner_products_are_those_of_each_parameters_gradients(layout: torch.memory_format) -> None:
    model = fresh("diffusion_feature").to(memory_format=layout)
    rows = task_gradients(FABRIC, list(model(batch_of("randomlabels")).values()), list(model.parameters()))
    assert any(None in row for row in rows)
    for row, found in zip(rows, inner_products(rows), strict=True):
        like = next((g for g in row if g is not None), torch.zeros(1))
        flat = torch.stack([(torch.zeros_like(like) if g is None else g).reshape(-1).double() for g in row])
        assert torch.allclose(found, flat @ flat.T, rtol=1e-4, atol=1e-4 * float((flat @ flat.T).max()))


@pytest.mark.parametrize("cosine", [-0.6, 0.0, 0.6])
@pytest.mark.parametrize("choice", BY_GRADIENT)
def test_two_equal_tasks_get_equal_weight(choice: str, cosine: float) -> None:
    network = Lines({"a": [1.0, 0.0], "b": [cosine, (1 - cosine**2) ** 0.5]})
    made = of(choice, network)
    step(made, network.losses())
    weights = made.end_epoch()
    assert weights["a"] == pytest.approx(weights["b"], rel=1e-4)
    assert weights["a"] > 0
    directions = torch.stack(list(network.directions.values()))
    assert torch.allclose(network.shared.grad, torch.tensor(list(weights.values())) @ directions, atol=1e-5)


@pytest.mark.parametrize("choice", BY_GRADIENT)
def test_tasks_that_do_not_conflict_weigh_one_as_in_fixed(choice: str) -> None:
    network = Lines({"a": [1.0, 0.0, 0.0], "b": [0.0, 1.0, 0.0], "c": [0.0, 0.0, 1.0]})
    step(of(choice, network, cagrad={"c": 0.0}), network.losses())
    assert network.shared.grad.tolist() == pytest.approx([1.0, 1.0, 1.0], rel=1e-3)


def test_uncertainty_gives_equal_tasks_equal_weight_and_starts_as_fixed() -> None:
    network = Lines({"a": [1.0, 0.0], "b": [0.0, 1.0]})
    made = of("uncertainty", network, {"a": 2.0, "b": 2.0})
    for number in range(3):
        network.zero_grad()
        step(made, network.losses(), (0, number))
        if number == 0:
            assert network.shared.grad.tolist() == [2.0, 2.0]
    weights = made.end_epoch()
    assert weights["a"] == weights["b"] < 1


def test_uncertainty_learns_one_over_the_loss() -> None:
    """exp(-s) L + s is least at s = log L."""
    network = Lines({"a": [3.0], "b": [0.25]})
    made = Uncertainty({"a": 1.0, "b": 1.0}, network.tasks, rate=0.05, device=torch.device("cpu"))
    for number in range(300):
        step(made, network.losses(), (0, number))
    assert made.end_epoch() == pytest.approx({"a": 1 / 5.0, "b": 1 / 2.25}, rel=1e-2)


@pytest.mark.parametrize("choice", ["dibs", "imtl_g"])
def test_scaling_one_loss_does_not_change_the_direction(choice: str) -> None:
    made_of = {"a": [1.0, 2.0, -1.0], "b": [-2.0, 0.5, 1.0], "c": [0.3, 1.0, 1.0]}
    found = []
    for scale in (1.0, 1000.0):
        network = Lines(made_of)
        step(of(choice, network), network.losses(scale={"b": scale}))
        both = [network.shared.grad, *(p.grad for p in network.own.values())] if choice == "dibs" else [network.shared.grad]
        found.append(torch.cat(both))
    assert torch.allclose(found[0] / found[0].norm(), found[1] / found[1].norm(), atol=1e-5)


@pytest.mark.parametrize("choice", ["pcgrad", "upgrad", "mgda"])
def test_the_step_turns_against_no_task(choice: str) -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(20):
        a, b = torch.randn(2, 4, generator=generator).tolist()
        network = Lines({"a": a, "b": b})
        step(of(choice, network), network.losses())
        products = [float(network.shared.grad @ direction) for direction in network.directions.values()]
        size = float(network.shared.grad.norm() * max(d.norm() for d in network.directions.values()))
        assert min(products) >= -1e-3 * size


def test_pcgrad_projects_as_its_algorithm_does() -> None:
    network = Lines({"a": [1.0, 0.0], "b": [-1.0, 1.0]})
    step(of("pcgrad", network), network.losses())
    a, b = network.directions.values()
    expected = a - (a @ b) / (b @ b) * b + b - (a @ b) / (a @ a) * a
    assert torch.allclose(network.shared.grad, expected, atol=1e-6)


def _plain_dibs(directions: Tensor, iterations: int, radius: float, rate: float) -> Tensor:
    """The algorithm on the gradients themselves: -> weights, not scaled."""
    units = [g / g.norm() for g in directions]
    preferred = [-radius * u for u in units]
    moved, weights = torch.zeros_like(directions[0]), torch.zeros(len(directions), dtype=directions.dtype)
    for _ in range(iterations):
        distances = [(moved - state).norm() for state in preferred]
        for i, distance in enumerate(distances):
            weights[i] += rate * distance / directions[i].norm()
        moved = moved - rate * sum(d * u for d, u in zip(distances, units, strict=True))
        if moved.norm() > radius:
            break
    return weights


@pytest.mark.parametrize(("iterations", "rate"), [(1, 0.01), (5, 2e-4), (5, 0.1), (50, 0.3)])
def test_dibs_is_its_definition_on_explicit_gradients(iterations: int, rate: float) -> None:
    directions = torch.randn(4, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    directions *= torch.tensor([[1e-3], [1.0], [5.0], [200.0]])
    directions[2] -= 3 * directions[1]  # a conflict
    weights = dibs_weights(directions @ directions.T, iterations, rate)
    plain = _plain_dibs(directions, iterations, 1e-3, rate)
    assert torch.allclose(weights, plain / plain.mean(), rtol=1e-9)
    assert float(weights.mean()) == pytest.approx(1)


def test_dibs_as_released_is_nearly_normalised_gradients_and_bargains_at_a_higher_rate() -> None:
    directions = torch.tensor([[2.0, 0.0], [0.1, 0.1], [0.0, -9.0]])
    inverse = 1 / directions.norm(dim=1)
    released = dibs_weights(directions @ directions.T, 5, 2e-4)
    assert torch.allclose(released, inverse / inverse.mean(), rtol=2e-3)
    bargained = dibs_weights(directions @ directions.T, 5, 0.2)
    assert (bargained / released - 1).abs().max() > 0.05


@pytest.mark.parametrize("choice", ["fixed", *CHOICES])
def test_a_task_without_labels_changes_nothing(choice: str) -> None:
    """Absent, or present with a loss that moves nothing: the gradients of the others are the same, its own layers rest."""
    made_of = {"a": [1.0, 2.0, -1.0], "b": [-2.0, 0.5, 1.0], "c": [0.3, 1.0, 1.0]}
    pair = Lines({task: made_of[task] for task in ("a", "b")})
    step(of(choice, pair), pair.losses())
    absent = Lines(made_of)
    made = of(choice, absent)
    step(made, absent.losses("a", "b"))
    assert torch.equal(absent.shared.grad, pair.shared.grad)
    assert absent.own["c"].grad is None
    if choice in BY_GRADIENT:
        assert set(made.end_epoch()) == {"a", "b"}
        ignored = Lines(made_of)
        step(of(choice, ignored), ignored.losses(scale={"c": 0.0}))
        assert torch.allclose(ignored.shared.grad, pair.shared.grad, rtol=1e-6)


def test_the_log_variance_of_an_absent_task_rests() -> None:
    network = Lines({"a": [1.0], "b": [2.0]})
    made = of("uncertainty", network)
    step(made, network.losses())
    before = made.end_epoch()
    step(made, network.losses("a"), (0, 1))
    after = made.end_epoch()
    assert after["b"] == before["b"] != 1
    assert after["a"] != before["a"]


@pytest.mark.parametrize("choice", BY_GRADIENT)
def test_one_labelled_task_alone_is_not_balanced(choice: str) -> None:
    network = Lines({"a": [3.0, 1.0], "b": [0.0, 1.0]})
    made = of(choice, network, {"a": 2.0, "b": 1.0})
    step(made, network.losses("a"))
    assert network.shared.grad.tolist() == [6.0, 2.0]
    assert made.end_epoch() == {}


@pytest.mark.parametrize("choice", BY_GRADIENT)
def test_a_tasks_own_layers_get_its_own_gradient(choice: str) -> None:
    """Under its fixed weight alone, but for DiBS, whose weights hold everywhere."""
    network = Lines({"a": [1.0, 0.0], "b": [-20.0, 1.0]})
    made = of(choice, network, {"a": 2.0, "b": 3.0})
    step(made, network.losses())
    weights = made.end_epoch() if choice == "dibs" else {"a": 1.0, "b": 1.0}
    assert network.own["a"].grad.tolist() == pytest.approx([2 * weights["a"]] * 2)
    assert network.own["b"].grad.tolist() == pytest.approx([3 * weights["b"]] * 2)


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


@pytest.mark.parametrize("choice", BY_GRADIENT)
def test_gradients_that_are_not_finite_are_left_to_the_loop(choice: str) -> None:
    network = Lines({"a": [1.0, float("inf")], "b": [1.0, 1.0]})
    step(of(choice, network), network.losses())
    assert network.shared.grad.tolist() == [2.0, float("inf")]


@pytest.mark.parametrize("choice", ["fixed", *CHOICES])
def test_a_methods_own_term_is_added_as_it_is(choice: str) -> None:
    """Such as XTC's: no task, so neither weighed nor one of those that are balanced."""
    found, made_of = [], {"a": [1.0, 2.0], "b": [-2.0, 0.5]}
    for weight in (0.0, 3.0):
        network = Lines(made_of)
        made = of(choice, network, {"a": 2.0, "b": 1.0})
        noted = step(made, network.losses() | {"consistency": weight * network.shared[0]})
        found.append((network.shared.grad, noted["total"], made.end_epoch()))
    (without, total, weights), (with_term, total_with_term, weights_with_term) = found
    assert torch.allclose(with_term - without, torch.tensor([3.0, 0.0]), atol=1e-5)
    assert float(total_with_term - total) == pytest.approx(3.0)
    assert weights == weights_with_term
    assert set(weights) == ({"a", "b"} if choice in WEIGHING else set())


def test_what_is_random_depends_on_the_step_alone() -> None:
    """PCGrad's order of projections: no generator is read or moved, and steps differ."""
    directions = torch.randn(5, 3, generator=torch.Generator().manual_seed(3)).tolist()

    def at(epoch: int, number: int) -> list[float]:
        network = Lines(dict(zip("abcde", directions, strict=True)))
        made = of("pcgrad", network)
        torch.manual_seed(7)
        before = torch.get_rng_state()
        step(made, network.losses(), (epoch, number))
        assert torch.equal(torch.get_rng_state(), before)
        return network.shared.grad.tolist()

    assert at(0, 1) == at(0, 1)
    assert len({tuple(at(epoch, number)) for epoch, number in itertools.product(range(3), range(3))}) > 3


def _project(folder: Path, choice: str, **recipe: object) -> Project:
    params = yaml.safe_load((folder / "params.yaml").read_text())
    params["optim"]["balance"] = choice
    params["scales"]["demo"]["train"]["nyud"] |= recipe
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    return Project(folder)


def _train(project: Project, cell: str) -> dict[str, bytes]:
    loop.train(for_training(project, cell), project.paths)
    return {name: (project.paths.model(cell) / name).read_bytes() for name in ("model.safetensors", "history.json")}


def _stopped_after_every_step(project: Project, cell: str, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, bytes], int]:
    """A training that a signal stops after each step in turn: its outs, and how often it was stopped."""
    original = loop.Run.__init__

    def told_to_stop(run: loop.Run, *args: object) -> None:
        original(run, *args)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop.Run, "__init__", told_to_stop)
    for stops in itertools.count():
        try:
            return _train(project, cell), stops
        except SystemExit:
            continue
    raise AssertionError


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_trains_and_goes_on_to_the_bit(tiny: Path, monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    need(choice)
    cells = {"dibs": "nyud-full-diffusion_feature", "uncertainty": "nyud-randomlabels-diffusion_prediction"}
    cell = cells.get(choice, "nyud-randomlabels-mtl_baseline")
    project = _project(tiny, choice, precision="bf16-mixed")
    expected = _train(project, cell)
    assert _stopped_after_every_step(project, cell, monkeypatch) == (expected, 2)
    (entry,) = json.loads(expected["history.json"])
    if choice in WEIGHING:
        assert set(entry["weights"]) == {"semseg", "depth", "normals"}
        assert any(abs(weight - 1) > 1e-4 for weight in entry["weights"].values())
    losses = entry["losses"]
    assert losses.pop("total") == pytest.approx(sum(losses.values()))  # under the fixed weights, whatever the choice


@pytest.mark.parametrize("choice", CHOICES)
def test_a_network_of_one_task_has_nothing_to_balance(choice: str) -> None:
    assert type(of(choice, Lines({"a": [1.0]}))) is Balance


def test_the_gradient_is_clipped_after_it_is_balanced(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms: list[float] = []
    original = Adam.step

    def spy(self: torch.optim.Adam, *args: object, **kwargs: object) -> object:
        found = [p.grad for group in self.param_groups for p in group["params"] if p.grad is not None]
        norms.append(float(torch.stack([g.norm() for g in found]).norm()))
        return original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Adam, "step", spy)
    _train(_project(tiny, "dibs", clip=0.01), "nyud-full-mtl_baseline")
    assert norms == pytest.approx([0.01] * 2, rel=1e-3)


@pytest.mark.parametrize(
    ("choice", "missing", "message"),
    [
        ("pcgrad", "torchjd", r"optim.balance 'pcgrad' needs TorchJD.*pip install -e '\.\[balance\]'"),
        ("cagrad", "cvxpy", r"optim.balance 'cagrad': .*cvxpy.*pip install"),
        ("upgrad", "quadprog", r"optim.balance 'upgrad': .*quadprog.*pip install"),
    ],
)
def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch, choice: str, missing: str, message: str) -> None:
    if missing != "torchjd":
        pytest.importorskip("torchjd", reason="the extra 'balance' is not installed")
        mixins = pytest.importorskip("torchjd._mixins")
        monkeypatch.setattr(mixins, "find_spec", lambda name: None if name == missing else name)
    else:
        monkeypatch.setitem(sys.modules, "torchjd", None)
    monkeypatch.setattr(sys.modules[__name__], "need", lambda choice: None)
    with pytest.raises(UserError, match=message) as caught:
        of(choice, Lines({"a": [1.0], "b": [1.0]}))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("choice", ["uncertainty", "dibs", "isolation"])
def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch, choice: str) -> None:
    monkeypatch.setattr(sys.modules[__name__], "FABRIC", SimpleNamespace(world_size=2, device=torch.device("cpu")))
    network = Lines({"a": [1.0], "b": [1.0]})
    with pytest.raises(UserError, match=f"optim.balance '{choice}' trains in one process"):
        of(choice, network)
    assert type(of("fixed", network)) is Balance


def test_a_choice_that_does_not_exist_is_named(tmp_path: Path) -> None:
    params = tiny_params()
    params["optim"]["balance"] = "pcgard"
    with pytest.raises(UserError, match=r"params.yaml: optim.balance: Input should be 'fixed', .*'pcgrad'"):
        for_training(Project(write_project(tmp_path, params)), "nyud-full-mtl_baseline")
