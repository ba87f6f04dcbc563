"""What people write for a file of this machine, and what is said where there is none."""

from __future__ import annotations

import os
import re
from itertools import islice
from pathlib import Path

from unseen.errors import SourceError
from unseen.sources.files import URL_SCHEMES, holds
from unseen.sources.item import shortened

SCHEME = re.compile(r"([a-z][a-z0-9+.-]+)://", re.IGNORECASE)
HOME, FILE = ("~/", "~\\"), "file://"
NEIGHBOURS = 5000  # names of a folder that are looked through for one that was meant


def local_path(source: str) -> str:
    """`~/a.jpg` and `file:///a.jpg` → the path; anything else as it is.

    Parameters
    ----------
    source : str
        What was given for a picture, a folder or an archive.
    """
    if source.startswith(HOME) and not holds(os.path.exists, source):
        return str(Path(source).expanduser())
    host = _host(source)
    if host not in ("", "localhost"):
        return source
    from urllib.request import url2pathname  # noqa: PLC0415 - 30 ms, and few addresses are such

    return url2pathname(source[len(FILE) + len(host) :])


def _host(source: str) -> str | None:
    """The machine of a file:// address, mostly ""; None for anything else."""
    is_file = source[: len(FILE)].lower() == FILE
    return source[len(FILE) :].partition("/")[0].lower() if is_file else None


def size_of(address: str) -> int | None:
    """The bytes of a file of this machine; None for what is none.

    Parameters
    ----------
    address : str
        What was given for a picture or an archive.
    """
    if address.startswith(URL_SCHEMES):
        return None
    try:
        return os.stat(local_path(address)).st_size  # noqa: PTH116 - a plan has millions
    except (OSError, ValueError):
        return None


def no_such_file(source: str) -> SourceError:
    """The error of a file that is not there: an address that is not read, or a slip of a name.

    Parameters
    ----------
    source : str
        What was given.

    Returns
    -------
    SourceError
    """
    scheme, host = SCHEME.match(source), _host(source)
    if host not in (None, "", "localhost"):
        return SourceError(
            f"{shortened(source)!r} is a file of another machine; a file of this one is "
            "file:///path, or the path alone."
        )
    if scheme and host is None:
        return SourceError(
            f"{shortened(source)!r}: addresses of {scheme[1].lower()}:// are not read; copy the "
            "file to this machine, or give an https:// address of it (of a bucket a presigned one)."
        )
    similar = _similar(source)
    hint = f"; did you mean {similar}?" if similar else "."
    return SourceError(f"{shortened(source)!r}: there is no such file{hint}")


def _similar(source: str) -> str | None:
    """The name in the same folder that is most like this one."""
    path = Path(source)
    try:
        names = [entry.name for entry in islice(os.scandir(path.parent), NEIGHBOURS)]
        import difflib  # noqa: PLC0415 - for a mistake alone

        match = difflib.get_close_matches(path.name, names, 1, 0.75)
    except (OSError, ValueError):
        return None
    return str(path.with_name(match[0])) if match else None
