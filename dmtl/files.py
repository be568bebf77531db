"""Small files that are there whole or not at all."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dmtl.errors import UserError

CLONE = Path(__file__).resolve().parents[1]  # the repository that the package lies in
COPIES = (".dvc", "tmp", "exps")  # where DVC makes the copies that `dvc exp run --temp` and `--queue` work in, and deletes


def original(folder: Path) -> Path:
    """The folder that lasts: of a copy in which DVC runs an experiment the checkout that it was made of, else the folder itself.

    What belongs to a machine and not to an experiment lies there: MLflow's database, `local.yaml`, downloads, checkpoints.

    Args:
        folder: a project's folder or a clone's root.
    """
    folder = folder.resolve()
    copy = _repository(folder)
    for above in copy.parents if copy else ():
        if above.parts[-len(COPIES) :] == COPIES and (repository := _repository(above)):
            return repository / folder.relative_to(copy or folder)
    return folder


def _repository(folder: Path) -> Path | None:
    """The git repository that a folder lies in."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)


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
    """Write a JSON file; equal content gives equal bytes.

    Raises:
        ValueError: a number is not finite, which JSON has no word for: None says that there is none.
    """
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def read_json(path: Path, kind: type = dict) -> Any:
    """The JSON object, or list, that an earlier step wrote.

    Raises:
        UserError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path} is missing: an earlier stage writes it; run 'dvc repro'") from None
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): delete it and run 'dvc repro'") from None
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
