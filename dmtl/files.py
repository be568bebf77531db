"""Small files that are there whole or not at all."""

import hashlib
import json
import os
import platform
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from dmtl.errors import UserError
from dmtl.reading.bounded import LARGEST_TEXT, parse_json, read_within

CLONE = Path(__file__).resolve().parents[1]  # the repository that the package lies in
HOST = re.sub(r"[^\w.]", "_", platform.node())  # a process' number says nothing about another machine's
_TOGETHER: ContextVar[list[tuple[Path, Path]] | None] = ContextVar("together", default=None)  # (temporary, path) to be renamed
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

    Within `together` it is renamed at the end of that. What killed processes of this machine left of the same file is deleted.

    Raises:
        UserError: the disk is full or the folder cannot be written.
    """
    temporary, waiting = temporary_name(path), _TOGETHER.get()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear_leftovers(path)
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        if waiting is None:
            temporary.replace(path)
        else:
            waiting.append((temporary, path))
    except (OSError, RuntimeError) as error:  # torch.save raises the latter when the disk is full
        raise _not_written(path, error) from error
    finally:
        if waiting is None or (temporary, path) not in waiting:
            _discard(temporary)


@contextmanager
def together() -> Iterator[None]:
    """Files that are there all or not at all: what `replacing` writes in the block gets its name when the whole block ends well.

    Raises:
        UserError: a file cannot be given its name.
    """
    files: list[tuple[Path, Path]] = []
    before = _TOGETHER.set(files)
    try:
        yield
        for temporary, path in files:
            try:
                temporary.replace(path)
            except OSError as error:
                raise _not_written(path, error) from error
    finally:
        _TOGETHER.reset(before)
        for temporary, _ in files:
            _discard(temporary)


def temporary_name(path: Path) -> Path:
    """Where this process writes what becomes `path`."""
    return path.with_name(f".{path.name}.{HOST}-{os.getpid()}.tmp")


def _discard(temporary: Path) -> None:
    """Delete it, if it is there; what hinders that has hindered the writing too, and that error is the one to tell."""
    with suppress(OSError):
        temporary.unlink(missing_ok=True)


def _clear_leftovers(path: Path) -> None:
    mine = re.compile(re.escape(f".{path.name}.{HOST}-") + r"(\d+)\.tmp")
    with os.scandir(path.parent) as entries:
        found = [(entry.path, match) for entry in entries if (match := mine.fullmatch(entry.name))]
    for name, match in found:
        if not _is_running(int(match[1])):
            _discard(Path(name))


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's
        return True
    return True


def _not_written(path: Path, error: Exception) -> UserError:
    text = " ".join(str(getattr(error, "strerror", None) or error).split())
    told = re.search(r"error message = '([^']+)'", text)  # within the lines that HDF5 makes of it
    reason = told[1] if told else text[:160]
    return UserError(f"{path} could not be written ({reason}): free the disk or mend the folder")


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
