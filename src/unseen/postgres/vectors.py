"""Embeddings as pgvector sends and receives them, so that no number becomes text."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import StoreError

if TYPE_CHECKING:
    from unseen.postgres.connection import Connection
    from unseen.types import Floats

HEAD = struct.Struct(">HH")  # the dimension, and two bytes that are not used


class Vector:
    """An embedding that is bound to a statement.

    Parameters
    ----------
    numbers : ndarray of shape (d,)
        The embedding.
    """

    def __init__(self, numbers: Any) -> None:
        self.numbers = numbers

    def to_bytes(self) -> bytes:
        """Dimension and numbers, most significant byte first."""
        return HEAD.pack(len(self.numbers), 0) + np.asarray(self.numbers, dtype=">f4").tobytes()


def register(connection: Connection) -> None:
    """Let a connection take `Vector`. StoreError where its search path does not have the type."""
    from psycopg.adapt import Dumper  # noqa: PLC0415 - an extra
    from psycopg.pq import Format  # noqa: PLC0415
    from psycopg.types import TypeInfo  # noqa: PLC0415

    info = TypeInfo.fetch(connection, "vector")
    if info is None:
        raise StoreError("pgvector is in a schema that is not in the search path of this user.")
    info.register(connection)

    class VectorDumper(Dumper):
        format = Format.BINARY
        oid = info.oid

        def dump(self, obj: Vector) -> bytes:
            return obj.to_bytes()

    connection.adapters.register_dumper(Vector, VectorDumper)


def parsed(text: str) -> Floats:
    """A vector as PostgreSQL writes it: `[0.1,0.2]`."""
    return np.array(json.loads(text), dtype=np.float32)
