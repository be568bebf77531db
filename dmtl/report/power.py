"""What an interval could have shown, and what is left of its verdict among many: normal approximations, pure functions.

Everything is taken from the interval itself, so that a p-value below 1 - level says what the interval says.
"""

from collections.abc import Sequence
from statistics import NormalDist

ENOUGH = 0.8  # power from which an effect is said to be one that would have been seen (Cohen, 1988)
_NORMAL = NormalDist()


def critical(level: float) -> float:
    """Standard errors from the middle to either end of an interval that covers `level` per cent."""
    return _NORMAL.inv_cdf(0.5 + level / 200)


def p_value(difference: float, low: float, high: float, level: float) -> float:
    """Two-sided, of no difference: from the end of the interval that is nearer to zero."""
    distance = difference - low if difference > 0 else high - difference
    if not difference or distance <= 0:
        return 0.0 if difference else 1.0
    return 2 * _NORMAL.cdf(-abs(difference) / distance * critical(level))


def power(effect: float, low: float, high: float, level: float) -> float:
    """How probable an interval of this width lies above zero where the true difference is `effect`."""
    error = (high - low) / (2 * critical(level))
    return _NORMAL.cdf(effect / error - critical(level)) if error > 0 else float(effect > 0)


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values corrected for how many there are (Holm, 1979): below alpha, none of them is wrong with probability 1 - alpha."""
    corrected, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = largest
    return corrected
