"""What an export of a labelling has written: as data for JSON, and as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unseen.datasets.splits import Splits
from unseen.system.printable import printable

SHOWN = 10  # failures and labels that are named


@dataclass(frozen=True)
class ExportReport:
    """What was exported, and what was not.

    `counts`: pictures by split and label. `left_out`: pictures that were not selected, by reason.
    `failed`: paths of pictures that do not exist any more or have changed, and why. `folders`: the
    labels whose folder has another name.
    """

    folder: str
    counts: Mapping[str, Mapping[str, int]]
    left_out: Mapping[str, int]
    failed: Sequence[tuple[str, str]]
    folders: Mapping[str, str]
    splits: Splits

    @property
    def pictures(self) -> int:
        """How many were exported."""
        return sum(sum(row.values()) for row in self.counts.values())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        splits = self.splits
        return {
            "folder": self.folder,
            "pictures": self.pictures,
            "counts": self.counts,
            "left_out": self.left_out,
            "failed": self.failed,
            "folders": self.folders,
            "lacking": splits.lacking,
            "groups": splits.groups,
            "largest": splits.largest,
            "chained": splits.chained,
        }

    def failure_lines(self) -> Iterator[str]:
        """What could not be exported, for people."""
        for path, why in self.failed[:SHOWN]:
            yield printable(f"{path}: {why}.")
        if self.failed:
            total = self.pictures + len(self.failed)
            yield f"{len(self.failed)} of {total} pictures could not be exported."

    def lines(self, near: float) -> Iterator[str]:
        """What was done, and what one should know of it.

        `near`: the cosine from which two pictures stay in one split.
        """
        parts = [f"{name} {sum(counts.values())}" for name, counts in self.counts.items()]
        yield f"{self.folder}: {self.pictures} pictures, {', '.join(parts)}."
        left_out = [f"{count} {why}" for why, count in self.left_out.items() if count]
        if left_out:
            yield f"left out: {', '.join(left_out)}."
        splits = self.splits
        if splits.groups:
            yield (
                f"{splits.groups} groups of near-duplicates were kept together, the largest of "
                f"{splits.largest}."
            )
        if splits.chained:
            yield (
                f"warning: one group holds {splits.largest} of {len(splits.of)} pictures: each is "
                "near the next, the ends need not be. The splits are lopsided; --near above "
                f"{near:g} parts it."
            )
        for part, labels in splits.lacking.items():
            if labels:
                named = ", ".join(labels[:SHOWN]) + (", …" if len(labels) > SHOWN else "")
                yield printable(f"{part} has no picture of {len(labels)} labels: {named}.")
        for label, folder in self.folders.items():
            yield printable(f"warning: the folder of {label} is called {folder}.")
