"""A labelling as a data set: which pictures, in which split, in a folder that is whole or absent.

The folder is made under another name beside its path, and renamed when it is done.
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

from unseen.annotation.export_report import ExportReport
from unseen.annotation.labelling import Labelling
from unseen.annotation.organize import file_name, folder_name
from unseen.annotation.originals import content_of, is_file, is_item, name_of_copy
from unseen.annotation.pictures import ERROR, NONE, UNSURE, Picture
from unseen.datasets.readers import SEPARATOR
from unseen.datasets.splits import NEAR, Splits, near_duplicates, split
from unseen.datasets.staging import FORMAT, LIST, MANIFEST, check, files_of, put, unfinished
from unseen.datasets.writers import FORMS, Form, Row
from unseen.errors import ImageError, SourceError
from unseen.results.manifest import now, versions
from unseen.sources.containers.container_file import resolve
from unseen.system.digest import file_chunks, sha256

HOW = ("copy", "link", "hardlink")

# Why a picture is not exported.
LEFT_OUT = ("unsure", "not reviewed", "skipped", "none of these", "unreadable")


def export(
    labelling: Labelling,
    folder: str | Path,
    form: str,
    shares: Mapping[str, float],
    *,
    seed: int = 0,
    near_duplicate_cosine: float = NEAR,
    reviewed_only: bool = False,
    unsure: bool = False,
    how: str = "copy",
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ExportReport:
    """Write what was reviewed and what is sure as a data set.

    Parameters
    ----------
    labelling : Labelling
        The pictures and their labels.
    folder : str or Path
        The folder to make.
    form : str
        The format, one of `FORMS`: ``folders``, ``csv``, ``jsonl``, ``coco`` or ``imagefolder``.
    shares : mapping of str to float
        The share of each split, which add up to 1: see `unseen.datasets.splits.fractions`.
    seed : int
        Another seed gives other splits.
    near_duplicate_cosine : float
        Pictures whose cosine is at least this stay in one split.
    reviewed_only : bool
        Only pictures that a person gave a label.
    unsure : bool
        The proposals of the unsure pile, too.
    how : str
        ``copy``, ``link`` (symbolic) or ``hardlink``.
    overwrite : bool
        Replace an earlier export there, if the folder holds nothing else.
    progress : callable, optional
        Called with how many are done, and of how many: of the search for near-duplicates, then of
        the pictures.

    Returns
    -------
    ExportReport

    Raises
    ------
    SourceError
        If an option is unknown, there is nothing to export, or the folder cannot be written.
    """
    if form not in FORMS:
        raise SourceError(f"unknown format {form!r}; choose one of: {', '.join(FORMS)}.")
    if how not in HOW:
        raise SourceError(
            f"unknown way to export a picture {how!r}; choose one of: {', '.join(HOW)}."
        )
    target = Path(os.path.realpath(Path(folder).expanduser()))
    root = Path(os.path.realpath(labelling.root))
    if FORMS[form].place is not None and target.is_relative_to(root):
        raise SourceError(
            f"{folder}: this is inside the folder of the labelling, which would then include the "
            "exported pictures; choose a folder elsewhere."
        )
    check(target, overwrite)
    pictures, left_out = select(labelling, reviewed_only=reviewed_only, unsure=unsure)
    if not pictures:
        raise SourceError(_nothing_selected(labelling, left_out))
    ambiguous = next((p.label for p in pictures if p.label and SEPARATOR in p.label), None)
    if ambiguous is not None and FORMS[form].place is None:
        raise SourceError(
            f"{ambiguous!r}: {SEPARATOR} stands between labels in a file of rows; "
            "export as folders, coco or imagefolder."
        )
    splits = _split(labelling, pictures, shares, seed, near_duplicate_cosine, progress)
    job = _Export(labelling, root, target, form, how, splits)
    try:
        temporary = unfinished(target)
    except OSError as error:
        raise _unwritable(target, error) from None
    try:
        rows, failed, folders = job.write_pictures(temporary, pictures, progress)
        if not rows:
            path, reason = failed[0]
            raise SourceError(
                f"{labelling.root}: none of {len(failed)} pictures could be exported; the first, "
                f"{path}: {reason}."
            )
        counts: dict[str, Counter[str]] = {name: Counter() for name in shares}
        for row in rows:
            counts[row.split][row.label] += 1
        report = ExportReport(str(folder), counts, left_out, failed, folders, splits)
        facts = {
            "split": {
                "shares": dict(shares),
                "seed": seed,
                "near": near_duplicate_cosine,
                "groups": splits.groups,
                "largest_group": splits.largest,
            },
            "chosen": {"reviewed_only": reviewed_only, "unsure": unsure},
        }
        job.write_metadata(temporary, report, rows, facts)
        put(temporary, target, overwrite)
    except OSError as error:
        raise _unwritable(target, error) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def select(
    labelling: Labelling, *, reviewed_only: bool = False, unsure: bool = False
) -> tuple[list[Picture], dict[str, int]]:
    """The pictures to export, by id, and the number of those left out, by reason."""
    pictures, left_out = [], Counter(dict.fromkeys(LEFT_OUT, 0))
    for picture in labelling.pictures():
        reason = _reason(picture, reviewed_only, unsure)
        if reason is None:
            pictures.append(picture)
        else:
            left_out[reason] += 1
    return sorted(pictures, key=lambda picture: picture.id), dict(left_out)


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


def _nothing_selected(labelling: Labelling, left_out: Mapping[str, int]) -> str:
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
    near_duplicate_cosine: float,
    progress: Callable[[int, int], None] | None,
) -> Splits:
    ids = [picture.id for picture in pictures]
    labels = [str(picture.label) for picture in pictures]
    if len(shares) == 1:  # one split: groups do not matter
        return split(ids, labels, ids, shares, seed)
    groups = near_duplicates(labelling.vectors(ids), near_duplicate_cosine, progress=progress)
    return split(ids, labels, groups.tolist(), shares, seed)


# what is put into the folder


@dataclass(frozen=True)
class _Export:
    labelling: Labelling
    root: Path
    target: Path
    kind: str
    how: str
    splits: Splits

    @property
    def form(self) -> Form:
        return FORMS[self.kind]

    def write_pictures(
        self,
        folder: Path,
        pictures: Sequence[Picture],
        progress: Callable[[int, int], None] | None,
    ) -> tuple[list[Row], list[tuple[str, str]], dict[str, str]]:
        """Write the pictures → their rows, those that failed, and the labels' folders."""
        folders = _folder_names({str(picture.label) for picture in pictures})
        names = _FreeNames()
        answers = self.labelling.answers
        rows, failed = [], []
        for done, picture in enumerate(sorted(pictures, key=lambda p: p.paths), 1):
            label, part = str(picture.label), self.splits.of[picture.id]
            try:
                path = self._existing_path(picture)
                source = resolve(path, self.root)
                if self.form.place is None:
                    file = source if isinstance(source, str) else _relative(source, self.target)
                else:
                    place = self.form.place(part, folders[label])
                    if isinstance(source, Path) and is_file(source):
                        file = names.free(place, source.name)
                        self._transfer(source, folder / file, picture.id)
                    else:
                        content = self._content(source, picture.id)
                        file = names.free(place, name_of_copy(source, content))
                        (folder / file).parent.mkdir(parents=True, exist_ok=True)
                        (folder / file).write_bytes(content)
            except (ImageError, SourceError) as error:
                failed.append((picture.paths[0], str(error)))
            else:
                reviewed = picture.verdict is not None
                sizes = picture.width, picture.height
                score = self._score(picture, answers)
                rows.append(Row(file, path, picture.id, label, part, score, reviewed, *sizes))
            if progress is not None:
                progress(done, len(pictures))
        changed = {label: name for label, name in folders.items() if name != label}
        return rows, failed, changed if self.kind == "folders" else {}

    def _existing_path(self, picture: Picture) -> str:
        """The first of a picture's paths that can be exported. ImageError."""
        if self.form.sized and not (picture.width and picture.height):
            raise ImageError("its size is not known")
        sources = {path: resolve(path, self.root) for path in picture.paths}
        paths = [path for path, one in sources.items() if is_file(one)]
        paths = paths or [path for path, one in sources.items() if is_item(one)]
        if not paths:
            raise ImageError("it does not exist any more")
        return paths[0]

    def _content(self, source: str | Path, id: str) -> bytes:
        """What is copied of a picture that is no file of its own. ImageError, SourceError."""
        if self.how != "copy":
            raise ImageError(f"it is no file that could be given by {self.how}; --how copy")
        content = content_of(source)
        if not sha256([content]).hex().startswith(id):
            raise ImageError("it has changed since it was labelled; label the folder again")
        return content

    def _score(self, picture: Picture, answers: Sequence[str]) -> float | None:
        """The model's probability of a picture's label; None where the model does not know it."""
        scores = dict(picture.ranking)
        label = str(picture.label)
        if label not in scores and label in answers:  # beyond the ranking
            return float(self.labelling.scores([picture.id])[0, answers.index(label)])
        return scores.get(label)

    def _transfer(self, source: Path, target: Path, id: str) -> None:
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
                f"{source}: cannot {self.how} it into {self.target}: {error.strerror}; --how copy?"
            ) from None

    def write_metadata(
        self, folder: Path, report: ExportReport, rows: Sequence[Row], facts: dict[str, Any]
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


def _folder_names(labels: set[str]) -> dict[str, str]:
    """A folder for each label; two never share one, on no system and for no reader: not by case,
    and not by _ for a space, either."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for label in sorted(labels):
        name, number = folder_name(label), 2
        while _comparable(name) in used:
            name, number = f"{folder_name(label)} ({number})", number + 1
        used.add(_comparable(name))
        names[label] = name
    return names


def _comparable(name: str) -> str:
    """What two names share that some system or reader takes for the same."""
    return unicodedata.normalize("NFC", name).casefold().replace("_", " ")


class _FreeNames:
    """Names that are free in their folder; one that is taken gets a number."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._next: Counter[str] = Counter()

    def free(self, folder: str, name: str) -> str:
        clean = Path(file_name(name))
        path = f"{folder}/{clean}"
        first = _comparable(path)
        while _comparable(path) in self._taken:
            self._next[first] += 1
            path = f"{folder}/{clean.stem} ({self._next[first] + 1}){clean.suffix}"
        self._taken.add(_comparable(path))
        return path


def _copy(source: Path, target: Path, id: str) -> None:
    """Copies a picture, if it is still the one that was labelled. ImageError."""
    try:
        with target.open("xb") as file:
            digest = sha256(_copied(_chunks(source), file))
        if not digest.hex().startswith(id):
            raise ImageError("it has changed since it was labelled; label the folder again")
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


def _unwritable(folder: Path, error: OSError) -> SourceError:
    return SourceError(f"{folder}: it cannot be written: {error.strerror or error}.")
