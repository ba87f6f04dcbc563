"""Files of other people, opened: a pipe, a socket or a device is an error at once, never a wait.

Whatever a user or a stranger names is opened here. `open` of a named pipe waits for a writer that
may never come, and a read that waits so cannot be ended by Ctrl-C.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from io import TextIOWrapper
from pathlib import Path
from typing import BinaryIO

# A named pipe is opened without waiting for its writer; Windows has neither flag, nor such pipes
# among its files, and would translate line ends without O_BINARY.
FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_BINARY", 0)
)
KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
# What a shell gives for `… | unseen classify /dev/stdin` and for `<(command)`. Only by these names:
# a link in a folder that leads there is a pipe like any other.
OWN = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/self/fd/\d+")


def open_regular(path: str | Path) -> BinaryIO:
    """A regular file, opened to be read as bytes.

    Raises OSError, whose `strerror` is a sentence, for anything else: IsADirectoryError for a
    folder; also FileNotFoundError, which names the end of a broken link.
    """
    own = OWN.fullmatch(str(path)) is not None
    try:
        _check(
            Path(path).stat().st_mode, path, own=own
        )  # first: opening some devices does something
    except FileNotFoundError:
        raise _missing(path) from None
    flags = os.O_RDONLY if own else FLAGS
    descriptor = os.open(path, flags)
    try:
        _check(os.fstat(descriptor).st_mode, path, own=own)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_bytes(path: str | Path) -> bytes:
    """The content of a regular file. Raises OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


def read_text(path: str | Path, encoding: str = "utf-8", newline: str | None = None) -> str:
    """The text of a regular file. Raises OSError as `open_regular`, and UnicodeDecodeError."""
    with TextIOWrapper(open_regular(path), encoding, newline=newline) as file:
        return file.read()


def _check(mode: int, path: str | Path, *, own: bool) -> None:
    if stat.S_ISREG(mode) or (own and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))):
        return
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    kind = next((kind for test, kind in KINDS if test(mode)), "something else")
    raise OSError(errno.EINVAL, f"this is {kind}, not a file", str(path))


def _missing(path: str | Path) -> FileNotFoundError:
    """As the system's own; of a broken link it says where that leads."""
    reason = os.strerror(errno.ENOENT)
    if Path(path).is_symlink():
        reason = f"it is a link to {Path(path).readlink()}, which is not there"
    return FileNotFoundError(errno.ENOENT, reason, str(path))
