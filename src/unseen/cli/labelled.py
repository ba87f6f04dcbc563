"""Labelled pictures of a command, encoded once; and what is said of those that take no part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import unseen
from unseen.cli import progress
from unseen.cli.output import named, printable
from unseen.encoder import Encoded
from unseen.index.location import find
from unseen.sources.item import Source

NAMED = 10  # pictures or labels that a message lists

Rows = NDArray[np.float32]


def encode(
    classifier: unseen.Classifier,
    paths: Sequence[Path],
    source: Path,
    failed: dict[Path, str],
    *,
    index: bool,
    batch_size: int | None,
    quiet: bool,
) -> Rows:
    """(n, d), a row of zeros for what cannot be read, which `failed` is told of.

    `index`: from that of `source`, the folder or CSV file that names the pictures, where this model
    has looked; what it does not know is looked at.
    """
    wanted = list(dict.fromkeys(paths))
    known = _from_index(classifier, wanted, source, quiet) if index else {}
    rest = [path for path in wanted if path not in known]
    stream = classifier.encoder.stream_images(
        (Source(str(path), path) for path in rest), batch_size=batch_size
    )
    with progress.counting(len(rest), quiet or not rest) as counter:
        for path, encoded in zip(rest, stream, strict=True):
            counter.picture(encoded.error is None)
            known[path] = encoded
    rows = np.zeros((len(paths), classifier.model.dimension), dtype=np.float32)
    for i, path in enumerate(paths):
        encoded = known[path]
        if encoded.embedding is None:
            failed[path] = str(encoded.error)
        else:
            rows[i] = encoded.embedding
    return rows


def _from_index(
    classifier: unseen.Classifier, paths: Sequence[Path], source: Path, quiet: bool
) -> dict[Path, Encoded]:
    """What an index of the folder, or of the one where the CSV file lies, knows of the pictures."""
    folder = source if source.is_dir() else source.parent
    root = find(folder)
    if root is None:
        return {}
    with unseen.Index(root, create=False) as index:
        if not index.has(classifier.encoder):
            return {}
        if not quiet:
            progress.say(f"from the index of {index.root}; --no-index looks at the files.")
        with progress.pictures(quiet) as show:
            there = [folder] if source.is_dir() else [path for path in paths if path.is_file()]
            index.update(classifier.encoder, there, progress=show)
        found = {encoded.name: encoded for encoded in index.view(classifier).encoded()}
        names = {path: index.name(path) for path in paths}
    return {path: found[name] for path, name in names.items() if name in found}


def unreadable(failed: Mapping[Path, str]) -> list[dict[str, str]]:
    """What `encode` told, as data."""
    return [{"path": str(path), "error": error} for path, error in failed.items()]


def say_left_out(found: Mapping[str, Any], of: int, *, several: bool = False) -> None:
    """Always, --quiet or not: a figure without it would say something else.

    `found`: `unreadable`, and `unlabelled` and `unnamed` (label → pictures) where they are known.
    """
    if found["unreadable"]:
        progress.say(f"warning: {len(found['unreadable'])} of {of} pictures could not be read:")
        for one in found["unreadable"][:NAMED]:
            progress.say(f"  {named(one['path'], one['error'])}")
        if len(found["unreadable"]) > NAMED:
            progress.say("  …")
    if found.get("unlabelled"):
        count = "count as having none" if several else "are left out"
        progress.say(f"warning: {found['unlabelled']} pictures have no label and {count}.")
    unnamed = found.get("unnamed")
    if unnamed:
        most = sorted(unnamed.items(), key=lambda item: (-item[1], item[0]))
        shown = listed(f"{name} ({many} picture{'s' * (many > 1)})" for name, many in most)
        what = "are not asked for" if several else "are left out with their pictures"
        progress.say(f"warning: classes that no label stands for {what}: {shown}.")


def listed(names: Iterable[str]) -> str:
    """The first of them, and how many more."""
    known = [printable(name) for name in names]
    return ", ".join(known[:NAMED]) + (f" and {len(known) - NAMED} more" if known[NAMED:] else "")
