"""Whether the tests notice faults: `python bench/mutants.py [MODULE ...] [--each 8] [--seed 0]`, on Linux.

One thing of a module is changed at a time (a comparison, a sign, a number, a truth, a statement that is left out), and the tests
that concern the module are run; they must fail, or not end in time. Which changes are tried is drawn. What the tests passed is
printed as a difference, to be read. The working tree is not touched: each trial is a fork that imports the changed text. Those of
checkpoints are faster with DMTL_TINY_SHARDS, the folder that `python tests/helpers/tiny_shards.py FOLDER` makes.
"""

import argparse
import ast
import contextlib
import copy
import difflib
import importlib.abc
import importlib.util
import os
import random
import resource
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
TESTS = {  # module -> what tests it
    "dmtl.losses": ("test_losses.py", "training/test_step.py"),
    "dmtl.tasks.classes": ("test_losses.py", "tasks/test_kinds.py"),
    "dmtl.tasks.binary": ("test_losses.py", "tasks/test_kinds.py"),
    "dmtl.tasks.depth": ("test_losses.py", "tasks/test_kinds.py"),
    "dmtl.tasks.normals": ("test_losses.py", "tasks/test_kinds.py"),
    "dmtl.tasks.shared.pixels": ("test_losses.py", "tasks/test_kinds.py"),
    "dmtl.metrics.angles": ("metrics/test_metrics.py",),
    "dmtl.metrics.errors": ("metrics/test_metrics.py", "tasks/test_regression.py"),
    "dmtl.metrics.iou": ("metrics/test_metrics.py",),
    "dmtl.metrics.max_f": ("metrics/test_metrics.py",),
    "dmtl.metrics.delta": ("metrics/test_delta.py",),
    "dmtl.metrics.boundary": ("metrics/test_boundary.py",),
    "dmtl.prepare.label_masks": ("prepare/test_label_masks.py", "prepare/test_mapping_files.py"),
    "dmtl.models.diffusion.schedule": ("models/diffusion/test_schedule.py",),
    "dmtl.models.diffusion.noise": ("models/diffusion/test_noise.py",),
    "dmtl.models.diffusion.blocks": (
        "models/diffusion/test_blocks.py",
        "models/test_models.py::test_packed_pairs_equal_a_loop_over_samples",
    ),
    "dmtl.models.diffusion.denoiser": (
        "models/test_models.py::test_packed_pairs_equal_a_loop_over_samples",
        "models/test_models.py::test_without_conditioning_tasks_do_not_hear_of_each_other",
        "models/test_models.py::test_every_switch_of_the_denoiser_works",
        "models/test_models.py::test_any_number_of_steps",
    ),
    "dmtl.training.checkpoint": (
        "training/test_checkpoint.py",
        "training/test_training_state.py",
        "hostile/test_bad_models.py::test_checkpoints",
        "training/test_training.py::test_two_processes_do_not_train_the_same_cell",
        "training/test_training.py::test_a_damaged_or_foreign_checkpoint_is_refused",
        "training/test_training.py::test_a_full_disk_keeps_the_last_checkpoint",
        "training/test_training.py::test_checkpoints_are_rare_when_saving_is_slow",
        "training/test_training.py::test_a_killed_training_goes_on",
    ),
}
OTHER = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Mod: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Add, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And, ast.USub: ast.UAdd,
}  # fmt: skip
MEMORY = 4 << 30  # bytes over what is held before: a wrong size must not fill the machine


