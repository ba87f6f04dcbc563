"""What a file of Arrow would take in memory, from its messages, before a row of it is there.

Arrow allocates for a compressed buffer what the buffer says that it grows to.
The layout: https://arrow.apache.org/docs/format/Columnar.html#encapsulated-message-format and
`Message.fbs` beside it, of which a few fields are read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

DICTIONARY, ROWS = 2, 3  # of MessageHeader
BUFFER_BYTES = 16  # int64 offset, int64 length
NOT_COMPRESSED = -1


def unpacked_bytes(pyarrow: Any, stream: Any) -> Iterator[int]:
    """What the buffers of each message grow to, by what they say of themselves.

    Parameters
    ----------
    pyarrow : module
        pyarrow.
    stream : pyarrow.NativeFile
        At the first message.

    Yields
    ------
    int
        Bytes; 0 for a message whose buffers are not compressed.

    Raises
    ------
    pyarrow.ArrowException, OSError, ValueError
        Where the messages cannot be read.
    """
    reader = pyarrow.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        try:
            yield _unpacked(bytes(message.metadata), message.body)
        except (struct.error, IndexError, TypeError) as error:
            raise ValueError(f"a message is damaged ({error})") from None


def _unpacked(metadata: bytes, body: Any) -> int:
    from flatbuffers import encode, table  # noqa: PLC0415 - for Arrow alone
    from flatbuffers import number_types as types  # noqa: PLC0415

    def field(of: Any, number: int) -> int:
        """Where a field of a table is; 0 where it is left out."""
        offset = int(of.Offset(4 + 2 * number))
        return offset + int(of.Pos) if offset else 0

    def inner(of: Any, number: int) -> Any:
        place = field(of, number)
        return table.Table(metadata, of.Indirect(place)) if place else None

    message = table.Table(metadata, encode.Get(types.UOffsetTFlags.packer_type, metadata, 0))
    place = field(message, 1)
    kind = message.Get(types.Uint8Flags, place) if place else 0
    batch = inner(message, 2) if kind in (DICTIONARY, ROWS) else None
    if batch is not None and kind == DICTIONARY:
        batch = inner(batch, 1)
    if batch is None or body is None or not field(batch, 3):  # 3: how it is compressed
        return 0
    vector = batch.Offset(4 + 2 * 2)
    if not vector:
        return 0
    start, content, total = batch.Vector(vector), memoryview(body), 0
    for number in range(batch.VectorLen(vector)):
        offset, length = struct.unpack_from("<qq", metadata, start + BUFFER_BYTES * number)
        if length >= 8 and 0 <= offset <= len(content) - 8:
            (grown,) = struct.unpack_from("<q", content, offset)
            total += length if grown == NOT_COMPRESSED else max(0, grown)
    return total
