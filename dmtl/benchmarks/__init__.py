"""Benchmarks: one folder each, which says everything about it. The folder listing is the register."""

import importlib
import pkgutil

from dmtl.benchmarks.benchmark import Benchmark
from dmtl.errors import UserError, nearest

__all__ = ["Benchmark", "all_benchmarks", "benchmark", "benchmark_names"]


def benchmark_names() -> list[str]:
    """The benchmarks there are: the folders of this package, but for what they share."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.ispkg and module.name != "shared")


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name not in benchmark_names():
        raise UserError(f"no benchmark '{name}'; {nearest(name, benchmark_names())}")
    return importlib.import_module(f"dmtl.benchmarks.{name}").BENCHMARK


def all_benchmarks() -> list[Benchmark]:
    """Every benchmark, by name."""
    return [benchmark(name) for name in benchmark_names()]
