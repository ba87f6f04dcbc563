"""What is said on standard error of labelled pictures that a command reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unseen.cli import progress

if TYPE_CHECKING:
    from unseen.datasets.read_summary import ReadSummary


@dataclass
class Summary:
    """Takes the `ReadSummary` of a function, shows it, and keeps what an exit status needs."""

    quiet: bool
    errors: int = 0  # pictures that could not be read
    pictures: int = 0  # that were to be read

    def show(self, summary: ReadSummary) -> None:
        """Warnings are said with --quiet, too: a figure without them would say something else."""
        self.errors, self.pictures = len(summary.unreadable), summary.pictures
        if summary.index is not None and not self.quiet:
            progress.say(f"from the index of {summary.index}; --no-index looks at the files.")
        for message in summary.messages():
            progress.say(f"warning: {message}")
