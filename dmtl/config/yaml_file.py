"""YAML files, looked at before they are loaded: how large, how deep, and how much their aliases would make of them."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from dmtl.errors import UserError
from dmtl.reading.bounded import read_within

LARGEST = 4 << 20  # bytes; a grid of ten thousand cells
MOST_VALUES = 500_000  # once every alias stands for what it names
DEEPEST = 32
LONGEST_NUMBER = 100  # digits

Content = TypeVar("Content")


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds keys and values.

    Raises:
        UserError: it is missing, no YAML, too large or too deep, or holds an alias of what the alias itself lies in.
    """
    try:
        text = read_within(path, LARGEST).decode("utf-8")
        _require_bounded(text)
        loaded = YAML(typ="safe").load(text)  # YAML 1.2, as DVC writes it: 1e-05 is a number
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run it in a project's folder, or name that with --project") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): mend its rights, or put the file itself there") from None
    except (YAMLError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())[:300]}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold keys and values, but holds {type(loaded).__name__}")
    return loaded


def until_changed(read: Callable[[Path], Content]) -> Callable[[Path], Content]:
    """`read` of a file, whose result is kept until the file is another or is written again; nobody may change the result."""

    @functools.lru_cache(maxsize=16)
    def kept(file: Path, _device: int, _number: int, _size: int, _changed: int) -> Content:
        return read(file)

    @functools.wraps(read)
    def reading(file: Path) -> Content:
        status = os.stat(file)
        return kept(file, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    return reading


def _require_bounded(text: str) -> None:
    """ValueError unless the events of a text stay within the bounds; nothing is made of them yet."""
    sizes: dict[str, int] = {}  # anchor -> values below it, aliases counted as what they stand for
    still_open: list[tuple[str | None, int]] = []  # the collections around the event: anchor, values before it
    count = 0
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, AliasEvent):
            if any(anchor == event.anchor for anchor, _ in still_open):
                raise ValueError(f"'*{event.anchor}' stands within what it names")
            count += sizes.get(event.anchor, 1)
        elif isinstance(event, CollectionStartEvent):
            still_open.append((event.anchor, count))
            count += 1
        elif isinstance(event, CollectionEndEvent):
            anchor, before = still_open.pop()
            if anchor:
                sizes[anchor] = count - before
        elif isinstance(event, NodeEvent):
            count += 1
            value = getattr(event, "value", "")
            if len(value) > LONGEST_NUMBER and value.lstrip("+-").replace("_", "").isdecimal():
                raise ValueError(f"a number of {len(value)} digits")
        if len(still_open) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels")
        if count > MOST_VALUES:
            raise ValueError(f"its aliases stand for more than {MOST_VALUES} values")
