"""A labelling as a data set: which pictures, in which split, in a folder that is whole or absent.

It is made under another name beside its place, and renamed when it is done.
"""

from __future__ import annotations

import json
import os
import shutil
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from unseen.annotation.labelling import Labelling
from unseen.annotation.organize import file_name, folder_name
from unseen.annotation.pictures import ERROR, NONE, UNSURE, Picture
from unseen.datasets.readers import SEPARATOR
from unseen.datasets.splits import NEAR, Splits, near_duplicates, split
from unseen.datasets.staging import FORMAT, LIST, MANIFEST, check, files_of, put, unfinished
from unseen.datasets.writers import FORMS, Form, Row
from unseen.errors import ImageError, SourceError
from unseen.results.manifest import now, versions
from unseen.system.digest import file_chunks, sha256

HOW = ("copy", "link", "hardlink")

# Why a picture is not exported.
LEFT_OUT = ("unsure", "not reviewed", "skipped", "none of these", "unreadable")


@dataclass(frozen=True)
class Report:
    """What an export came to.

    `counts`: pictures by split and label. `left_out`: pictures that were not asked for, by reason.
    `failed`: pictures that could not be had any more, and why. `folders`: the labels whose folder
    is called otherwise.
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


def export(
    labelling: Labelling,
    folder: str | Path,
    form: str,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    near: float = NEAR,
    reviewed_only: bool = False,
    unsure: bool = False,
    how: str = "copy",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Write what was reviewed and what is sure into `folder`, as one of `FORMS`.

    `shares`: of `splits.fractions`. `near`: the cosine from which pictures are kept in one split.
    `unsure`: the proposals of that pile, too. `how`: copy, link (symbolic) or hardlink.
    `overwrite`: an earlier export there gives way, if nothing else is in it. SourceError.
    """
    if form not in FORMS:
        raise SourceError(f"{form!r} is no form of a data set; {', '.join(FORMS)} are.")
    if how not in HOW:
        raise SourceError(f"{how!r} is no way to export a picture; {', '.join(HOW)} are.")
    place = Path(os.path.realpath(Path(folder).expanduser()))
    root = Path(os.path.realpath(labelling.root))
    if FORMS[form].place is not None and place.is_relative_to(root):
        raise SourceError(
            f"{folder}: this lies among the pictures of the labelling, which would take up the "
            "exported ones; name a folder elsewhere."
        )
    check(place, overwrite)
    pictures, left_out = chosen(labelling, reviewed_only=reviewed_only, unsure=unsure)
    if not pictures:
        raise SourceError(_nothing(labelling, left_out))
    several = next((p.label for p in pictures if p.label and SEPARATOR in p.label), None)
    if several is not None and FORMS[form].place is None:
        raise SourceError(
            f"{several!r}: {SEPARATOR} stands between labels in a file of rows; "
            "export as folders, coco or imagefolder."
        )
    splits = _split(labelling, pictures, shares, seed, near, progress)
    work = _Work(labelling, root, place, form, how, splits)
    try:
        temporary = unfinished(place)
    except OSError as error:
        raise _unwritable(place, error) from None
    try:
        rows, failed, folders = work.fill(temporary, pictures, progress)
        if not rows:
            path, why = failed[0]
            raise SourceError(
                f"{labelling.root}: none of {len(failed)} pictures could be exported; the first, "
                f"{path}: {why}."
            )
        counts: dict[str, Counter[str]] = {name: Counter() for name in shares}
        for row in rows:
            counts[row.split][row.label] += 1
        report = Report(str(folder), counts, left_out, failed, folders, splits)
        facts = {
            "split": {
                "shares": dict(shares),
                "seed": seed,
                "near": near,
                "groups": splits.groups,
                "largest_group": splits.largest,
            },
            "chosen": {"reviewed_only": reviewed_only, "unsure": unsure},
        }
        work.describe(temporary, report, rows, facts)
        put(temporary, place, overwrite)
    except OSError as error:
        raise _unwritable(place, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def chosen(
    labelling: Labelling, *, reviewed_only: bool = False, unsure: bool = False
) -> tuple[list[Picture], dict[str, int]]:
    """The pictures to export, by id, and how many are left out, by reason."""
    found, left_out = [], Counter(dict.fromkeys(LEFT_OUT, 0))
    for picture in labelling.pictures():
        why = _reason(picture, reviewed_only, unsure)
        if why is None:
            found.append(picture)
        else:
            left_out[why] += 1
    return sorted(found, key=lambda picture: picture.id), dict(left_out)


def _reason(picture: Picture, reviewed_only: bool, unsure: bool) -> str | None:
    """Why a picture is left out; None when it is not."""
    if picture.pile == ERROR:
        return "unreadable"
    if picture.verdict is not None:
        return {"label": None, "skip": "skipped", "none": "none of these"}[picture.verdict]
    if picture.pile == NONE:
        return "none of these"
    if reviewed_only:
        return "not reviewed"
    return "unsure" if picture.pile == UNSURE and not unsure else None


def _nothing(labelling: Labelling, left_out: Mapping[str, int]) -> str:
    counted = ", ".join(f"{count} {why}" for why, count in left_out.items() if count)
    return (
        f"{labelling.root}: no picture of the labelling has a label to export "
        f"({counted or 'there are none'}); review some: unseen label review, or export what is "
        "unsure as well: --include unsure."
    )


def _split(
    labelling: Labelling,
    pictures: Sequence[Picture],
    shares: Mapping[str, float],
    seed: int,
    near: float,
    progress: Callable[[int, int], None] | None,
) -> Splits:
    ids = [picture.id for picture in pictures]
    labels = [str(picture.label) for picture in pictures]
    if len(shares) == 1:  # nothing can be parted
        return split(ids, labels, ids, shares, seed)
    groups = near_duplicates(labelling.vectors(ids), near, progress=progress)
    return split(ids, labels, groups.tolist(), shares, seed)


# what is put into the folder


@dataclass(frozen=True)
class _Work:
    labelling: Labelling
    root: Path
    place: Path
    kind: str
    how: str
    splits: Splits

    @property
    def form(self) -> Form:
        return FORMS[self.kind]

    def fill(
        self,
        folder: Path,
        pictures: Sequence[Picture],
        progress: Callable[[int, int], None] | None,
    ) -> tuple[list[Row], list[tuple[str, str]], dict[str, str]]:
        """Put the pictures there → their rows, those that failed, and the labels' folders."""
        folders = _folders({str(picture.label) for picture in pictures})
        names = _Names()
        asked = self.labelling.asked
        rows, failed = [], []
        for done, picture in enumerate(sorted(pictures, key=lambda p: p.paths), 1):
            label, part = str(picture.label), self.splits.of[picture.id]
            try:
                path = self._there(picture)
                if self.form.place is None:
                    file = _relative(self.root / path, self.place)
                else:
                    file = names.free(self.form.place(part, folders[label]), Path(path).name)
                    self._bring(self.root / path, folder / file, picture.id)
            except ImageError as error:
                failed.append((picture.paths[0], str(error)))
            else:
                reviewed = picture.verdict is not None
                sizes = picture.width, picture.height
                score = self._score(picture, asked)
                rows.append(Row(file, path, picture.id, label, part, score, reviewed, *sizes))
            if progress is not None:
                progress(done, len(pictures))
        changed = {label: name for label, name in folders.items() if name != label}
        return rows, failed, changed if self.kind == "folders" else {}

    def _there(self, picture: Picture) -> str:
        """The first of a picture's paths that can be exported. ImageError."""
        if self.form.sized and not (picture.width and picture.height):
            raise ImageError("its size is not known")
        found = [path for path in picture.paths if (self.root / path).is_file()]
        if not found:
            raise ImageError("it is not there any more")
        if self.form.place is None:
            # JSON could escape such a name, but one of them makes pandas refuse the whole file.
            found = [path for path in found if _is_utf8(path)]
        if not found:
            raise ImageError("its name is no UTF-8; export a form that copies, or rename it")
        return found[0]

    def _score(self, picture: Picture, asked: Sequence[str]) -> float | None:
        """The model's probability of the label that a picture has; None where it was not asked."""
        known = dict(picture.ranking)
        label = str(picture.label)
        if label not in known and label in asked:  # beyond the ranking
            return float(self.labelling.scores([picture.id])[0, asked.index(label)])
        return known.get(label)

    def _bring(self, source: Path, target: Path, id: str) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        if self.how == "copy":
            _copy(source, target, id)
            return
        try:
            if self.how == "link":
                target.symlink_to(source)
            else:
                target.hardlink_to(source)
        except OSError as error:
            raise SourceError(
                f"{source}: cannot {self.how} it into {self.place}: {error.strerror}; --how copy?"
            ) from None

    def describe(
        self, folder: Path, report: Report, rows: Sequence[Row], facts: dict[str, Any]
    ) -> None:
        """The files of the form, the list of what was copied, and the manifest, last."""
        self.form.write(folder, rows, self.labelling.names)
        if self.form.place is not None:
            lines = []
            for row in rows:
                path = folder / row.file
                size = None if path.is_symlink() else path.stat().st_size
                lines.append(json.dumps({**asdict(row), "bytes": size}) + "\n")
            (folder / LIST).write_text("".join(lines), "utf-8")
        copied = {row.file for row in rows} if self.form.place else set()
        files = {name: size for name, size in files_of(folder) if name not in copied}
        manifest = {
            "format": FORMAT,
            "form": self.kind,
            "how": self.how if self.form.place else None,
            "made": now(),
            "versions": versions(),
            "pictures": report.pictures,
            "counts": report.counts,
            "labels": self.labelling.names,
            "folders": report.folders,
            "lacking": self.splits.lacking,
            **facts,
            "left_out": report.left_out,
            "failed": report.failed,
            "labelling": self.labelling.manifest,
            "files": files,
        }
        text = json.dumps(manifest, indent=1)
        with (folder / MANIFEST).open("w", encoding="utf-8") as file:
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())


