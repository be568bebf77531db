"""Dense tasks: one file per kind, and the names that the field knows.

The folder listing is the register of kinds: `classes.py` is the kind `classes`. A task is a name, a kind and what the benchmark
says of it. The names below need no more than that; a task of another name says its kind wherever it is written down.
"""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from dmtl.errors import UserError, nearest
from dmtl.tasks.shared.kind import IGNORE, Kind
from dmtl.tasks.shared.task import Task

__all__ = ["IGNORE", "Kind", "Task", "describe_kinds", "kind", "kind_names", "kind_of", "kinds_of", "task"]

NAMES: dict[str, tuple[str, str, dict[str, Any]]] = {  # name -> title, kind, the kind's options
    "semseg": ("Semantic segmentation", "classes", {}),
    "human_parts": ("Human parsing", "classes", {"ignore_empty": True}),
    "saliency": ("Saliency", "binary", {}),
    "normals": ("Surface normals", "normals", {}),
    "boundary": ("Boundary", "boundary", {}),
    "depth": ("Depth", "depth", {}),
}


def kind_names() -> list[str]:
    """The kinds there are: the modules of this package."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)


def kind(name: str, **options: Any) -> Kind:
    """A kind by its name.

    Raises:
        UserError: there is no such kind, or it takes no such option.
    """
    if name not in kind_names():
        raise UserError(f"no kind of task '{name}' in dmtl/tasks; {nearest(name, kind_names())}")
    try:
        return getattr(importlib.import_module(f"dmtl.tasks.{name}"), name.title().replace("_", ""))(**options)
    except TypeError:
        raise UserError(f"a task of kind '{name}' does not take {', '.join(options)}") from None


@cache
def kind_of(task: str) -> Kind:
    """The kind of a task whose name the field knows.

    Raises:
        UserError: nobody knows it.
    """
    if task not in NAMES:
        raise UserError(f"'{task}' is not a task that is known by its name; {nearest(task, NAMES)}")
    _, name, options = NAMES[task]
    return kind(name, **options)


def kinds_of(tasks: Iterable[str], described: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Kind]:
    """Task -> its kind, by its name or as `describe_kinds` wrote it down.

    Raises:
        UserError: a task is neither known nor described, or its kind is not known.
    """
    own = described or {}
    return {name: kind(**own[name]) if name in own else kind_of(name) for name in tasks}


def describe_kinds(kinds: Mapping[str, Kind]) -> dict[str, dict[str, Any]]:
    """Of those tasks that their names do not say: task -> `{"name": kind, option: value, ...}`, for JSON."""
    described = {task: {"name": of.name, **of.options()} for task, of in kinds.items()}
    return {task: text for task, text in described.items() if text != _by_name(task)}


def task(name: str, channels: int = 0, **about: Any) -> Task:
    """A task of a benchmark.

    Args:
        name: one of `NAMES`, or any other together with `kind` (a name, or a `Kind`) and `title`.
        channels: of a network's output; where it is not given as many as there are `classes`, or as the kind says.
        about: `classes`, `colours`, `high`, `largest_error`, `unit` as `Task` has them.
    """
    of = about.pop("kind", None) or kind_of(name)
    of = kind(of) if isinstance(of, str) else of
    title = about.pop("title", None) or (NAMES[name][0] if name in NAMES else name)
    shown: dict[str, Any] = {"high": of.high, "largest_error": of.largest_error, "unit": of.value_unit}
    return Task(name, of, channels or len(about.get("classes", ())) or of.outputs, title, **(shown | about))


def _by_name(task: str) -> dict[str, Any] | None:
    if task not in NAMES:
        return None
    of = kind_of(task)
    return {"name": of.name, **of.options()}
