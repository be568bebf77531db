"""A user's own data set: no code, but a benchmark.yaml in the project's folder (docs/own-data.md)."""

from collections.abc import Mapping
from typing import Any

from dmtl.benchmarks.benchmark import Benchmark
from dmtl.benchmarks.folder.collections import Collections
from dmtl.config.own import OwnBenchmark, OwnTask
from dmtl.tasks import NAMES, Task, kind, kind_of, task


def own_benchmark(own: OwnBenchmark) -> Benchmark:
    """What benchmark.yaml says as a `Benchmark`; its files lie where the user says that each collection does.

    Raises:
        UserError: a kind of task is not known, or a task has a name that the field uses for another kind.
    """
    tasks = own_tasks(own.tasks)
    files = Collections(own, tasks)
    scores_boundaries = any(one.kind.name == "boundary" for one in tasks)
    return Benchmark(
        name=own.name,
        title=own.title,
        tasks=tasks,
        fit=own.fit,
        ids=files.ids,
        files=files.files,
        read=files.read,
        boundary_list=files.boundary_list if scores_boundaries else None,
        place=files.place,
        labelled=files.labelled,
        settings=("onelabel", "randomlabels", "full", "given"),
        collections=tuple(own.collections),
        described=own.described(),
    )


def described_tasks(described: Mapping[str, Any]) -> tuple[Task, ...]:
    """The tasks of a user's benchmark from what a shard or a model says of it (`OwnBenchmark.described`)."""
    return own_tasks({name: OwnTask.model_validate(about) for name, about in described["tasks"].items()})


def own_tasks(tasks: Mapping[str, OwnTask]) -> tuple[Task, ...]:
    """The tasks as the package knows them."""
    return tuple(_task(name, about) for name, about in tasks.items())


def _task(name: str, own: OwnTask) -> Task:
    of = kind_of(name) if name in NAMES and NAMES[name][1] == own.kind else kind(own.kind)
    shown = {key: value for key in ("unit", "high", "largest_error") if (value := getattr(own, key)) is not None}
    colours = " ".join(colour.removeprefix("#") for colour in own.classes.values())
    return task(name, own.channels or 0, kind=of, title=own.title, classes=tuple(own.classes), colours=colours, **shown)
