"""Addresses of object stores (s3://, gs://, az://) → their images, through fsspec.

Credentials are those that the library of the store takes: its environment variables and files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from glob import has_magic
from pathlib import Path
from typing import Any

from unseen.errors import SourceError
from unseen.sources.containers.container_file import reason_of, store_of, version_of
from unseen.sources.files import is_image_member
from unseen.sources.item import Source, Unreadable

MAX_OBJECTS = 10_000_000  # of one address; each costs about 1 kB of memory


@dataclass(frozen=True, eq=False)
class StoredObject:
    """An object as a binary file; each `read` begins at its start, in any thread."""

    store: Any
    path: str
    name: str  # its address, for messages
    size: int | None = None  # as it was listed
    etag: str | None = None
    version: str = ""  # what changes with its content, where the store says so

    def read(self, size: int = -1, /) -> bytes:
        """Up to `size` bytes, and no more of them are fetched."""
        try:
            # A range that ends behind the object is an error of some stores.
            end = self.store.info(self.path)["size"]
            if 0 <= size < end:
                content: bytes = self.store.cat_file(self.path, 0, size)
            else:
                content = self.store.cat_file(self.path)
        except Exception as error:
            raise SourceError(f"{self.name}: {reason_of(error)}") from None
        return content


def read_store(address: str | Path) -> Iterator[Source]:
    """The images of an object store below an address, sorted; or the one object that it names.

    Parameters
    ----------
    address : str
        Such as s3://bucket/folder/ or s3://bucket/2026-*/*.jpg. What is hidden and what has no
        suffix of an image is left out, as in a folder.

    Yields
    ------
    Source
        Its address, and a content that is fetched when it is opened.

    Raises
    ------
    MissingExtraError
        Without fsspec, or the library of the store.
    """
    address = str(address)
    store, path = store_of(address)
    scheme = address.partition("://")[0]
    try:
        objects = _objects(store, path)
    except Exception as error:
        yield Source(address, Unreadable(SourceError(f"{address}: {reason_of(error)}")))
        return
    single = [*objects] == [path]
    for one, facts in objects.items():
        if single or is_image_member(_below(one, path)):
            name = f"{scheme}://{one.lstrip('/')}"
            etag = facts.get("ETag") or facts.get("etag")
            stored = StoredObject(store, one, name, facts.get("size"), etag, version_of(facts))
            yield Source(name, stored)


def stored_object(address: str) -> StoredObject:
    """The object at an address, which is not looked for before it is read.

    Parameters
    ----------
    address : str
        As `read_store` names an object.

    Returns
    -------
    StoredObject

    Raises
    ------
    MissingExtraError
        Without fsspec, or the library of the store.
    """
    store, path = store_of(address)
    return StoredObject(store, path, address)


def store_names(address: str | Path) -> Iterator[str]:
    """The names of all objects below an address; none where they cannot be listed."""
    try:
        store, path = store_of(str(address))
        return iter(_objects(store, path))
    except Exception:
        return iter(())


def _below(one: str, path: str) -> str:
    """The name of an object below an address; of one that a pattern matches its last part."""
    return one.rpartition("/")[2] if has_magic(path) else one[len(path) :].lstrip("/")


def _objects(store: Any, path: str) -> dict[str, dict[str, Any]]:
    """The objects below a path, sorted, and what the store says of each."""
    if store.isfile(path):
        return {path: store.info(path)}
    objects: dict[str, dict[str, Any]]
    if has_magic(path):
        matches = store.glob(path, detail=True)
        objects = {one: facts for one, facts in matches.items() if facts.get("type") == "file"}
    else:
        objects = store.find(path, detail=True)
    if not objects and (has_magic(path) or not store.exists(path)):
        raise FileNotFoundError("there is nothing at this address.")
    if len(objects) > MAX_OBJECTS:
        raise ValueError(f"it holds more than {MAX_OBJECTS:,} objects; give parts of it.")
    return dict(sorted(objects.items()))
