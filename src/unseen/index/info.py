"""What an index holds: counts and sizes, for people and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unseen.index.model_rows import ModelRow
from unseen.index.vectors.parts import StoredRows


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
    parts : mapping of int to StoredRows
        Id of a model → the rows that explain its pictures, and their bytes.
    """

    path: str
    files: int
    missing: int
    bytes: int
    models: tuple[ModelRow, ...]
    parts: Mapping[int, StoredRows] = field(default_factory=dict)

    def __str__(self) -> str:
        """The report of `unseen index info`."""
        lines = [f"{self.path}: {self.files} files, {self.bytes / 1e6:.1f} MB"]
        if self.missing:
            lines.append(f"{self.missing} of them are missing; `unseen index prune` forgets them")
        for row in self.models:
            lines.append(
                f"  {row}, {row.dimension} numbers: {row.pictures} pictures, "
                f"{row.errors} that could not be read"
            )
            rows = self.parts.get(row.id)
            if rows is not None and rows.pictures:
                lines.append(f"    explainable: {rows}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        facts = {name: value for name, value in vars(self).items() if name != "parts"}
        return {**facts, "models": [row.to_dict() | self._explainable(row) for row in self.models]}

    def _explainable(self, row: ModelRow) -> dict[str, int]:
        rows = self.parts.get(row.id, StoredRows(0, 0))
        return {"explainable": rows.pictures, "explainable_bytes": rows.bytes}
