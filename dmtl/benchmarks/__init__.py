"""Benchmarks: one folder each, which says everything about it. The folder listing is the register.

A user's own is described by the benchmark.yaml of a project folder, and known once that has been read.
"""

import importlib
import pkgutil
from pathlib import Path

from dmtl.benchmarks.benchmark import Benchmark
from dmtl.errors import UserError, nearest

_NO_BENCHMARKS = ("shared", "folder")  # what they share, and what makes one of a benchmark.yaml
_own: dict[str, Benchmark] = {}  # those that were read in this process

__all__ = ["Benchmark", "all_benchmarks", "benchmark", "benchmark_names", "read_own"]


def benchmark_names() -> list[str]:
    """The benchmarks there are: the folders of this package."""
    return sorted(m.name for m in pkgutil.iter_modules(__path__) if m.ispkg and m.name not in _NO_BENCHMARKS)


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        UserError: there is none of that name.
    """
    if name in _own:
        return _own[name]
    if name not in benchmark_names():
        raise UserError(f"no benchmark '{name}'; {nearest(name, [*benchmark_names(), *_own])}")
    return importlib.import_module(f"dmtl.benchmarks.{name}").BENCHMARK


def read_own(folder: Path) -> Benchmark | None:
    """The benchmark that a project folder describes, which is then known by its name; None where it describes none.

    Raises:
        UserError: the description is faulty, or its name is taken.
    """
    from dmtl.benchmarks.folder import own_benchmark
    from dmtl.config import load_own

    if (own := load_own(folder)) is None:
        return None
    try:
        if own.name in benchmark_names():
            raise UserError(f"name '{own.name}' is a benchmark of the package: take another")
        _own[own.name] = own_benchmark(own)
    except UserError as error:
        raise UserError(f"{folder / 'benchmark.yaml'}: {error}") from None
    return _own[own.name]


def all_benchmarks() -> list[Benchmark]:
    """Every benchmark, by name."""
    return [benchmark(name) for name in benchmark_names()]
