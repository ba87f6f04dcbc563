"""Arrays and facts about them in one safetensors file: what all kinds of such files share."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from safetensors import SafetensorError

from unseen.errors import LabelError
from unseen.system.cache import write_atomically
from unseen.system.regular_file import read_bytes
from unseen.types import Array

SUFFIX = ".safetensors"

T = TypeVar("T")
Arrays: TypeAlias = "dict[str, Array]"
Facts = dict[str, Any]


@dataclass(frozen=True)
class FileFormat:
    """One kind of file: `format` stands in the file, `name` and `advice` in its LabelErrors.

    `others` are formats that are read, too.
    """

    format: str
    name: str
    advice: str = ""
    others: tuple[str, ...] = ()

    def to_bytes(self, arrays: Arrays, facts: Mapping[str, Any]) -> bytes:
        """The content of a file; facts are plain data for JSON."""
        from safetensors.numpy import save  # noqa: PLC0415 - it loads numpy

        metadata = {"format": self.format, "facts": json.dumps(facts, ensure_ascii=False)}
        return save(arrays, metadata)

    def from_bytes(self, content: bytes, where: str, make: Callable[[Facts, Arrays], T]) -> T:
        """What `make` makes of the facts and arrays. LabelError where either is invalid."""
        from safetensors.numpy import load  # noqa: PLC0415 - it loads numpy

        try:
            arrays = load(content)
            # https://huggingface.co/docs/safetensors#format: the header's length, then the header.
            header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
            metadata = header.get("__metadata__", {})
            if metadata.get("format") not in (self.format, *self.others):
                raise LabelError(f"{where}: not a valid {self.name}{self.advice}.")
            return make(json.loads(metadata["facts"]), arrays)
        except (SafetensorError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise LabelError(f"{where}: this {self.name} is damaged: {error}.") from None

    def write(self, path: str | Path, content: bytes) -> None:
        """Write the file, whole or not at all. LabelError for another suffix."""
        path = Path(path)
        if path.suffix != SUFFIX:
            raise LabelError(f"{path}: the {self.name} must be a {SUFFIX} file.")
        write_atomically(path, content)

    def read(self, path: str | Path) -> bytes:
        """The content of a file. LabelError where it cannot be read."""
        try:
            return read_bytes(path)
        except FileNotFoundError:
            raise LabelError(f"{path}: there is no such {self.name}.") from None
        except OSError as error:
            raise LabelError(f"{path}: this {self.name} cannot be read: {error}.") from None
