"""A file that holds many pictures, wherever it lies: on this machine, in a store, on a server."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

from unseen.errors import MissingExtraError, SourceError
from unseen.sources.files import URL_SCHEMES
from unseen.system.regular_file import open_regular

LIBRARIES = {
    "s3": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "az": "adlfs", "abfs": "adlfs", "abfss": "adlfs",
}  # fmt: skip
ON_SERVERS = {"http": "aiohttp", "https": "aiohttp"}
BLOCK_BYTES = 4 * 1024 * 1024  # of a file elsewhere, read at a time


def scheme_of(source: str | Path) -> str:
    """The scheme of an address, in lower case; "" of a path."""
    head, separator, _ = str(source)[:16].partition("://")
    return head.lower() if separator and isinstance(source, str) else ""


def is_elsewhere(source: str | Path) -> bool:
    """Whether a source is an object of a store, or a file of a server."""
    return scheme_of(source) in LIBRARIES or str(source).startswith(URL_SCHEMES[:2])


def store_of(address: str) -> tuple[Any, str]:
    """The file system of fsspec that has an address, and the path in it.

    Parameters
    ----------
    address : str
        Such as s3://bucket/folder/.

    Returns
    -------
    store : fsspec.AbstractFileSystem
        It takes its credentials as its library does: from the environment, and from files.
    path : str
        Without a slash at its end.

    Raises
    ------
    MissingExtraError
        Without fsspec, or the library of the store.
    SourceError
        If the library refuses the address.
    """
    scheme = scheme_of(address)
    library = {**LIBRARIES, **ON_SERVERS}[scheme]
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError(f"Reading {scheme}://", f"fsspec and {library}", "cloud") from None
    try:
        store, path = url_to_fs(address)
    except ImportError:
        raise MissingExtraError(f"Reading {scheme}://", library, "cloud") from None
    except ValueError as error:
        raise SourceError(f"{address}: {reason_of(error)}") from None
    return store, path if scheme in ON_SERVERS else path.rstrip("/")


@contextmanager
def container_file(source: str | Path) -> Iterator[BinaryIO]:
    """A container, opened to be read as bytes; of one elsewhere only what is read is fetched.

    Parameters
    ----------
    source : str or Path
        A path, or an address.

    Raises
    ------
    OSError
        If it is not there, or cannot be read; `strerror` is a reason for people.
    """
    file = open_container(source)
    try:
        yield file
    finally:
        file.close()


def open_container(source: str | Path) -> BinaryIO:
    """As `container_file`, to be closed by the caller."""
    if not is_elsewhere(source):
        return open_regular(source)
    store, path = store_of(str(source))
    try:
        file = store.open(path, "rb", block_size=BLOCK_BYTES, cache_type="readahead")
    except Exception as error:  # every library has its own
        raise OSError(0, reason_of(error).rstrip(".")) from None
    return cast(BinaryIO, _Fetched(file))


class _Fetched(io.RawIOBase):
    """A file of fsspec, whose errors are OSError, whatever its library raises."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return bool(self._file.seekable())

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            content: bytes = self._file.read(-1 if size is None else size)
        except Exception as error:
            raise OSError(0, reason_of(error).rstrip(".")) from None
        return content

    def readinto(self, buffer: Any, /) -> int:
        content = self.read(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def container_size(source: str | Path) -> int:
    """The bytes of a container. OSError where it is not there."""
    if not is_elsewhere(source):
        return Path(source).stat().st_size
    return int(_facts(str(source)).get("size") or 0)


def size_of_container(source: str | Path) -> int | None:
    """The same; None of one that is not there."""
    try:
        return container_size(source)
    except OSError:
        return None


def resolve(name: str | Path, folder: Path) -> str | Path:
    """What opens a picture or a source: an address as it is; else a path, below a folder.

    Parameters
    ----------
    name : str or Path
        An address, or a path that is relative to `folder`, or absolute.
    folder : Path
        What relative paths begin at.
    """
    return str(name) if is_elsewhere(name) else folder / name


def container_version(source: str | Path) -> str:
    """What changes when a container is written anew; "" where nothing says so.

    Parameters
    ----------
    source : str or Path
        A path, or an address.

    Raises
    ------
    OSError
        If it is not there.
    """
    if not is_elsewhere(source):
        stat = Path(source).stat()
        return f"{stat.st_size} {stat.st_mtime_ns}"
    return version_of(_facts(str(source)))


def version_of(facts: dict[str, Any]) -> str:
    """The same of what a store says of an object."""
    names = ("ETag", "etag", "content_md5", "LastModified", "last_modified", "updated", "mtime")
    value = next((facts[name] for name in names if facts.get(name)), None)
    return "" if value is None else f"{facts.get('size')} {value}"


def _facts(address: str) -> dict[str, Any]:
    store, path = store_of(address)
    try:
        facts: dict[str, Any] = store.info(path)
    except Exception as error:
        raise OSError(0, reason_of(error).rstrip(".")) from None
    return facts


def reason_of(error: Exception) -> str:
    """The first line of what a library says, as a sentence."""
    if isinstance(error, FileNotFoundError):
        return "there is nothing at this address."  # its text is the address, or part of it
    text = str(error).partition("\n")[0].strip()
    return text if text.endswith(".") else f"{text or type(error).__name__}."
