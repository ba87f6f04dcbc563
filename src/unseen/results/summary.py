"""What a run that writes a result comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from unseen.sources.formats import counted
from unseen.system.printable import printable

SHOWN_LABELS = 5


@dataclass
class RunSummary:
    """What a run has done, while it runs and when it has ended.

    Parameters
    ----------
    path : Path, optional
        The output. None: it is not a file.
    pictures : int
        Pictures of this run, with those that failed.
    errors : int
        Pictures of this run that could not be read.
    earlier : int
        Rows that the file had already, when a run was resumed.
    seconds : float
        How long this run took, without the loading of the model.
    complete : bool
        Whether all pictures are done.
    failures : list of (str, str)
        The name and the error of each picture that could not be read, where the output has no row
        for it.
    unknown : int
        Pictures of this run that got no label.
    answers : Counter of str
        Label → how many pictures of this run it is the best of.
    left_out : mapping of str to int
        Kind → how many files of the folders that are no pictures to be read.
    """

    path: Path | None = None
    pictures: int = 0
    errors: int = 0
    earlier: int = 0
    seconds: float = 0.0
    complete: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list)
    unknown: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    left_out: Mapping[str, int] = field(default_factory=dict)

    def answer(self, label: str | None) -> None:
        """Count the answer for a picture that could be read.

        Parameters
        ----------
        label : str, optional
            The best label; None: unknown.
        """
        if label is None:
            self.unknown += 1
        else:
            self.answers[label] += 1

    def to_dict(self) -> dict[str, Any]:
        """What a run came to, as its manifest has it.

        Returns
        -------
        dict
            Plain data for JSON.
        """
        return {
            "pictures": self.pictures,
            "errors": self.errors,
            "earlier": self.earlier,
            "unknown": self.unknown,
            "answers": dict(self.answers.most_common()),
            "left_out": dict(self.left_out),
            "seconds": round(self.seconds, 3),
        }

    def __str__(self) -> str:
        """The closing line of a run."""
        if self.earlier and not self.pictures:
            parts = [f"Nothing left to do: {self.earlier:,} were done before"]
        else:
            counts = [f"{self.pictures - self.errors:,} read"]
            counts += [f"{self.unknown:,} unknown"] if self.unknown else []
            counts += [f"{self.errors:,} failed"] if self.errors else []
            counts += [f"{self.earlier:,} done before"] if self.earlier else []
            parts = [", ".join(counts), *self._labels(), self._time()]
        if self.left_out:
            parts.append(f"left out: {counted(self.left_out)}")
        return "; ".join(parts) + "."

    def _labels(self) -> list[str]:
        most = self.answers.most_common(SHOWN_LABELS)
        shown = ", ".join(f"{printable(label)} {count:,}" for label, count in most)
        more = len(self.answers) - len(most)
        return [shown + (f" and {more} more labels" if more > 0 else "")] if shown else []

    def _time(self) -> str:
        rate = self.pictures / self.seconds if self.seconds > 0 else 0.0
        shown = f"{rate:.1f}" if rate < 100 else f"{rate:,.0f}"
        return f"{self.seconds:.1f} s, {shown} pictures a second"

    def count(self, name: str, error: str | None, *, listed: bool = True) -> None:
        """Count one more picture.

        Parameters
        ----------
        name : str
            The name of the picture.
        error : str, optional
            Why it could not be read; None for a picture that could.
        listed : bool
            Whether the error belongs in `failures`, because the output has no row for it.
        """
        self.pictures += 1
        if error is not None:
            self.errors += 1
            if listed:
                self.failures.append((name, error))


# Called when a run begins, and after each picture, with what was done so far.
Progress: TypeAlias = Callable[[RunSummary], None]


def no_progress(summary: RunSummary) -> None:
    """Shows nothing."""
