"""The files in `templates/`, and the one environment that fills them in."""

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


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("dmtl.report"), autoescape=select_autoescape(["j2"]), undefined=StrictUndefined, trim_blocks=True
    )
