"""Files into folders, and back: a plan, its steps as they are done, and how they are undone.

No file is ever overwritten, and none is copied or linked again that is there already. Every step is
written to the undo file, and that to the disk, before the step is done; a killed run can be undone
as far as it came.
"""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.annotation.originals import (
    content_of,
    is_file,
    is_item,
    name_of_copy,
    same_content,
)
from unseen.errors import SourceError
from unseen.results.manifest import manifest, write_ended
from unseen.results.summary import Progress, RunSummary, no_progress
from unseen.sources.containers.container_file import is_elsewhere
from unseen.sources.expand import keyed, left_out, reopenable
from unseen.sources.frame_names import frame_of
from unseen.system.regular_file import read_text

if TYPE_CHECKING:  # the command line starts without them
    from unseen.classifier import Classifier
    from unseen.encoder import Encoded
    from unseen.labels.compiled import CompiledLabels
    from unseen.prediction.calibration import Calibration
    from unseen.types import LabelsLike, TemplateLike

DONE = {"copy": "copied", "link": "linked", "move": "moved"}
HOW = tuple(DONE)
NOT_IN_NAMES = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f\ud800-\udfff]')  # on some system or other
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # no files on Windows
LONGEST = 200  # bytes of a name: systems take 255, and a number may follow


@dataclass(frozen=True)
class Step:
    """One file and where it goes."""

    source: str
    target: str
    how: str


@dataclass(frozen=True)
class Filing:
    """Files that were put into folders, or would be; `str` says so to people.

    `undo`: the file that `take_back` undoes it with. None: nothing was done. `present`: how many
    files were there already.
    """

    steps: tuple[Step, ...]
    undo: Path | None
    into: Path
    how: str
    present: int = 0

    def __str__(self) -> str:
        if self.steps and self.undo is None:
            return "\n".join(f"{step.source} -> {step.target}" for step in self.steps)
        done = f"{len(self.steps)} files {DONE[self.how]} to {self.into}"
        done += f", {self.present} were there already" if self.present else ""
        return done if self.undo is None else f"{done}; undo it: unseen organize --undo {self.undo}"

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {
            "undo": None if self.undo is None else str(self.undo),
            "present": self.present,
            "steps": [asdict(step) for step in self.steps],
        }


