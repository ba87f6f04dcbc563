"""What differs between two runs, as a page: a section for each pair of answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from unseen.pages import Item, Section, link, thumbnails
from unseen.results.compare import Diff, Flip
from unseen.results.compare_text import answer_text
from unseen.results.gallery_file import SHOWN, write_gallery
from unseen.results.manifest import read_manifest, versions


def write_page(difference: Diff, a: Path, b: Path, page: Path) -> None:
    """Write the pictures that changed their answer to a page. Raises SourceError.

    `a` and `b`: the files that `difference` compares.
    """
    manifest = {"runs": [read_manifest(a), read_manifest(b)], "versions": versions()}
    write_gallery(page, "Flips", [*_sections(difference, page)], f"{a} → {b}", manifest)


def _sections(difference: Diff, page: Path) -> Iterator[Section]:
    """A section a pair, the most frequent first; the surest flips of each are shown."""
    order = {pair[:2]: place for place, pair in enumerate(difference.flip_matrix())}

    def pair(flip: Flip) -> int:
        return order[flip.a.answer, flip.b.answer]

    for _, group in groupby(sorted(difference.flips, key=pair), pair):
        flips = sorted(group, key=lambda flip: -(flip.a.margin or 0.0))
        first, count = flips[0], f"{len(flips)} picture{'s' if len(flips) > 1 else ''}"
        title = f"{first.a.answer} → {first.b.answer}: {count}"
        note = f"the {SHOWN} with the largest margin" if len(flips) > SHOWN else ""
        yield Section(title, list(_items(flips[:SHOWN], page)), note)


def _items(flips: Sequence[Flip], page: Path) -> Iterator[Item]:
    files = [Path(flip.source) for flip in flips]
    for flip, file, small in zip(flips, files, thumbnails(files), strict=True):
        caption = f"{answer_text(flip.a)} → {answer_text(flip.b)}"
        marks = ["near tie"] if flip.near else []
        mark = ", ".join(marks + (["seen in training"] if flip.seen else []))
        href = None if small is None else link(file, page)
        yield Item(flip.source, small, href, flip.a.margin, caption, mark)
