"""What the numbers of a table measure: the headline metric of a task, a cost of the network, a relative gain."""

from dataclasses import dataclass
from functools import cache

from dmtl.benchmarks import benchmark
from dmtl.tasks import Task

Key = tuple[str, str]  # (task, metric), as result and CSV files have them; no task for what is of the whole network


@dataclass(frozen=True)
class Column:
    """One column of a table.

    Attributes:
        task, metric: its key; `task` is empty for what is of the whole network.
        heading: what stands over the numbers.
        unit, decimals: how they are printed.
        lower_is_better: None where neither is better.
    """

    task: str
    metric: str
    heading: str
    unit: str
    decimals: int
    lower_is_better: bool | None

    @property
    def key(self) -> Key:
        return self.task, self.metric

    def form(self, value: float, sign: str = "") -> str:
        """A number with as many places as the paper gives it; with its sign where `sign` is `+`."""
        return f"{value:{sign}z.{self.decimals}f}"  # z: never -0.00


PARAMS = Column("", "params_m", "#Params M", "M", 0, None)
FLOPS = Column("", "flops_g", "FLOPs G", "G", 0, None)
TRAIN_MEMORY = Column("", "train_memory_mb", "Train memory MB", "MB", 0, None)
DELTA_M = Column("", "delta_m", "Δm % ↑", "%", 2, False)  # against single-task networks
DELTA_MTL = Column("", "delta_mtl", "Δ vs MTL Baseline % ↑", "%", 2, False)


def task_column(task: Task) -> Column:
    """The column of a task's headline metric."""
    kind = task.kind
    return Column(task.name, kind.metric, task.heading, kind.unit, kind.decimals, kind.lower_is_better)


@cache
def columns_of(benchmark_name: str) -> dict[Key, Column]:
    """Every column that a benchmark can have: costs, its tasks in their order, the two relative gains."""
    tasks = (task_column(task) for task in benchmark(benchmark_name).tasks)
    return {column.key: column for column in (PARAMS, FLOPS, TRAIN_MEMORY, *tasks, DELTA_M, DELTA_MTL)}


def headline_columns(benchmark_name: str) -> dict[str, Column]:
    """Task -> its column, in the benchmark's order."""
    return {task: column for (task, _), column in columns_of(benchmark_name).items() if task}


def lower_is_better(benchmark_name: str) -> frozenset[str]:
    """The tasks of a benchmark whose headline metric is an error."""
    return frozenset(task for task, column in headline_columns(benchmark_name).items() if column.lower_is_better)
