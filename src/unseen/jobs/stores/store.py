"""Where a job lies: a folder here, or an address of an object store, by what a job needs of it.

What is published is there once: of several who publish under one name the first wins, and the
others are told so. Everything that a job promises stands on that.
"""

from __future__ import annotations

import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from unseen.errors import StoreError
from unseen.sources.local import SCHEME, local_path
from unseen.system.cache import STALE_SECONDS

DRAFTS = "drafts"  # what is not published yet


class Store(Protocol):
    """A folder of named contents. Names have / between their parts."""

    @property
    def address(self) -> str:
        """What it is called in messages, and opened by."""

    @property
    def beat_seconds(self) -> float:
        """How often who works here says so: often where that costs nothing."""

    def prepare(self) -> None:
        """Make it, and prove that it publishes once. StoreError."""

    def check_writable(self) -> None:
        """StoreError where nothing can be written."""

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """A content, or a piece of it. FileNotFoundError; StoreError."""

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a content, whole. StoreError."""

    def create(self, name: str, content: bytes) -> bool:
        """Publish a content, unless there is one → whether it was published. StoreError."""

    def publish(self, file: Path, name: str) -> bool:
        """As `create`, for a file of `draft`, which is gone afterwards."""

    def delete(self, name: str) -> None:
        """Delete a content, if it is there. StoreError."""

    def exists(self, name: str) -> bool:
        """Whether there is such a content. StoreError."""

    def names(self, folder: str) -> Iterator[str]:
        """The names in a folder, without its own. StoreError."""

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A name for a file that may be published; what is left of it is deleted."""


class Folder:
    """A folder of this machine, or of a network that has hard links."""

    beat_seconds = 2.0

    def __init__(self, path: Path) -> None:
        self.path = path
        self.address = str(path)

    def prepare(self) -> None:
        """Make it, and prove that it publishes once."""
        with self._writing():
            (self.path / DRAFTS).mkdir(parents=True, exist_ok=True)
        probe = f"{DRAFTS}/probe-{uuid.uuid4().hex}"
        try:
            if not self.create(probe, b"first") or self.create(probe, b"second"):
                raise StoreError(f"{self.address}: it does not keep the first of two files.")
        finally:
            with suppress(StoreError):
                self.delete(probe)

    def check_writable(self) -> None:
        """StoreError where nothing can be written; what was left long ago is swept away."""
        with self._writing(), tempfile.TemporaryFile(dir=self.path / DRAFTS):
            pass
        for leftover in (self.path / DRAFTS).iterdir():
            with suppress(OSError):
                if time.time() - leftover.stat().st_mtime > STALE_SECONDS:
                    leftover.unlink()

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """A content, or a piece of it."""
        try:
            with (self.path / name).open("rb") as file:
                file.seek(start)
                return file.read(-1 if length is None else length)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise self._unreadable(name, error) from None

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a content, whole."""
        with self.draft() as file, self._writing():
            file.write_bytes(content)
            target = self.path / name
            target.parent.mkdir(exist_ok=True)
            file.replace(target)

    def create(self, name: str, content: bytes) -> bool:
        """Publish a content, unless there is one."""
        with self.draft() as file:
            with self._writing():
                file.write_bytes(content)
            return self.publish(file, name)

    def publish(self, file: Path, name: str) -> bool:
        """Publish a file of `draft`, unless there is one of that name."""
        target = self.path / name
        with self._writing():
            target.parent.mkdir(exist_ok=True)
            with file.open("rb+") as written:
                os.fsync(written.fileno())
            published = _moved(file, target)
            if published:
                _sync_folder(target.parent)
            return published

    def delete(self, name: str) -> None:
        """Delete a content, if it is there."""
        with self._writing():
            (self.path / name).unlink(missing_ok=True)

    def exists(self, name: str) -> bool:
        """Whether there is such a content."""
        return (self.path / name).exists()

    def names(self, folder: str) -> Iterator[str]:
        """The names in a folder, without its own."""
        try:
            with os.scandir(self.path / folder) as entries:
                for entry in entries:
                    yield entry.name
        except FileNotFoundError:
            return
        except OSError as error:
            raise self._unreadable(folder, error) from None

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A name for a file that may be published."""
        file = self.path / DRAFTS / uuid.uuid4().hex
        try:
            yield file
        finally:
            with suppress(OSError):
                file.unlink(missing_ok=True)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreError(
                f"{self.address}: it cannot be written: {error.strerror or error}."
            ) from None

    def _unreadable(self, name: str, error: OSError) -> StoreError:
        return StoreError(f"{self.path / name}: it cannot be read: {error.strerror or error}.")


def _moved(file: Path, target: Path) -> bool:
    """Give a file its name, unless another has it: in one step, which no rename of POSIX is."""
    if os.name == "nt":
        try:
            file.rename(target)  # fails there where the name is taken
        except FileExistsError:
            return False
        return True
    try:
        os.link(file, target)
    except FileExistsError:
        # An answer that a network file system lost is asked for again, and finds our own link.
        return file.stat().st_nlink > 1
    except OSError:
        if file.stat().st_nlink > 1:
            return True
        raise
    return True


def _sync_folder(folder: Path) -> None:
    """The name survives a loss of power as the content does."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_store(job: str | Path) -> Store:
    """The store of a job: a folder, or an address such as s3://bucket/job.

    Raises MissingExtraError without the library of an object store.
    """
    path = local_path(str(job))
    if SCHEME.match(path):
        from unseen.jobs.stores.bucket import Bucket  # noqa: PLC0415 - an extra, and few jobs lie there

        return Bucket(path)
    return Folder(Path(path).absolute())
