"""A job in an object store, through fsspec: only where the store proves to publish once."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unseen.errors import MissingExtraError, StoreError
from unseen.sources.containers.container_file import LIBRARIES

CREATE = "create"  # the mode of fsspec that refuses a name that is taken


class Bucket:
    """The objects below an address.

    `create` and `publish` are conditional requests (``If-None-Match`` of S3, ``ifGenerationMatch``
    of GCS), which the store itself decides.

    Parameters
    ----------
    address : str
        Such as s3://bucket/job.

    Raises
    ------
    MissingExtraError
        Without fsspec, or the library of the store.
    StoreError
        For an address that is read by none.
    """

    beat_seconds = 15.0  # a request each

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        scheme = address.partition("://")[0].lower()
        if scheme not in LIBRARIES:
            known = ", ".join(f"{name}://" for name in LIBRARIES)
            raise StoreError(f"{address}: a job lies in a folder, or at one of: {known}")
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
        except ImportError:
            raise _missing(scheme) from None
        try:
            # What others write must be seen at once.
            self._store, path = url_to_fs(self.address, use_listings_cache=False)
        except ImportError:
            raise _missing(scheme) from None
        self._path = path.rstrip("/")

    def prepare(self) -> None:
        """Prove that it publishes once."""
        probe = f"probe-{uuid.uuid4().hex}"
        try:
            first, second = self.create(probe, b"first"), self.create(probe, b"second")
            if not first or second or self.read(probe) != b"first":
                raise StoreError(
                    f"{self.address}: this store does not refuse a second object of one name "
                    "(If-None-Match), so that two runners could overwrite one another; plan the "
                    "job in a folder, or in a store that has conditional writes."
                )
        finally:
            with suppress(StoreError):
                self.delete(probe)

    def check_writable(self) -> None:
        """StoreError where nothing can be written."""
        probe = f"probe-{uuid.uuid4().hex}"
        self.write(probe, b"")
        self.delete(probe)

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """A content, or a piece of it."""
        end = None if length is None else start + length
        if end == start:
            return b""
        try:
            content: bytes = self._store.cat_file(self._at(name), start=start or None, end=end)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise self._failed(name, error) from None
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a content, whole."""
        try:
            self._store.pipe_file(self._at(name), content)
        except Exception as error:
            raise self._failed(name, error) from None

    def create(self, name: str, content: bytes) -> bool:
        """Publish a content, unless there is one."""
        try:
            self._store.pipe_file(self._at(name), content, mode=CREATE)
        except FileExistsError:
            return False
        except Exception as error:
            raise self._failed(name, error) from None
        return True

    def publish(self, file: Path, name: str) -> bool:
        """Publish a file of `draft`, unless there is an object of that name."""
        try:
            self._store.put_file(str(file), self._at(name), mode=CREATE)
        except FileExistsError:
            return False
        except Exception as error:
            raise self._failed(name, error) from None
        return True

    def delete(self, name: str) -> None:
        """Delete a content, if it is there."""
        try:
            self._store.rm_file(self._at(name))
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed(name, error) from None

    def exists(self, name: str) -> bool:
        """Whether there is such a content."""
        try:
            return bool(self._store.exists(self._at(name)))
        except Exception as error:
            raise self._failed(name, error) from None

    def names(self, folder: str) -> Iterator[str]:
        """The names in a folder, without its own."""
        try:
            paths = self._store.ls(self._at(folder), detail=False)
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed(folder, error) from None
        for path in paths:
            name = path.rstrip("/").rpartition("/")[2]
            if name and name != folder:
                yield name

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A name for a file of this machine that may be published."""
        with tempfile.TemporaryDirectory(prefix="unseen-job-") as folder:
            yield Path(folder) / "draft"

    def _at(self, name: str) -> str:
        return f"{self._path}/{name}"

    def _failed(self, name: str, error: Exception) -> StoreError:
        reason = str(error).partition("\n")[0].strip() or type(error).__name__
        return StoreError(f"{self.address}/{name}: {reason}")


def _missing(scheme: str) -> MissingExtraError:
    return MissingExtraError(f"A job at {scheme}://", f"fsspec and {LIBRARIES[scheme]}", "cloud")
