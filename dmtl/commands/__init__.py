"""The commands of `dmtl`: one file each, with its arguments and the call. The folder listing is the register.

The first line of a command's docstring is its help. Commands are all imported for `dmtl --help`, so each imports what takes long
in its call.
"""

import importlib
import pkgutil
from types import ModuleType

__all__ = ["commands"]


def commands() -> dict[str, ModuleType]:
    """The name of each command, as it is typed, and its module: `add_arguments(parser)` and `run(arguments)`."""
    names = sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg)
    return {name.replace("_", "-"): importlib.import_module(f"{__name__}.{name}") for name in names}
