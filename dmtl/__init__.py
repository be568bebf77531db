"""DiffusionMTL (CVPR 2024) rebuilt: multi-task dense prediction from partially labelled images."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dmtl.inference.prediction import Prediction
    from dmtl.inference.predictor import Predictor
    from dmtl.models import load_model

__version__ = "0.1.0"  # pyproject.toml reads it here
__all__ = ["Prediction", "Predictor", "__version__", "load_model"]

_PLACES = {"Prediction": "dmtl.inference.prediction", "Predictor": "dmtl.inference.predictor", "load_model": "dmtl.models"}


def __getattr__(name: str) -> Any:
    """What `__all__` lists, found on first use: the commands that need no network start without importing torch."""
    if name in _PLACES:
        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'dmtl' has no attribute '{name}'")
