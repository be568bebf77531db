"""Balances: what each promises of the gradient it makes, against explicit gradients; trainings that go on to the bit."""

import copy
import itertools

import pytest
import torch
from helpers.balancing import BY_GRADIENT, CHOICES, ONES, WEIGHING, Lines, gradients, of, step
from helpers.networks import batch_of, fresh

from dmtl.training.balance import Balance, GradientBalance, Uncertainty


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


@pytest.mark.parametrize("choice", CHOICES)
def test_a_network_of_one_task_has_nothing_to_balance(choice: str) -> None:
    assert type(of(choice, Lines({"a": [1.0]}))) is Balance
