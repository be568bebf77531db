"""What a user did wrong, told in one line."""

import contextlib
import difflib
import importlib.metadata
import os
import re
import signal
import sys
from collections.abc import Iterable, Iterator

DISTRIBUTIONS = {"markdown_it": "markdown-it-py", "skimage": "scikit-image"}  # module -> package, where the names differ


class UserError(Exception):
    """A mistake that the user can mend: the message says what, where and what to do, in one line."""


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a UserError into one line on standard error and exit status 2; anything else keeps its traceback."""
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        if (extra := extra_with(error.name or "")) is None:
            raise
        print(f"error: this needs the package {error.name}: pip install 'dmtl[{extra}]'", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # whoever read the output has read enough, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains while it ends
        raise SystemExit(128 + signal.SIGPIPE) from None


def extra_with(module: str) -> str | None:
    """The extra of the installation that brings a package; None where no extra does.

    Args:
        module: its name in `import`.
    """
    package = DISTRIBUTIONS.get(module.partition(".")[0], module.partition(".")[0]).replace("_", "-").lower()
    for line in importlib.metadata.requires("dmtl") or []:
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name and extra and name[0].replace("_", "-").lower() == package:
            return extra[1]
    return None


def nearest(word: str, known: Iterable[object], most: int = 1) -> str:
    """What the user may have meant by `word`: the `most` nearest of `known`, or all of them."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, n=most, cutoff=0.5)
    meant = " or ".join(f"'{name}'" for name in close)
    return f"did you mean {meant}?" if close else f"valid: {', '.join(names) or 'none'}"