def _folders(labels: set[str]) -> dict[str, str]:
    """A folder for each label; two never share one, on no system and for no reader: not by case,
    and not by _ for a space, either."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for label in sorted(labels):
        name, number = folder_name(label), 2
        while _alike(name) in taken:
            name, number = f"{folder_name(label)} ({number})", number + 1
        taken.add(_alike(name))
        found[label] = name
    return found


def _alike(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold().replace("_", " ")


class _Names:
    """Names that are free in their folder; one that is taken gets a number."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: Counter[str] = Counter()

    def free(self, folder: str, name: str) -> str:
        clean = Path(file_name(name))
        found = f"{folder}/{clean}"
        asked = _alike(found)
        while _alike(found) in self._taken:
            self._next[asked] += 1
            found = f"{folder}/{clean.stem} ({self._next[asked] + 1}){clean.suffix}"
        self._taken.add(_alike(found))
        return found


def _copy(source: Path, target: Path, id: str) -> None:
    """Copies a picture, if it is still the one that was labelled. ImageError."""
    try:
        with target.open("xb") as file:
            digest = sha256(_copied(_chunks(source), file))
        if not digest.hex().startswith(id):
            raise ImageError("it was changed since it was labelled; label the folder anew")
        with suppress(OSError):
            shutil.copystat(source, target)
    except ImageError:
        target.unlink()
        raise


def _chunks(source: Path) -> Iterator[bytes]:
    try:
        yield from file_chunks(source)
    except OSError as error:
        raise ImageError(f"it cannot be read: {error.strerror or error}") from None


def _copied(chunks: Iterable[bytes], file: IO[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        file.write(chunk)
        yield chunk


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # another drive
        return path.as_posix()


def _is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _unwritable(place: Path, error: OSError) -> SourceError:
    said = error.strerror or str(error)
    return SourceError(f"{place}: it cannot be written: {said}.")
