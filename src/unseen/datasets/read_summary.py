"""Which pictures of a data set were read, and which take no part, and why."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unseen.errors import UnseenWarning
from unseen.system.printable import named, printable

SHOWN = 10  # pictures or labels that a message lists


@dataclass(frozen=True)
class ReadSummary:
    """Where pictures were read from, and which of them take no part in what follows.

    Parameters
    ----------
    pictures : int
        How many were to be read.
    unreadable : mapping of Path to str
        Pictures that could not be read, and why.
    unlabelled : int
        Pictures without a label.
    unmatched : mapping of str to int
        Labels that no name of the label set matches → how many pictures have them.
    multi_label : bool
        Whether pictures may have several labels: one without a label then counts as having none.
    index : Path, optional
        The folder of the index that the embeddings come from; None: from the pictures themselves.
    unused : sequence of sequence of str
        For each label set that is compared the labels that no picture has.
    seen : int
        Pictures that are left out because the adapter or the model has learnt from them.

    Examples
    --------
    >>> from unseen.datasets.read_summary import ReadSummary
    >>> print(*ReadSummary(3, unmatched={"a dragon": 2}).messages())
    classes that no label stands for are left out with their pictures: a dragon (2 pictures).
    """

    pictures: int
    unreadable: Mapping[Path, str] = field(default_factory=dict)
    unlabelled: int = 0
    unmatched: Mapping[str, int] = field(default_factory=dict)
    multi_label: bool = False
    index: Path | None = None
    unused: Sequence[Sequence[str]] = ()
    seen: int = 0

    def warn(self) -> None:
        """The messages as one UnseenWarning: what a function does that was given no `on_read`."""
        messages = "\n".join(self.messages())
        if messages:
            warnings.warn(messages, UnseenWarning, stacklevel=3)

    def messages(self) -> Iterator[str]:
        """A sentence for each reason that applies; a list of pictures has a line for each."""
        if self.unreadable:
            lines = [f"{len(self.unreadable)} of {self.pictures} pictures could not be read:"]
            errors = [(str(path), error) for path, error in self.unreadable.items()]
            lines += [f"  {named(path, error)}" for path, error in errors[:SHOWN]]
            yield "\n".join([*lines, "  …"] if len(errors) > SHOWN else lines)
        if self.unlabelled:
            treatment = "count as having none" if self.multi_label else "are left out"
            yield f"{self.unlabelled} pictures have no label and {treatment}."
        if self.unmatched:
            shown = listed(
                f"{name} ({count} picture{'s' * (count > 1)})"
                for name, count in self._most_frequent()
            )
            treatment = "are ignored" if self.multi_label else "are left out with their pictures"
            yield f"classes that no label stands for {treatment}: {shown}."
        if self.seen:
            yield (
                f"{self.seen} pictures taught the model or its adapter, which is surer of them "
                "than of others; they are left out."
            )
        for labels in filter(None, self.unused):
            yield f"{len(labels)} labels have no picture: {listed(labels)}."

    def to_dict(self) -> dict[str, Any]:
        """As `unseen eval --json` has it."""
        return {
            "unreadable": [
                {"path": str(path), "error": error} for path, error in self.unreadable.items()
            ],
            "unlabelled": self.unlabelled,
            "unnamed": dict(self._most_frequent()),
        }

    def _most_frequent(self) -> list[tuple[str, int]]:
        return sorted(self.unmatched.items(), key=lambda item: (-item[1], item[0]))


def listed(names: Iterable[str]) -> str:
    """The first names, and how many more there are."""
    shown = [printable(name) for name in names]
    return ", ".join(shown[:SHOWN]) + (f" and {len(shown) - SHOWN} more" if shown[SHOWN:] else "")
