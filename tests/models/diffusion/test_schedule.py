"""Schedules of the noise, against values computed by hand."""

import numpy as np
import pytest

from dmtl.models.diffusion.schedule import make_schedule, variances


def test_schedule_constants() -> None:
    """Against values computed by hand from the paper's Eq. 3."""
    one, two, three = (make_schedule(s, "sqrt_linear", 1e-3, 1e-2) for s in (1, 2, 3))
    assert (one.signal, one.noise, one.posteriors) == (pytest.approx(0.99950, abs=5e-6), pytest.approx(0.03162, abs=5e-6), ())
    assert (two.signal, two.noise) == (pytest.approx(0.994490, abs=1e-6), pytest.approx(0.104833, abs=1e-6))
    p = two.posteriors[0]
    assert (p.predicted, p.current, p.deviation) == pytest.approx((0.909463, 0.090536, 0.030165), abs=1e-6)
    assert three.signal == pytest.approx(0.99233, abs=1e-5)
    rounded = [(p.predicted, p.current, p.deviation) for p in three.posteriors]
    assert np.allclose(rounded, [(0.81268, 0.18732, 0.02851), (0.65298, 0.34701, 0.05906)], atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "kept"), [("linear", [0.98357, 0.97816, 0.97277]), ("sqrt_linear", [0.98473, 0.98020, 0.97564])]
)
def test_the_two_schedules_differ_from_three_steps_on(kind: str, kept: list[float]) -> None:
    alpha_bars = [np.prod(1 - variances(steps, kind, 1e-3, 1e-2)) for steps in (3, 4, 5)]
    assert np.allclose(alpha_bars, kept, atol=1e-5)
    assert np.allclose(variances(2, "linear", 1e-3, 1e-2), variances(2, kind, 1e-3, 1e-2))
