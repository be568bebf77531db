"""What a user did wrong, told in one line."""

import contextlib
import difflib
import errno
import signal
import sys
import threading
from collections.abc import Iterable, Iterator
from types import FrameType


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
STOPPED = {128 + signal.SIGTERM: "SIGTERM", 128 + signal.SIGINT: "Ctrl-C"}  # exit status -> what it was


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Turn a UserError, or what a disk says, into one line on standard error and status 2; other errors keep their traceback.

    SIGTERM and Ctrl-C end in a line too, with 128 + signal, after all that is half-written has been deleted.
    """
    before = signal.signal(signal.SIGTERM, _end) if threading.current_thread() is threading.main_thread() else None
    try:
        yield
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except OSError as error:
        if error.errno not in WHAT_A_DISK_SAYS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror}: free the disk, or mend the folder or what may be done there", file=sys.stderr)
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


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _say_stopped(status: int) -> None:
    print(f"stopped by {STOPPED[status]}: run the same command again", file=sys.stderr)


def nearest(word: str, known: Iterable[object]) -> str:
    """What the user may have meant by `word`: the nearest of `known`, or all of them."""
    names = sorted(str(name) for name in known)
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"valid: {', '.join(names) or 'none'}"
