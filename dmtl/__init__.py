"""DiffusionMTL (CVPR 2024) rebuilt: multi-task dense prediction from partially labelled images."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmtl.models import load_model

__version__ = "0.1.0"  # pyproject.toml reads it here
__all__ = ["__version__", "load_model"]


def __getattr__(name: str) -> Any:
    """`dmtl.load_model`, found on first use: the commands that need no network start without importing torch."""
    if name == "load_model":
        from dmtl.models import load_model

        return load_model
    raise AttributeError(f"module 'dmtl' has no attribute '{name}'")
