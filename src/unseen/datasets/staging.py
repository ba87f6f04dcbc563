"""The folder of an export: what lies in its way, and how it takes its place."""

from __future__ import annotations

import json
import os
import shutil
import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from unseen.errors import SourceError, UnseenWarning
from unseen.system.cache import is_stale

FORMAT = "unseen-export-1"
MANIFEST, LIST = "export.json", "pictures.jsonl"
UNFINISHED = ".unfinished"


def check(place: Path, overwrite: bool) -> None:
    """SourceError where something lies in the way that may not be taken away."""
    if not place.exists():
        return
    if not place.is_dir():
        raise SourceError(f"{place}: this is a file; an export is a folder.")
    if not any(place.iterdir()):
        return
    if not overwrite:
        raise SourceError(f"{place} is there already: --overwrite, or another name?")
    own = _made(place)
    if own is None:
        raise SourceError(
            f"{place}: no export made this folder ({MANIFEST} is missing or damaged), so it is "
            "left alone; name another."
        )
    strange = [name for name, size in files_of(place) if not _same(own, name, size)]
    if strange:
        raise SourceError(
            f"{place}: the export that made this folder did not make {', '.join(strange[:3])}"
            f"{f' and {len(strange) - 3} more' if len(strange) > 3 else ''}, or not as it is now; "
            "take it away, or name another folder."
        )


def _made(place: Path) -> dict[str, int | None] | None:
    """The files that an export made, with their sizes (None: a link); None where none did."""
    try:
        manifest = json.loads((place / MANIFEST).read_text("utf-8"))
        own: dict[str, int | None] = dict(manifest["files"])
        if manifest["format"] != FORMAT:
            return None
        if LIST in own:
            for line in (place / LIST).read_text("utf-8").splitlines():
                row = json.loads(line)
                own[row["file"]] = row["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return own


def _same(own: Mapping[str, int | None], name: str, size: int | None) -> bool:
    return name == MANIFEST or (name in own and own[name] == size)


def files_of(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Everything below a folder that is no folder, by its path with /, and its size; None: a link.
    An empty folder is named, too."""
    for parent, folders, files in os.walk(folder):
        for name in [*files, *(name for name in folders if Path(parent, name).is_symlink())]:
            path = Path(parent, name)
            size = None if path.is_symlink() else path.stat().st_size
            yield path.relative_to(folder).as_posix(), size
        if not files and not folders and Path(parent) != folder:
            yield Path(parent).relative_to(folder).as_posix() + "/", None


def unfinished(place: Path) -> Path:
    """A new folder beside `place` to make an export in. Those of runs that were killed, a day ago
    or more, are deleted. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    for left in place.parent.iterdir():
        own = left.name.startswith(f".{place.name}.") and left.name.endswith(UNFINISHED)
        if own and is_stale(left):
            shutil.rmtree(left, ignore_errors=True)
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}{UNFINISHED}")
    temporary.mkdir()
    return temporary


def put(temporary: Path, place: Path, overwrite: bool) -> None:
    """The finished folder takes its place; of an earlier export, what that made is deleted."""
    check(place, overwrite)  # once more, as this took its time
    if not place.exists() or not any(place.iterdir()):
        if place.exists():
            place.rmdir()
        temporary.rename(place)
        return
    aside = place.with_name(f".{place.name}.{uuid.uuid4().hex}.old")
    place.rename(aside)
    try:
        temporary.rename(place)
    except OSError:
        aside.rename(place)
        raise
    own = _made(aside) or {}
    for name, size in list(files_of(aside)):
        if _same(own, name, size):
            (aside / name).unlink()
    for parent, _, _ in os.walk(aside, topdown=False):
        with suppress(OSError):
            Path(parent).rmdir()
    if aside.exists():
        warnings.warn(f"{aside}: what no export made was kept here.", UnseenWarning, stacklevel=3)
