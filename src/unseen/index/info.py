"""What an index holds: counts and sizes, for people and as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from unseen.index.model_rows import ModelRow
from unseen.index.vectors.parts import StoredRows
from unseen.index.vectors.tiles import NO_TILES, StoredTiles


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
    tiles : mapping of int to StoredTiles
        Id of a model → the tiles of its pictures, and their bytes.
    """

    path: str
    files: int
    missing: int
    bytes: int
    models: tuple[ModelRow, ...]
    parts: Mapping[int, StoredRows] = field(default_factory=dict)
    tiles: Mapping[int, StoredTiles] = field(default_factory=dict)

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
            tiles = self.tiles.get(row.id, NO_TILES)
            if tiles.pictures:
                lines.append(f"    {tiles}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, for JSON."""
        facts = {k: value for k, value in vars(self).items() if k not in ("parts", "tiles")}
        return {**facts, "models": [row.to_dict() | self._more(row) for row in self.models]}

    def _more(self, row: ModelRow) -> dict[str, Any]:
        rows = self.parts.get(row.id, StoredRows(0, 0))
        tiles = self.tiles.get(row.id, NO_TILES)
        return {
            "explainable": rows.pictures,
            "explainable_bytes": rows.bytes,
            "tiling": tiles.tiling,
            "tiles": tiles.tiles,
            "tiles_bytes": tiles.bytes,
        }
