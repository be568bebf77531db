"""Losses at several denoising steps: the cheapest intervals by brute force, their weights, and what they leave as it was."""

from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from helpers.networks import MASKS, NYUD, batch_of, fresh
from helpers.project import tiny_params
from torch import Tensor

from dmtl.errors import UserError
from dmtl.models.diffusion.intervals import cheapest_intervals, step_positions
from dmtl.models.diffusion.schedule import signal_to_noise
from dmtl.models.diffusion.step_losses import TERM, StepLosses

COSTS = ("timestep", "snr", "log_snr")
LOSSES = {"predictions": "diffusion_prediction", "features": "diffusion_feature"}


def _positions(cost: str, steps: int) -> np.ndarray:
    return step_positions(cost, signal_to_noise(steps, "sqrt_linear", 1e-3, 1e-2))


def _fresh(steps: int = 5, **options: object) -> StepLosses:
    params = tiny_params()
    params["diffusion"]["network"]["step_intervals"] |= options
    model = fresh("step_intervals", params=params, steps=steps)
    assert isinstance(model, StepLosses)
    return model


def _gradients(model: torch.nn.Module, losses: dict[str, Tensor]) -> dict[str, Tensor]:
    torch.stack(list(losses.values())).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def _plain_cost(positions: np.ndarray, intervals: list[tuple[int, int]]) -> float:
    return sum(abs(positions[t] - positions[(a + b) // 2]) for a, b in intervals for t in range(a, b + 1))


@pytest.mark.parametrize("cost", COSTS)
def test_no_partition_is_cheaper_and_of_equals_the_last_cut_comes_first(cost: str) -> None:
    for steps in range(1, 10):
        positions = _positions(cost, steps)
        for count in range(1, steps + 1):
            every = [[0, *cuts, steps] for cuts in combinations(range(1, steps), count - 1)]
            partitions = [[(a, b - 1) for a, b in pairwise(cuts)] for cuts in every]
            best = min(partitions, key=lambda p: (round(_plain_cost(positions, p), 8), [a for a, _ in reversed(p)]))
            assert cheapest_intervals(positions, count) == best, (steps, count)


@pytest.mark.parametrize("cost", COSTS)
def test_intervals_are_contiguous_and_complete(cost: str) -> None:
    for steps, count in ((1, 1), (5, 3), (20, 7), (30, 30)):
        intervals = cheapest_intervals(_positions(cost, steps), count)
        assert [t for a, b in intervals for t in range(a, b + 1)] == list(range(steps))
        assert len(intervals) == count


@pytest.mark.parametrize(
    ("steps", "count", "cuts"),
    [
        (5, 2, ([2], [1], [2])),
        (5, 3, ([1, 2], [1, 2], [1, 2])),
        (8, 3, ([2, 5], [1, 2], [1, 4])),
        (10, 3, ([3, 6], [1, 2], [3, 6])),
        (20, 3, ([6, 13], [1, 4], [5, 12])),
    ],
)
def test_the_partitions_of_the_documentation(steps: int, count: int, cuts: tuple[list[int], ...]) -> None:
    """Timestep, SNR, log-SNR."""
    for cost, expected in zip(COSTS, cuts, strict=True):
        assert [a for a, _ in cheapest_intervals(_positions(cost, steps), count)[1:]] == expected


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (2, [999, 90]),
        (3, [999, 186.7, 64.5]),
        (5, [999, 295.6, 129.1, 67.9, 40]),
        (8, [999, 367.8, 186.9, 109.9, 70.6, 48.1, 34.3, 25.3]),
    ],
)
def test_the_least_noisy_step_has_the_largest_signal_to_noise(steps: int, expected: list[float]) -> None:
    assert np.allclose(signal_to_noise(steps, "sqrt_linear", 1e-3, 1e-2), expected, atol=0.06)


@pytest.mark.parametrize("count", [0, 4, -1])
def test_more_intervals_than_steps_are_an_error(count: int) -> None:
    with pytest.raises(ValueError, match=f"3 steps do not make {count} intervals"):
        cheapest_intervals(np.arange(3.0), count)


def test_there_are_at_most_as_many_intervals_as_steps() -> None:
    assert _fresh(steps=2, intervals=3).intervals == [(0, 0), (1, 1)]
    assert _fresh(steps=1, intervals=3).intervals == [(0, 0)]


@pytest.mark.parametrize("setting", MASKS)
@pytest.mark.parametrize("denoises", LOSSES)
def test_last_is_the_method_without_it_to_the_byte(denoises: str, setting: str) -> None:
    plain, ours = fresh(LOSSES[denoises], steps=5).train(), _fresh(weights="last", denoises=denoises).train()
    assert plain.state_dict().keys() == ours.state_dict().keys()
    batch = batch_of(setting)
    expected, losses = plain(batch), ours(batch)
    assert expected.keys() == losses.keys()
    assert all(torch.equal(losses[task], loss) for task, loss in expected.items())
    wanted, found = _gradients(plain, expected), _gradients(ours, losses)
    assert wanted.keys() == found.keys()
    assert all(torch.equal(found[name], gradient) for name, gradient in wanted.items())
    images, keys = batch.images, batch.noise_keys
    before, after = (model.eval().predict(images, noise_keys=keys) for model in (plain, ours))
    assert all(torch.equal(after[stage][task], before[stage][task]) for stage in before for task in before[stage])


def test_with_one_step_equal_and_last_are_one() -> None:
    batch = batch_of("randomlabels")
    equal, last = (_fresh(steps=1, weights=weights)(batch) for weights in ("equal", "last"))
    assert all(torch.equal(equal[task], last[task]) for task in NYUD)


def _step_losses(model: StepLosses, step: int) -> dict[str, Tensor]:
    """The losses in which the estimate of one step alone counts."""
    model.step_weights = lambda: {step: 1.0}  # type: ignore[method-assign]
    found = super(StepLosses, model).forward(batch_of("randomlabels"))
    del model.step_weights
    return found


@pytest.mark.parametrize("denoises", LOSSES)
def test_the_weights_are_those_of_a_mean_over_intervals_of_means_over_steps(denoises: str) -> None:
    batch = batch_of("randomlabels")
    for count, intervals in ((1, [[0, 1, 2, 3, 4]]), (5, [[0], [1], [2], [3], [4]]), (3, [[0], [1], [2, 3, 4]])):
        model = _fresh(weights="equal", intervals=count, denoises=denoises).eval()
        initial = model.options.initial_weight
        assert initial == 0.5
        each = [_step_losses(model, step) for step in range(5)]
        model.step_weights = dict  # type: ignore[assignment, method-assign]
        first = super(StepLosses, model).forward(batch)
        del model.step_weights
        for task, loss in model(batch).items():
            denoised = [(losses[task] - first[task]).item() for losses in each]
            expected = np.mean([np.mean([denoised[step] for step in steps]) for steps in intervals]) + first[task].item()
            assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_uncertainty_starts_at_half_the_equal_weights_and_adds_half_the_log_variances() -> None:
    batch = batch_of("full")
    model, equal = _fresh(weights="uw").eval(), _fresh(weights="equal").eval()
    start = {step: weight.item() for step, weight in model.step_weights().items()}
    assert start == pytest.approx({step: weight / 2 for step, weight in equal.step_weights().items()})
    losses = model(batch)
    assert losses[TERM] == 0
    with torch.no_grad():
        model.log_variances.copy_(torch.tensor([0.2, -1.0, 3.0]))
    weights = model.step_weights()
    assert [weights[step].item() for step in range(5)] == pytest.approx(
        [np.exp(-0.2) / 6, np.exp(1.0) / 6, *[np.exp(-3.0) / 18] * 3]
    )
    assert model(batch)[TERM].item() == pytest.approx(1.1)


def test_log_variances_learn_at_a_rate_of_their_own_without_decay() -> None:
    model = _fresh(weights="uw")
    others, own = model.parameter_groups()
    assert own["params"][0] is model.log_variances
    assert len(own["params"]) == 1
    assert (own["rate"](0), own["rate"](99), own["weight_decay"]) == (0.025, 0.025, 0.0)
    assert len(others["params"]) + 1 == len(list(model.parameters()))
    losses = model(batch_of("full"))
    _gradients(model, losses)
    gradient, count = model.log_variances.grad, 3
    assert gradient is not None
    equal = _fresh(weights="equal", intervals=3)
    equal.load_state_dict({name: value for name, value in model.state_dict().items() if name != "log_variances"})
    objectives = [0.0] * count  # d/ds of exp(-s) L / (2 k) + s / 2 is 1 / 2 - L / (2 k) at s = 0
    for j, (a, b) in enumerate(equal.intervals):
        equal.step_weights = lambda a=a, b=b: dict.fromkeys(range(a, b + 1), 1 / (b - a + 1))  # type: ignore[assignment, method-assign]
        together = sum(loss.item() for loss in super(StepLosses, equal).forward(batch_of("full")).values())
        equal.step_weights = dict  # type: ignore[assignment, method-assign]
        objectives[j] = together - sum(loss.item() for loss in super(StepLosses, equal).forward(batch_of("full")).values())
    assert gradient.tolist() == pytest.approx([0.5 - loss / (2 * count) for loss in objectives], rel=1e-4)


@pytest.mark.parametrize("denoises", LOSSES)
def test_inference_does_not_see_the_intervals(denoises: str) -> None:
    images, keys = torch.randn(2, 3, 32, 64), torch.tensor([3, 4])
    found = []
    for options in ({"weights": "equal", "intervals": 1}, {"weights": "uw", "intervals": 5}, {"weights": "last"}):
        model = _fresh(denoises=denoises, **options).eval()  # type: ignore[arg-type]
        found.append(model.predict(images, noise_keys=keys))
    for other in found[1:]:
        assert all(torch.equal(maps, found[0][stage][task]) for stage in other for task, maps in other[stage].items())


def test_a_detached_state_keeps_late_losses_from_early_steps() -> None:
    """The last step's loss reaches the layer that made the state of the step before only where the state is not detached."""
    for detach in (False, True):
        model = _fresh(steps=2, weights="last", detach=detach)
        calls: list[Tensor] = []
        model.denoiser.register_forward_hook(lambda _, args, out, calls=calls: calls.append(out["depth"]))
        losses = model(batch_of("full"))
        for out in calls:
            out.retain_grad()
        losses["depth"].backward()
        early, late = calls
        assert late.grad is not None
        assert (early.grad is None) == detach


def test_the_control_is_one_interval_of_equal_weights() -> None:
    control, batch = fresh("deep_supervision", steps=5), batch_of("full")
    assert isinstance(control, StepLosses)
    assert control.step_weights() == dict.fromkeys(range(5), 0.2)
    same = _fresh(weights="equal", intervals=1)
    assert all(torch.equal(loss, same(batch)[task]) for task, loss in control(batch).items())


def test_without_its_options_it_says_so() -> None:
    params = tiny_params()
    del params["diffusion"]["network"]["step_intervals"]
    assert fresh("diffusion_feature", params=params)
    with pytest.raises(UserError, match=r"'deep_supervision' needs the block diffusion\.network\.step_intervals"):
        fresh("deep_supervision", params=params)