def main() -> None:
    """Every module, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(TESTS))
    parser.add_argument("--each", type=int, default=8, metavar="N", help="changes of each module; 0: all (8)")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    _import_libraries()
    killed = tried = 0
    for module in arguments.modules or TESTS:
        path = ROOT / f"{module.replace('.', '/')}.py"
        tree = ast.parse(path.read_text(encoding="utf-8"))
        begun = time.monotonic()
        passed, said = trial(module, ast.unparse(tree), TESTS[module], 600)
        if not passed:
            sys.exit(f"the tests of {module} fail without any change: {said}")
        seconds = int(20 + 10 * (time.monotonic() - begun))
        found = list(changes(tree))
        if arguments.each:
            found = random.Random(f"{module}{arguments.seed}").sample(found, min(arguments.each, len(found)))
        survived = [text for text in found if trial(module, text, TESTS[module], seconds)[0]]
        tried, killed = tried + len(found), killed + len(found) - len(survived)
        print(f"{module}: {len(found) - len(survived)} of {len(found)} noticed", flush=True)
        for text in survived:
            print("   ", *_difference(ast.unparse(tree), text), sep="\n        ", flush=True)
    print(f"together: {killed} of {tried}, {killed / max(tried, 1):.0%}")


def changes(tree: ast.Module) -> Iterator[str]:
    """The module's text with one change each."""
    for number, node in enumerate(_counted(tree)):
        for which in range(len(_other(node))):
            other = copy.deepcopy(tree)
            target = next(inner for k, inner in enumerate(_counted(other)) if k == number)
            field, value = _other(target)[which]
            setattr(target, field, value)
            yield ast.unparse(ast.fix_missing_locations(other))


def _counted(tree: ast.Module) -> Iterator[ast.AST]:
    """The nodes that may be changed, always in one order; docstrings, messages, type hints and decorators only say something."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        if isinstance(node, ast.FunctionDef):
            waiting += [*node.body, *node.args.defaults, *(default for default in node.args.kw_defaults if default)]
        elif isinstance(node, ast.ClassDef):
            waiting += node.body
        elif isinstance(node, ast.AnnAssign):
            waiting += [node.value] if node.value else []
        else:
            waiting += ast.iter_child_nodes(node)


def _other(node: ast.AST) -> list[tuple[str, Any]]:
    """What a node may hold instead: (attribute, value)."""
    found: list[tuple[str, Any]] = []
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.AugAssign) and type(node.op) in OTHER:
        found.append(("op", OTHER[type(node.op)]()))
    if isinstance(node, ast.Compare) and type(node.ops[0]) in OTHER:
        found.append(("ops", [OTHER[type(node.ops[0])](), *node.ops[1:]]))
    if isinstance(node, ast.Constant) and type(node.value) is bool:
        found.append(("value", not node.value))
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        found += [("value", value) for value in dict.fromkeys((node.value + 1, node.value * 2)) if value != node.value]
    if isinstance(node, ast.IfExp | ast.If | ast.While):
        found.append(("test", ast.UnaryOp(ast.Not(), node.test)))
    called = isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)
    if called or (isinstance(node, ast.Return | ast.Assign) and node.value):
        found.append(("value", ast.Constant(None)))
    return found


def trial(module: str, text: str, tests: Sequence[str], seconds: int) -> tuple[bool, str]:
    """Whether the tests pass with a module's text, in a fork of bounded processor time and memory."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY,) * 2)
            sys.meta_path.insert(0, Changed(module, text))
            import pytest

            places = [str(ROOT / "tests" / name) for name in tests]
            status = pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--tb=no", "--no-header", *places])
        os._exit(int(status))
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, ended = os.waitpid(child, 0)
    return ended == 0, said[-500:]


class Changed(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports a module from a text."""

    def __init__(self, module: str, text: str) -> None:
        self.module, self.text = module, text

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.module:
            return None
        return importlib.util.spec_from_loader(name, self, origin=str(ROOT / f"{name.replace('.', '/')}.py"))

    def exec_module(self, module: Any) -> None:
        module.__file__ = module.__spec__.origin
        exec(compile(self.text, module.__file__, "exec"), module.__dict__)


def _import_libraries() -> None:
    """What all tests import and nobody changes, once; none of the project's own modules stays."""
    import scipy.sparse.csgraph
    import scipy.spatial  # noqa: F401

    import dmtl.models
    import dmtl.training.loop  # noqa: F401

    for name in [name for name in sys.modules if name.partition(".")[0] in ("dmtl", "helpers")]:
        del sys.modules[name]


def _difference(before: str, after: str) -> Iterator[str]:
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), "", "", lineterm="", n=0):
        if not line.startswith(("---", "+++")):
            yield line


if __name__ == "__main__":
    main()
