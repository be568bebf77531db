"""Imports that cost less: a third of what a stage needs to start would go into a compiler that it never calls."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def without_compiler() -> Iterator[None]:
    """Import lightning_fabric or torchvision within this block, and `torch._dynamo` (1 s, 1,200 modules) is left out.

    Both import it for a single name, wherever one enters them, and offer no other way: Fabric to recognise networks that
    `torch.compile` has wrapped, torchvision to choose an implementation of RoI align. The project has neither (`compile: true`
    compiles in place). So the block stands in for these two names, and nothing else changes: after it `torch._dynamo` can be
    imported as ever. Where it is imported already, this does nothing.
    """
    if "torch._dynamo" in sys.modules:
        yield
        return
    compiler, utils = ModuleType("torch._dynamo"), ModuleType("torch._dynamo.utils")
    compiler.OptimizedModule = type("OptimizedModule", (), {})  # type: ignore[attr-defined]  # nothing is an instance of it
    utils.is_compile_supported = lambda device: False  # type: ignore[attr-defined]
    standing_in = {module.__name__: module for module in (compiler, utils)}
    sys.modules |= standing_in
    try:
        yield
    finally:
        for name in standing_in:
            del sys.modules[name]
