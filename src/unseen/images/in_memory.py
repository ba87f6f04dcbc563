"""The bytes of a picture that are in memory already, as a file to decode from."""

from __future__ import annotations

import io
from typing import IO, Any, cast

COPIED_BYTES = 1024 * 1024  # up to here a copy costs less than a class of Python
BLOCK = 64 * 1024  # that is read at once: decoders ask for a few bytes often


def file_of(content: bytes | memoryview) -> IO[bytes]:
    """A file that can be read and sought, without a copy of large contents."""
    if isinstance(content, memoryview):
        whole = content.obj
        if isinstance(whole, bytes) and len(whole) == content.nbytes:
            content = whole  # which BytesIO shares
        elif content.nbytes > COPIED_BYTES:
            return cast("IO[bytes]", io.BufferedReader(_View(content), BLOCK))
    return io.BytesIO(content)


class _View(io.RawIOBase):
    """Reads bytes where they are: `io.BytesIO` would copy all of a view."""

    def __init__(self, content: memoryview) -> None:
        self._content = content
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {
            io.SEEK_SET: 0,
            io.SEEK_CUR: self._position,
            io.SEEK_END: len(self._content),
        }[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any, /) -> int:
        piece = self._content[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
