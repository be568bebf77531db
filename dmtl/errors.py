"""What a user did wrong, told in one line."""

import contextlib
import difflib
import errno
import importlib.metadata
import os
import re
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType

DISTRIBUTIONS = {"markdown_it": "markdown-it-py", "skimage": "scikit-image"}  # module -> package, where the names differ


class UserError(Exception):
    """A mistake that the user can mend: the message says what, where and what to do, in one line."""


WHAT_A_DISK_SAYS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ENAMETOOLONG,
}
LONGEST = 1000  # letters of a message
STOPPED = {128 + signal.SIGTERM: "SIGTERM", 128 + signal.SIGINT: "Ctrl-C"}  # exit status -> what it was


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a UserError, or what a disk says, into one line on standard error and status 2; other errors keep their traceback.

    SIGTERM and Ctrl-C end in a line too, with 128 + signal, after all that is half-written has been deleted.
    """
    before = signal.signal(signal.SIGTERM, _end) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {in_one_line(error)}", file=sys.stderr)
        raise SystemExit(2) from None
    except ModuleNotFoundError as error:
        if (extra := extra_with(error.name or "")) is None:
            raise
        print(f"error: this needs the package {error.name}: pip install 'dmtl[{extra}]'", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenPipeError:  # whoever read the output has read enough, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains while it ends
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        if error.errno not in WHAT_A_DISK_SAYS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {in_one_line(where)}{error.strerror}: free the disk, or mend the folder or what may be done there",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        _say_stopped(128 + signal.SIGINT)
        raise SystemExit(128 + signal.SIGINT) from None
    except SystemExit as end:
        if end.code in STOPPED:
            _say_stopped(int(end.code))
        raise
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def in_one_line(message: object) -> str:
    """A message whose control characters, which a strange file's name may hold, are told and not obeyed by the terminal.

    Of one that is longer than anybody reads, such as of a name of a million letters, the middle is left out.
    """
    text = str(message)
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} [...] {text[-LONGEST // 2 :]}"
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda match: repr(match[0])[1:-1], text)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say_stopped(status: int) -> None:
    print(f"stopped by {STOPPED[status]}: run the same command again", file=sys.stderr)


def extra_with(module: str) -> str | None:
    """The extra of the installation that brings a package; None where no extra does, or where dmtl itself is not installed.

    Args:
        module: its name in `import`.
    """
    package = DISTRIBUTIONS.get(module.partition(".")[0], module.partition(".")[0]).replace("_", "-").lower()
    try:
        required = importlib.metadata.requires("dmtl") or []
    except importlib.metadata.PackageNotFoundError:  # run from its sources
        return None
    for line in required:
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra == ['\"]([\w-]+)['\"]", line)
        if name and extra and name[0].replace("_", "-").lower() == package:
            return extra[1]
    return None


def nearest(word: str, known: Iterable[object], most: int = 1) -> str:
    """What the user may have meant by `word`: the `most` nearest of `known`, or all of them."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word[:200], names, n=most, cutoff=0.5)
    meant = " or ".join(f"'{name}'" for name in close)
    return f"did you mean {meant}?" if close else f"valid: {', '.join(names) or 'none'}"
