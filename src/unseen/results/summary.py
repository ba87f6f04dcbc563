"""What a run that writes a result comes to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias


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
    """

    path: Path | None = None
    pictures: int = 0
    errors: int = 0
    earlier: int = 0
    seconds: float = 0.0
    complete: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list)

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
