"""What a user did wrong, told in one line."""

import contextlib
import difflib
import sys
from collections.abc import Iterable, Iterator


class UserError(Exception):
    """A mistake that the user can mend: the message says what, where and what to do, in one line."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a UserError into one line on standard error and exit status 2; anything else keeps its traceback."""
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def nearest(word: str, known: Iterable[object]) -> str:
    """What the user may have meant by `word`: the nearest of `known`, or all of them."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(names) or 'none'}"
