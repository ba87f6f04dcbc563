"""Cells of a CSV file that a spreadsheet program reads as text, and back."""

from __future__ import annotations

# What a spreadsheet would run; some read the full-width forms alike.
FORMULA_STARTS = tuple("=+-@＝＋－＠")


def harmless(cell: str) -> str:
    """A cell that a spreadsheet reads as text: `=HYPERLINK(…)` gets an apostrophe before it."""
    risky = cell.startswith(("\t", "\r")) or cell.lstrip().startswith(FORMULA_STARTS)
    return f"'{cell}" if risky else cell


def plain(cell: str) -> str:
    """What `harmless` was given; a cell that began with an apostrophe and = loses that, too."""
    return cell[1:] if cell.startswith("'") and harmless(cell[1:]) == cell else cell
