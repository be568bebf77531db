"""Small files that are there whole or not at all."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmtl.errors import UserError
from dmtl.reading.bounded import LARGEST_TEXT, parse_json, read_within

CLONE = Path(__file__).resolve().parents[1]  # the repository that the package lies in


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it when the block ends well and deleted when it does not.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch.save raises the latter when the disk is full
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())[:160]
        raise UserError(f"{path} could not be written ({reason}): free the disk or mend the folder") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file; equal content gives equal bytes."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_json(path: Path, kind: type = dict) -> Any:
    """The JSON object, or list, that an earlier step wrote.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = parse_json(read_within(path, LARGEST_TEXT))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: an earlier stage writes it; run 'dvc repro'") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): mend its rights, or delete it and run 'dvc repro'") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({str(error)[:160]}): delete it and run 'dvc repro'") from None
    if not isinstance(content, kind):
        held = type(content).__name__
        raise UserError(f"{path} must hold a JSON {kind.__name__}, but holds {held}: delete it and run 'dvc repro'")
    return content


def digest(*parts: Any) -> str:
    """SHA-256 of JSON-serialisable values; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> dotted key -> value."""
    leaves: dict[str, Any] = {}
    for name, value in tree.items():
        leaves |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return leaves
