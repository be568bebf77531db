"""What every piece of configuration is: a block that knows its keys, types and ranges; how it is read and its faults are told."""

import re
import reprlib
from typing import Annotated, Any, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from dmtl.errors import UserError, nearest

LARGEST_COUNT = 1_000_000  # of epochs, images, seeds: nobody needs more, and it is no slip of the keyboard
LARGEST_SEED = 2**32 - 1
LARGEST_VALUE = 1e9  # of a weight, a rate or a threshold
NAME = r"^[a-z][a-z0-9_]{0,39}$"  # of a scale, benchmark, method or task: part of paths and of command lines
CELL_NAME = r"^[a-z][a-z0-9_]{0,39}(-[a-z0-9_]{1,60}){2,6}$"

Positive = Annotated[int, Field(ge=1, le=LARGEST_COUNT)]
NonNegative = Annotated[int, Field(ge=0, le=LARGEST_COUNT)]
Layers = Annotated[int, Field(ge=1, le=64)]  # of one kind, one after the other
Heads = Annotated[int, Field(ge=1, le=256)]
Width = Annotated[int, Field(ge=1, le=8192)]
Steps = Annotated[int, Field(ge=1, le=1000)]
Processes = Annotated[int, Field(ge=0, le=1024)]
Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
AboveZero = Annotated[float, Field(gt=0, le=LARGEST_VALUE)]
ZeroOrMore = Annotated[float, Field(ge=0, le=LARGEST_VALUE)]
Zoom = Annotated[float, Field(ge=1, le=16)]
Zooms = Annotated[tuple[Zoom, ...], Field(strict=False, min_length=1, max_length=32)]
Name = Annotated[str, Field(pattern=NAME)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def once_each(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """ValueError where a value stands twice in a list that counts each once."""
    twice = next((value for k, value in enumerate(values) if value in values[:k]), None)
    if twice is not None:
        raise ValueError(f"{twice!r} stands there twice")
    return values


Once = AfterValidator(once_each)


class Block(BaseModel):
    """A frozen piece of configuration that knows its keys, types and ranges."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


AnyBlock = TypeVar("AnyBlock", bound=BaseModel)


def dig(tree: Any, key: str, where: str) -> Any:
    """The value at a dotted key of nested mappings; UserError with the nearest valid key where there is none."""
    for depth, part in enumerate(parts := key.split(".")):
        if not isinstance(tree, dict) or part not in tree:
            known = tree if isinstance(tree, dict) else {}
            raise UserError(f"{where}: no key '{'.'.join(parts[: depth + 1])[:200]}'; {nearest(part, known, most=3)}")
        tree = tree[part]
    return tree


def validated(kind: type[AnyBlock], value: Any, where: str) -> AnyBlock:
    """`value` as a block of that kind; UserError, in one line that begins with `where`, for what does not belong there."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{where}{_explain(kind, error)}") from None


def _explain(kind: type[BaseModel], error: ValidationError) -> str:
    """The first problem of a ValidationError in one line: the key, what is wrong, the nearest valid key."""
    problem = error.errors()[0]
    location = ".".join(str(part) for part in problem["loc"])
    key = f".{location}" if location else ""
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key; {nearest(str(problem['loc'][-1]), _fields_at(kind, problem['loc'][:-1]))}"
    if problem["type"] == "missing":
        return f"{key}: missing"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key}: {message} (got {shortened(problem['input'])})" if location else f": {message}"


def shortened(value: Any) -> str:
    """A value as a message shows it."""
    return reprlib.repr(value)


def require_plain_name(name: object, what: str, where: str) -> str:
    """`name`, where it follows the pattern of all names that become part of paths.

    Raises:
        UserError: it does not.
    """
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise UserError(
            f"{where}: {what} {shortened(name)} is no name: give up to 40 small letters, digits and '_', the first a letter"
        )
    return name


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
