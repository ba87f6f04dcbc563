"""What an index holds: counts and sizes, for people and as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unseen.index.model_rows import ModelRow


@dataclass(frozen=True)
class Info:
    """What an index holds.

    Parameters
    ----------
    path : str
        Of the database.
    files : int
        Files that it knows, the missing ones included.
    missing : int
        Files that were there and are not.
    bytes : int
        Of the database and of what is derived from it.
    models : tuple of ModelRow
        The models that have encoded the pictures, the latest last.
    """

    path: str
    files: int
    missing: int
    bytes: int
    models: tuple[ModelRow, ...]

    def __str__(self) -> str:
        """The report of `unseen index info`."""
        lines = [f"{self.path}: {self.files} files, {self.bytes / 1e6:.1f} MB"]
        if self.missing:
            lines.append(f"{self.missing} of them are missing; `unseen index prune` forgets them")
        lines += [
            f"  {row}, {row.dimension} numbers: {row.pictures} pictures, "
            f"{row.errors} that could not be read"
            for row in self.models
        ]
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        return {**vars(self), "models": [row.to_dict() for row in self.models]}
