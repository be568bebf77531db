"""Measure what is missing, within a budget of minutes, one thing after the other."""

import gc
import sys
import time
from collections.abc import Sequence
from typing import Any

import torch
from tqdm import tqdm

from dmtl.errors import UserError
from dmtl.hardware.plan import Work
from dmtl.hardware.record import Record


def measure(works: Sequence[Work], record: Record, minutes: float) -> bool:
    """Work through the list; what fails, such as for want of memory, is noted with its reason.

    Returns:
        Whether all of it was done: False where the time was up or the user stopped it. The record has what was.
    """
    end = time.monotonic() + 60 * minutes
    with tqdm(works, "measuring", unit="thing", disable=None) as bar:
        for work in bar:
            if time.monotonic() >= end:
                return False
            bar.set_postfix_str(work.key)
            try:
                record.note(work.part, work.key, _measured(work))
            except KeyboardInterrupt:
                return False
    return True


def _measured(work: Work) -> Any:
    try:
        return work.measure()
    except UserError as error:
        if work.part == "peaks":
            raise
        return {"failed": str(error)}
    except (RuntimeError, OSError, ImportError) as error:  # of memory, of the compiler
        if work.part == "peaks":
            raise UserError(f"the peak in {work.key} cannot be measured here: {_one_line(error)}") from None
        return {"failed": _one_line(error)}
    finally:
        _clear()


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _clear() -> None:
    """So that the next network has the device to itself."""
    gc.collect()
    if "torch._dynamo" in sys.modules:
        torch._dynamo.reset()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
