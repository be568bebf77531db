"""Contiguous intervals of the denoiser's steps that cost least (ANT's Section 4.2; docs/methods.md, "step_intervals").

https://gohyojun15.github.io/ANT_diffusion/. The cost of an interval is the sum of distances of its steps to the one at its
centre; dynamic programming finds the cheapest partition exactly.
"""

import numpy as np

Interval = tuple[int, int]  # first and last step index, both of them in it


def step_positions(cost: str, signal_to_noise: np.ndarray) -> np.ndarray:
    """Where each step lies on the line on which distances are taken, `(S,)`: its index, its SNR or the logarithm of that."""
    places = {"timestep": np.arange(len(signal_to_noise)), "snr": signal_to_noise, "log_snr": np.log(signal_to_noise)}
    return places[cost].astype(float)


def cheapest_intervals(positions: np.ndarray, count: int) -> list[Interval]:
    """`count` contiguous intervals of the steps 0 .. S-1, in their order, with the least sum of costs.

    Of partitions that cost the same, to rounding, it takes the one whose last interval begins first, then the one before it.

    Raises:
        ValueError: there are fewer steps than intervals, or no interval is asked for.
    """
    steps = len(positions)
    if not 1 <= count <= steps:
        raise ValueError(f"{steps} steps do not make {count} intervals")
    least = [interval_cost(positions, 0, last) for last in range(steps)]
    cuts: list[list[int]] = []  # of each number of intervals from 2 on: where the last of them begins, by the step it ends at
    for made in range(1, count):
        begins = [_cheapest_begin(positions, least, made, last) for last in range(steps)]
        least = [
            least[begin - 1] + interval_cost(positions, begin, last) if last >= made else np.inf
            for last, begin in enumerate(begins)
        ]
        cuts.append(begins)
    intervals, last = [], steps - 1
    for begins in reversed(cuts):
        intervals.append((begins[last], last))
        last = begins[last] - 1
    return [(0, last), *reversed(intervals)]


def interval_cost(positions: np.ndarray, first: int, last: int) -> float:
    """Sum of the distances of the steps `first` to `last` from the one at their centre, of two such the lower."""
    return float(np.abs(positions[first : last + 1] - positions[(first + last) // 2]).sum())


def _cheapest_begin(positions: np.ndarray, least: list[float], made: int, last: int) -> int:
    """Where an interval that ends at `last` best begins after `made` intervals that cost `least`; the smallest of equals."""
    costs = {begin: least[begin - 1] + interval_cost(positions, begin, last) for begin in range(made, last + 1)}
    return min(costs, key=lambda begin: (round(costs[begin], 9), begin), default=made)
