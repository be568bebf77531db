"""The noise schedule and its constants (the paper's Section 3.2.1, DDPM; docs/methods.md, "The noise schedule")."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Posterior:
    """x_{t-1} = predicted * x0_hat + current * x_t + deviation * noise."""

    predicted: float
    current: float
    deviation: float


@dataclass(frozen=True)
class Schedule:
    """Constants of a diffusion of S steps.

    Attributes:
        signal, noise: x_S = signal * x_init + noise * eps, in one jump.
        posteriors: one for each step index t = 1..S-1, at position t - 1; index 0 outputs the denoiser's estimate itself.
    """

    signal: float
    noise: float
    posteriors: tuple[Posterior, ...]

    @property
    def steps(self) -> int:
        return len(self.posteriors) + 1


def variances(steps: int, kind: str, start: float, end: float) -> np.ndarray:
    """The S variances beta_0..beta_{S-1}, float64.

    `sqrt_linear` is linear in the square root, as released; `linear` is the paper's text. They agree for one and two steps.
    """
    if kind == "sqrt_linear":
        return np.linspace(np.sqrt(start), np.sqrt(end), steps) ** 2
    return np.linspace(start, end, steps)


def make_schedule(steps: int, kind: str, start: float, end: float) -> Schedule:
    """The schedule of `steps` variances from `start` to `end`."""
    beta = variances(steps, kind, start, end)
    kept = np.cumprod(1 - beta)  # alpha bar
    posteriors = tuple(_posterior(beta[t], kept[t], kept[t - 1]) for t in range(1, steps))
    return Schedule(float(np.sqrt(kept[-1])), float(np.sqrt(1 - kept[-1])), posteriors)


def signal_to_noise(steps: int, kind: str, start: float, end: float) -> np.ndarray:
    """abar / (1 - abar) at each of the S step indices, float64, from the least noisy on."""
    kept = np.cumprod(1 - variances(steps, kind, start, end))
    return kept / (1 - kept)


def _posterior(beta: float, kept: float, kept_before: float) -> Posterior:
    return Posterior(
        predicted=float(beta * np.sqrt(kept_before) / (1 - kept)),
        current=float((1 - kept_before) * np.sqrt(1 - beta) / (1 - kept)),
        deviation=float(np.sqrt(beta * (1 - kept_before) / (1 - kept))),
    )
