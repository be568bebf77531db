"""What the networks cost, as the page shows it; `dmtl.cost` counts it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class NetworkCost:
    """One network of the grid at the paper's size, with the GPU-hours of all its trainings; `paper_*` where it is printed."""

    benchmark: str
    backbone: str
    method: str
    params_m: float
    idle_params_m: float
    flops_g: float
    paper_params_m: float | None
    paper_flops_g: float | None
    trainings: int
    hours: float


@dataclass(frozen=True)
class CostReport:
    """The costs of a grid.

    Attributes:
        totals: of each table and of the whole grid its name, GPU-hours and trainings.
        throughput: multiply-adds a second that a GPU is taken to sustain.
        assumed: what the hours stand on.
        reasons: why networks differ from the printed figures, and what is counted but not used.
    """

    networks: Sequence[NetworkCost]
    totals: Sequence[tuple[str, float, int]]
    throughput: float
    assumed: str
    reasons: Sequence[str]