@dataclass(frozen=True)
class Organized(Filing):
    """What `organize` did, or would do.

    Parameters
    ----------
    steps : tuple of Step
        The files and where they went, or would go.
    undo : Path, optional
        The file that `take_back` undoes the run with. None: nothing was done.
    into : Path
        The folder of the labels' folders.
    how : str
        ``copy``, ``link`` or ``move``.
    present : int
        Files that were there already, with the same content, and were left.
    summary : RunSummary
        How many pictures were looked at, and which could not be read.
    """

    summary: RunSummary = field(default_factory=RunSummary)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
            The steps, and what the run came to.
        """
        return {**super().to_dict(), "summary": self.summary.to_dict()}


def organize(
    classifier: Classifier,
    folder: str | Path,
    labels: LabelsLike | CompiledLabels | None,
    into: str | Path,
    *,
    how: str = "copy",
    min_score: float = 0.0,
    dry_run: bool = False,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    unknown: str | None = None,
    calibration: Calibration | str | Path | None = "auto",
    encoded: Iterable[Encoded] | None = None,
    batch_size: int | None = None,
    progress: Progress = no_progress,
) -> Organized:
    """Put each picture into a folder named for its label; no file is overwritten.

    A picture that is unknown, or cannot be read, stays where it is. One that was copied or linked
    there before is left. When interrupted (KeyboardInterrupt), what was done can be undone.

    Parameters
    ----------
    classifier : Classifier
        What answers.
    folder : str or Path
        The folder of the pictures; or an archive, a table, a document or an address, whose pictures
        can be copied.
    labels : labels, CompiledLabels, or None
        As `Classifier.compile` takes them; None: those of the adapter, or of the model.
    into : str or Path
        Where a folder for each label is made.
    how : str
        ``copy``, ``link`` (symbolic) or ``move``.
    min_score : float
        Leave out a picture whose label is less probable, from 0 to 1.
    dry_run : bool
        Only say what would be done.
    template, background, unknown, calibration
        As in `Classifier.classify_many`.
    encoded : iterable of Encoded, optional
        The pictures, already encoded: the folder is not read.
    batch_size : int, optional
        Pictures that the network takes at once; by default as many as suit the model.
    progress : callable
        Called when the run begins and after each picture.

    Returns
    -------
    Organized
        The steps, and the file that undoes them.

    Raises
    ------
    SourceError
        If there are no pictures, or a step cannot be done; what was done can be undone.

    Examples
    --------
    >>> import tempfile
    >>> import unseen
    >>> into = tempfile.mkdtemp()
    >>> done = unseen.organize(unseen.load(), "examples", ["cat", "dog"], into, dry_run=True)
    >>> len(done.steps) == done.summary.pictures, done.undo
    (True, None)
    """
    from unseen.prediction.calibration_file import calibration_for  # noqa: PLC0415 - as above

    into = Path(into)
    folder = reopenable(folder)
    if not dry_run:
        check_into(into)
    compiled = classifier.compile(labels, template=template, background=background)
    calibration = calibration_for(calibration, labels, compiled)
    decision = classifier.decision(False, 1, min_score, unknown, calibration)
    options: dict[str, Any] = {"min_score": min_score, **classifier.encoder.options.facts()}
    options |= {} if unknown is None else {"unknown": unknown}
    if decision.calibration is not None:
        options["calibration"] = decision.calibration.to_data()
    facts = manifest(classifier.model, compiled, options)
    if encoded is None:
        encoded = classifier.encoder.stream_images(keyed(str(folder)), batch_size=batch_size)
    encoded = (one for one in encoded if frame_of(one.name) is None)  # no file, but in an index
    undo = _undo_file(into)
    summary = RunSummary(None if dry_run else undo)
    summary.left_out = left_out(str(folder))
    started = time.perf_counter()

    def files() -> Iterator[tuple[str | Path, str]]:
        progress(summary)
        stream = classifier.predictions(iter(encoded), compiled, decision, batch_size=batch_size)
        for prediction in stream:
            summary.count(prediction.source, prediction.error)
            if prediction.ok:
                summary.answer(prediction.label)
            progress(summary)
            if prediction.label is not None:
                source = prediction.source
                yield source if is_elsewhere(source) else Path(source), prediction.label

    filing = put_into_folders(files(), into, how, dry_run=dry_run, undo=undo)
    summary.seconds = time.perf_counter() - started
    summary.complete = True
    if filing.undo is not None:
        facts["summary"] = summary.to_dict()
        write_ended(filing.undo, facts, summary.pictures, summary.errors)
    return Organized(**vars(filing), summary=summary)


def put_into_folders(
    files: Iterable[tuple[str | Path, str]],
    into: Path,
    how: str,
    *,
    dry_run: bool,
    undo: Path | None = None,
) -> Filing:
    """Put each (file, folder's name) into its folder, or with `dry_run` say where it would go.

    `undo`: the file that is written; by default one with the time in its name.
    """
    present: list[Path] = []
    steps = plan(files, into, how, present)
    if dry_run:
        return Filing(tuple(steps), None, into, how, len(present))
    undo = undo or _undo_file(into)
    done = tuple(carry_out(steps, undo))
    return Filing(done, undo if done else None, into, how, len(present))


def check_into(into: Path) -> None:
    """SourceError, before any work, when no folders can be made in `into`."""
    parent = next(path for path in (into.absolute(), *into.absolute().parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=parent):
            pass
    except OSError as error:
        raise _no_room(into, error) from None


def _no_room(into: Path, error: OSError) -> SourceError:
    reason = error.strerror or error
    return SourceError(f"{into}: cannot be written to: {reason}; give --into another folder.")


def _undo_file(into: Path) -> Path:
    """A name with the time, that is not taken."""
    stem = f"unseen-undo-{time.strftime('%Y%m%d-%H%M%S')}"
    names = (stem, *(f"{stem}-{number}" for number in range(2, 10)))
    paths = [into / f"{name}.jsonl" for name in names]
    return next((path for path in paths if not path.exists()), paths[-1])


def folder_name(label: str) -> str:
    """A label as the name of a folder, on every system."""
    return _safe(label.strip(" .")[:100]).strip(" .") or "_"


def file_name(name: str) -> str:
    """The name of a file, as it is but for what some system refuses; its suffix is kept."""
    suffix = _safe(Path(name).suffix)
    return f"{_safe(name.removesuffix(Path(name).suffix)) or '_'}{suffix}"


def _safe(name: str) -> str:
    clean = NOT_IN_NAMES.sub("_", name)
    clean = clean.encode("utf-8")[:LONGEST].decode("utf-8", "ignore")
    return f"_{clean}" if DEVICES.fullmatch(clean) else clean


def plan(
    files: Iterable[tuple[str | Path, str]],
    into: Path,
    how: str,
    present: list[Path] | None = None,
) -> Iterator[Step]:
    """Each (file, folder's name) → a step; a name that is taken gets a number.

    What is there already has no step, and is added to `present`.
    """
    if how not in HOW:
        raise SourceError(f"unknown action {how!r}; choose one of: {', '.join(HOW)}.")
    taken: set[Path] = set()
    for path, name in files:
        file = Path(_name_in_folder(path, how))
        target = into / folder_name(name) / file
        number = 2
        while (is_taken := target in taken) or os.path.lexists(target):
            if not is_taken and _is_there(path, target, how):
                break
            target = target.with_name(f"{file.stem} ({number}){file.suffix}")
            number += 1
        else:
            taken.add(target)
            source = path if isinstance(path, str) else os.path.abspath(path)  # noqa: PTH100
            yield Step(source, os.path.abspath(target), how)  # noqa: PTH100
            continue
        if present is not None:
            present.append(target)


def _name_in_folder(source: str | Path, how: str) -> str:
    """Of the file that a picture becomes. SourceError for one that can only be copied."""
    if isinstance(source, Path) and (is_file(source) or not is_item(source)):
        return source.name
    if how != "copy":
        raise SourceError(
            f"{source}: it is no file of its own, so it can be copied, but not {DONE[how]}."
        )
    return file_name(name_of_copy(source, content_of(source)))


def _is_there(source: str | Path, target: Path, how: str) -> bool:
    """Whether `target` is what the step would make of `source`.

    A file to be moved must be itself: one of the same content is another file, and both are kept.
    """
    if not isinstance(source, Path) or not is_file(source):
        return is_item(source) and same_content(source, target)
    try:
        if how == "link":
            return target.is_symlink() and target.samefile(source)
        if target.samefile(source):
            return True
        return how == "copy" and filecmp.cmp(source, target, shallow=False)
    except OSError:
        return False


def carry_out(steps: Iterable[Step], undo: Path) -> Iterator[Step]:
    """Do each step → the step, when it is done. SourceError for the first that cannot be done.

    Where there is nothing to do, there is no undo file.
    """
    with ExitStack() as stack:
        log = None
        for step in steps:
            if log is None:
                try:
                    undo.parent.mkdir(parents=True, exist_ok=True)
                    log = stack.enter_context(undo.open("x", encoding="utf-8"))
                except OSError as error:
                    raise _no_room(undo.parent, error) from None
            log.write(json.dumps(asdict(step)) + "\n")
            log.flush()
            os.fsync(log.fileno())
            try:
                _do(step)
            except OSError as error:
                raise SourceError(
                    f"{step.source}: cannot {step.how} it to {step.target}: "
                    f"{error.strerror or error}; what was done can be undone with {undo}."
                ) from None
            yield step


def take_back(undo: Path) -> Iterator[tuple[Step, bool]]:
    """Undo what an undo file says, last first → each step, and whether there was anything to do.

    A copy or link is deleted only while it is what was made; a moved file goes back only where
    nothing has taken its place.
    """
    try:
        lines = read_text(undo).splitlines()
        steps = [Step(**json.loads(line)) for line in lines]
    except (OSError, ValueError, TypeError) as error:
        raise SourceError(f"{undo}: not an undo file ({error}).") from None
    for step in reversed(steps):
        done = _undo(step)
        with suppress(OSError):  # a folder that is empty now was made for what is gone
            Path(step.target).parent.rmdir()
        yield step, done


def _do(step: Step) -> None:
    source, target = Path(step.source), Path(step.target)
    target.parent.mkdir(parents=True, exist_ok=True)
    if not is_file(step.source) and is_item(step.source):
        with target.open("xb") as file:
            file.write(content_of(step.source))
        return
    if step.how == "link":
        target.symlink_to(source)
        return
    with target.open("xb"):  # takes the name, so that nothing is overwritten
        pass
    if step.how == "copy":
        shutil.copy2(source, target)
        return
    try:
        source.replace(target)
    except OSError:  # another disk
        shutil.copy2(source, target)
        source.unlink()


def _undo(step: Step) -> bool:
    source, target = Path(step.source), Path(step.target)
    if step.how == "link":
        same = target.is_symlink() and target.readlink() == source
        if same:
            target.unlink()
        return same
    if not target.is_file():
        return False
    if not is_file(step.source) and is_item(step.source):
        same = same_content(step.source, target)
        if same:
            target.unlink()
        return same
    if step.how == "copy":
        same = source.is_file() and source.stat().st_size == target.stat().st_size
        if same:
            target.unlink()
        return same
    if source.exists():
        return False
    source.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(target, source)
    return True
