"""What every piece of configuration is: a block that knows its keys, types and ranges; how it is read and its faults are told."""

from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from dmtl.errors import UserError, nearest

Positive = Annotated[int, Field(ge=1)]
NonNegative = Annotated[int, Field(ge=0)]
AboveZero = Annotated[float, Field(gt=0)]
ZeroOrMore = Annotated[float, Field(ge=0)]
Zoom = Annotated[float, Field(ge=1)]
Zooms = Annotated[tuple[Zoom, ...], Field(strict=False, min_length=1)]


class Block(BaseModel):
    """A frozen piece of configuration that knows its keys, types and ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


AnyBlock = TypeVar("AnyBlock", bound=Block)


def load_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds keys and values."""
    try:
        loaded = YAML(typ="safe").load(path)  # YAML 1.2, as DVC writes it: 1e-05 is a number
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run it in a project's folder, or name that with --project") from None
    except YAMLError as error:
        raise UserError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(loaded, dict):
        raise UserError(f"{path} must hold keys and values, but holds {type(loaded).__name__}")
    return loaded


def dig(tree: Any, key: str, where: str) -> Any:
    """The value at a dotted key of nested mappings; UserError with the nearest valid key where there is none."""
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(tree, dict) or part not in tree:
            known = tree if isinstance(tree, dict) else {}
            raise UserError(f"{where}: no key '{'.'.join(parts[: depth + 1])}'; {nearest(part, known, most=3)}")
        tree = tree[part]
    return tree


def validated(kind: type[AnyBlock], value: Any, where: str) -> AnyBlock:
    """`value` as a block of that kind; UserError, in one line that begins with `where`, for what does not belong there."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{where}{_explain(kind, error)}") from None


def _explain(kind: type[Block], error: ValidationError) -> str:
    """The first problem of a ValidationError in one line: the key, what is wrong, the nearest valid key."""
    problem = error.errors()[0]
    location = ".".join(str(part) for part in problem["loc"])
    key = f".{location}" if location else ""
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(str(problem['loc'][-1]), _fields_at(kind, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (got {problem['input']!r})" if location else f": {message}"


def _fields_at(kind: Any, location: tuple[Any, ...]) -> list[str]:
    """The keys of the block at a location; keys of a mapping that holds blocks are no fields, and lead to those."""
    for part in location:
        if part in getattr(kind, "model_fields", {}):
            kind = _block_in(kind.model_fields[part].annotation) or kind
    return list(getattr(kind, "model_fields", {}))


def _block_in(annotation: Any) -> Any:
    """The first kind of block that an annotation such as `dict[str, Block]` names."""
    if hasattr(annotation, "model_fields"):
        return annotation
    return next((found for part in get_args(annotation) if (found := _block_in(part))), None)
