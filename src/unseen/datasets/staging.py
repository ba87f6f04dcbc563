"""The folder of an export: what lies in its way, and how it takes its place."""

from __future__ import annotations

import glob
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
from unseen.system.regular_file import read_text

FORMAT = "unseen-export-1"
MANIFEST, LIST = "export.json", "pictures.jsonl"
UNFINISHED, REPLACED = ".unfinished", ".old"


def check(folder: Path, overwrite: bool) -> None:
    """SourceError where something is at the path that must not be replaced."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise SourceError(f"{folder}: this is a file; an export is a folder.")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise SourceError(f"{folder} already exists; pass --overwrite or another name.")
    recorded = _recorded_files(folder)
    if recorded is None:
        raise SourceError(
            f"{folder}: no export made this folder ({MANIFEST} is missing or damaged), so it is "
            "left alone; give another name."
        )
    unknown = [name for name, size in files_of(folder) if not _is_recorded(recorded, name, size)]
    if unknown:
        raise SourceError(
            f"{folder}: the export that made this folder did not make {', '.join(unknown[:3])}"
            f"{f' and {len(unknown) - 3} more' if len(unknown) > 3 else ''}, or not as it is now; "
            "move it away, or give another name."
        )


def _recorded_files(folder: Path) -> dict[str, int | None] | None:
    """The files that an export made, with their sizes (None: a link); None where none did."""
    try:
        manifest = json.loads(read_text(folder / MANIFEST))
        recorded: dict[str, int | None] = dict(manifest["files"])
        if manifest["format"] != FORMAT:
            return None
        if LIST in recorded:
            for line in read_text(folder / LIST).splitlines():
                row = json.loads(line)
                recorded[row["file"]] = row["bytes"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return recorded


def _is_recorded(recorded: Mapping[str, int | None], name: str, size: int | None) -> bool:
    return name == MANIFEST or (name in recorded and recorded[name] == size)


def files_of(folder: Path) -> Iterator[tuple[str, int | None]]:
    """Every file below a folder, by its path with /, and its size; None: a link. An empty folder is
    given, too."""
    for parent, folders, files in os.walk(folder):
        for name in [*files, *(name for name in folders if Path(parent, name).is_symlink())]:
            path = Path(parent, name)
            size = None if path.is_symlink() else path.stat().st_size
            yield path.relative_to(folder).as_posix(), size
        if not files and not folders and Path(parent) != folder:
            yield Path(parent).relative_to(folder).as_posix() + "/", None


def unfinished(folder: Path) -> Path:
    """A new folder beside `folder` to make an export in. Those of runs that were killed, a day ago
    or more, are deleted, and what these were about to replace. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for path in folder.parent.glob(f".{glob.escape(folder.name)}.*"):
        if path.name.endswith(UNFINISHED) and is_stale(path):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.endswith(REPLACED) and folder.exists() and is_stale(path):
            with suppress(OSError):
                _discard(path)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{UNFINISHED}")
    temporary.mkdir()
    return temporary


def put(temporary: Path, folder: Path, overwrite: bool) -> None:
    """The finished folder takes its place; of an earlier export, what that made is deleted."""
    check(folder, overwrite)  # once more, as this took its time
    if not folder.exists() or not any(folder.iterdir()):
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
        return
    aside = folder.with_name(f".{folder.name}.{uuid.uuid4().hex}{REPLACED}")
    folder.rename(aside)
    try:
        temporary.rename(folder)
    except OSError:
        aside.rename(folder)
        raise
    _discard(aside)
    if aside.exists():
        warnings.warn(
            f"{aside}: files that no export made were kept here.", UnseenWarning, stacklevel=3
        )


def _discard(folder: Path) -> None:
    """Deletes what an export made, and no other file. The list of it goes last: a run that is
    killed here is gone on with."""
    recorded = _recorded_files(folder) or {}
    lists = MANIFEST, LIST
    files = sorted(files_of(folder), key=lambda file: file[0] in lists)
    for name, size in files:
        if _is_recorded(recorded, name, size):
            (folder / name).unlink(missing_ok=True)  # another run may sweep, too
    for parent, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            Path(parent).rmdir()
