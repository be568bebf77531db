"""p-values, power and Holm's correction, against figures that are known."""

import pytest

from dmtl.report.power import holm, p_value, power
from dmtl.report.published import Row, papers_gain


def test_holm_corrects_as_printed() -> None:
    """0.005 x 4, 0.01 x 3, 0.03 x 2, and 0.04 not below the one before."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(("low", "high"), [(0.5, 3.0), (-0.5, 3.0), (-3.0, -0.5), (-3.0, 0.5), (-1.0, 1.0)])
def test_a_p_value_says_what_its_interval_says(low: float, high: float) -> None:
    assert (p_value((low + high) / 2, low, high, 95) < 0.05) == (low > 0 or high < 0)


def test_the_p_value_of_a_known_distance() -> None:
    """1.96 standard errors from zero, and three; an interval without width leaves no doubt."""
    assert p_value(1.0, 0.0, 2.0, 95) == pytest.approx(0.05)
    assert p_value(-3.0, -4.96, -1.04, 95) == pytest.approx(0.0027, abs=1e-4)
    assert p_value(0.0, 0.0, 0.0, 95) == 1.0
    assert p_value(1.0, 1.0, 1.0, 95) == 0.0


def test_power_of_an_effect() -> None:
    """Half where the effect is just significant, 80 % at 2.8 standard errors (Cohen), a half level where there is none."""
    assert power(1.96, -1.96, 1.96, 95) == pytest.approx(0.5, abs=1e-3)
    assert power(2.8016, -5.96, -2.04, 95) == pytest.approx(0.8, abs=1e-3)
    assert power(0.0, -1.0, 1.0, 95) == pytest.approx(0.025, abs=1e-4)
    assert power(1.0, 2.0, 2.0, 95) == 1.0


def test_the_papers_difference_is_of_its_main_backbone_and_of_another_benchmark_where_needed() -> None:
    ours = Row("nyud", "onelabel", "diffusion_prediction", "tf_efficientnet_lite0")
    assert papers_gain(ours, ours._replace(method="mtl_baseline")) == (1.13, "nyud")  # -2.86 and -3.99
    assert papers_gain(ours, ours._replace(method="no_diffusion")) == (3.12, "pascal")  # the text's own "+3.12 (ResNet-18)"
    assert papers_gain(ours, ours._replace(steps=1)) is None
    assert papers_gain(ours, ours._replace(method="jtr")) is None
