"""The files in `templates/`, and the one environment that fills them in."""

from collections.abc import Iterable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape


def render(template: str, **values: Any) -> str:
    """A template with everything escaped that it does not call safe; a value that is missing is an error."""
    return _environment().get_template(template).render(values)


def text_of(name: str) -> str:
    """A style or a script as it stands in `templates/`."""
    return files("dmtl.report").joinpath("templates", name).read_text(encoding="utf-8")


def without_empty(header: Sequence[str], rows: Iterable[Sequence[str]]) -> tuple[list[str], list[list[str]]]:
    """A table's header and rows without the columns in which no row has anything."""
    lines = list(rows)
    filled = [k for k in range(len(header)) if any(line[k] for line in lines) or not lines]
    return [header[k] for k in filled], [[line[k] for k in filled] for line in lines]


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dmtl.report"), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True
    )
