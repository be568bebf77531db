"""What belongs to one thing stands in one place."""

import ast
import re
from pathlib import Path

import pytest
from helpers.project import ROOT

from dmtl.benchmarks import benchmark_names
from dmtl.tasks import NAMES, kind_names

PACKAGE = ROOT / "dmtl"
SOURCES = sorted([*PACKAGE.rglob("*.py"), *(ROOT / "stages").glob("*.py"), *PACKAGE.rglob("*.j2"), *PACKAGE.rglob("*.js")])
AT_THE_TOP = {"__init__", "__main__", "errors", "files", "losses", "stage", "parallel"}
LONGEST = 350


def _below(path: Path, *folders: str) -> bool:
    return any(path.is_relative_to(PACKAGE / folder) for folder in folders)


@pytest.mark.parametrize("name", benchmark_names())
def test_a_benchmark_is_named_in_its_folder_alone(name: str) -> None:
    word = re.compile(rf"(?<![a-z]){name}(?![a-z])", re.IGNORECASE)
    found = [str(p.relative_to(ROOT)) for p in SOURCES if not _below(p, "benchmarks") and word.search(p.read_text())]
    assert found == []


@pytest.mark.parametrize("name", sorted(NAMES))
def test_a_task_is_named_by_tasks_and_benchmarks_alone(name: str) -> None:
    """As a name; a kind that has the same name may be asked for by what a method's paper defines for it."""
    word = re.compile(rf"""["'`]{name}["'`]""" if name in kind_names() else rf"\b{name}\b")
    codes = ("tasks", "benchmarks", *(("models/consistency",) if name in kind_names() else ()))
    found = [str(p.relative_to(ROOT)) for p in SOURCES if not _below(p, *codes) and word.search(p.read_text())]
    assert found == []


def test_no_module_lies_loose_and_none_is_long() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == AT_THE_TOP
    others = [path for folder in ("tests", "bench") for path in (ROOT / folder).rglob("*.py")]
    assert [str(p) for p in [*SOURCES, *others] if len(p.read_text().splitlines()) > LONGEST] == []


def _imports(path: Path) -> set[str]:
    """The package's modules that a module imports while it is itself imported."""
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    names: set[str] = set()
    for node in ast.parse(path.read_text()).body:  # what stands in functions and under TYPE_CHECKING is not run then
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dmtl"):
            names |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name != module}


def test_imports_make_no_circle() -> None:
    modules = {".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p for p in PACKAGE.rglob("*.py")}
    graph = {name: {other for other in _imports(path) if other in modules} for name, path in modules.items()}
    # A package's __init__ that imports a module of its own is loaded before it: such pairs are no circle.
    graph = {n: {o for o in others if not n.startswith(f"{o}.")} for n, others in graph.items()}
    while leaves := {name for name, others in graph.items() if not others & graph.keys()}:
        graph = {name: others - leaves for name, others in graph.items() if name not in leaves}
    assert graph == {}
