"""Many videos → one file: what `unseen video … -o out.jsonl --resume` does."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from unseen.classifier import Classifier, warn_if_alone
from unseen.errors import SourceError, UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.decision import Decision
from unseen.prediction.predict import warn_undecided
from unseen.prediction.prediction import Prediction
from unseen.results.manifest import manifest, manifest_path, now, write_manifest
from unseen.results.result_file import COMPARED, check_resumable, only_writer, writing
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits, library
from unseen.system.locks import give_back
from unseen.system.regular_file import read_text
from unseen.video.classification import MIN_SECONDS, classify_video
from unseen.video.clips import clip_path, cut
from unseen.video.frames import ANIMATIONS
from unseen.video.prediction import VideoPrediction
from unseen.video.spans import fiftyone_names
from unseen.video.writers import JSON_KINDS, LINES, SUFFIXES, VideoWriter, writer_of


@dataclass(frozen=True)
class VideoOptions:
    """How videos are looked at, and what is written of them.

    Parameters
    ----------
    sampling : Sampling
        Which frames are looked at.
    min_seconds : float
        The shortest event that is wanted.
    clip_label : bool
        Only the label of each whole video, and no events.
    frames : bool
        A row for each frame, too: .jsonl, .csv.
    clips : Path, optional
        A folder for a clip of each event.
    json_kind : str
        What a .json file holds: ``unseen``, ``label-studio`` or ``fiftyone``.
    limits : VideoLimits
        What a video may cost.
    """

    sampling: Sampling = EVERY_SECOND
    min_seconds: float = MIN_SECONDS
    clip_label: bool = False
    frames: bool = False
    clips: Path | None = None
    json_kind: str = "unseen"
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS

    def __post_init__(self) -> None:
        if self.json_kind not in JSON_KINDS:
            raise SourceError(
                f"unknown kind of JSON {self.json_kind!r}; choose one of: {', '.join(JSON_KINDS)}."
            )
        if not 0 <= self.min_seconds < float("inf"):
            raise SourceError(f"min_seconds is {self.min_seconds}; it must be 0 or more.")

    def facts(self) -> dict[str, Any]:
        """What a resumed run must have the same."""
        return {
            "every": self.sampling.every,
            "keyframes": self.sampling.keyframes,
            "min_seconds": self.min_seconds,
            "clip_label": self.clip_label,
            "frames": self.frames,
        }


DEFAULT_VIDEO_OPTIONS = VideoOptions()


@dataclass
class VideoSummary:
    """What a run over videos has done.

    Attributes
    ----------
    videos, errors, earlier : int
        Videos of this run, those of them that could not be read to their end, and those that an
        earlier run had done.
    events, samples, embedded : int
        Of all videos of this run.
    video_seconds, seconds : float
        How long the videos are, and how long the run took.
    complete : bool
        Whether all are done.
    failures : list of (str, str)
        The video and why: what could not be read, and clips that could not be cut.
    """

    videos: int = 0
    errors: int = 0
    earlier: int = 0
    events: int = 0
    clips: int = 0
    samples: int = 0
    embedded: int = 0
    video_seconds: float = 0.0
    seconds: float = 0.0
    complete: bool = False
    failures: list[tuple[str, str]] = field(default_factory=list)

    def __str__(self) -> str:
        """The closing line."""
        if self.earlier and not self.videos:
            return f"Nothing left to do: {self.earlier:,} were done before."
        parts = [f"{self.videos:,} video{'s' if self.videos != 1 else ''}", f"{self.events} events"]
        parts += [f"{self.clips} clips"] if self.clips else []
        parts += [f"{self.samples:,} frames looked at, {self.embedded:,} of them encoded"]
        speed = self.video_seconds / self.seconds if self.seconds > 0 else 0.0
        parts += [f"{self.seconds:.1f} s, {speed:.1f} times as fast as they play"]
        parts += [f"{self.errors} could not be read to the end"] if self.errors else []
        parts += [f"{self.earlier} done before"] if self.earlier else []
        return "; ".join(parts) + "."

    def add(self, prediction: VideoPrediction) -> None:
        """Count one more video."""
        self.videos += 1
        self.events += len(prediction.events)
        self.samples += prediction.samples
        self.embedded += prediction.embedded
        self.video_seconds += prediction.seconds or 0.0
        if prediction.error is not None:
            self.errors += 1
            self.failures.append((prediction.source, prediction.error))


class RowsFile:
    """A .jsonl or .csv file that grows by whole lines; the rows of a video end with its own.

    With `resume` a .jsonl file is gone on with: the rows of a video that did not end are cut off.
    Raises SourceError when it must not be written, or another model, labels or options made it.
    """

    def __init__(
        self,
        path: Path,
        facts: dict[str, Any],
        *,
        frames: bool,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        kind = path.suffix.lower().removeprefix(".")
        if resume and kind != "jsonl":
            raise SourceError("--resume needs a .jsonl file: -o out.jsonl.")
        check_resumable(path, kind, resume=resume, overwrite=overwrite)
        self._lock = only_writer(path)
        self._path, self._facts = path, facts
        self.done: set[str] = set()
        try:
            with writing(path):
                self._file = self._begun(resume)
            self.writer: VideoWriter = LINES[path.suffix.lower()](self._write, frames=frames)
        except BaseException:
            give_back(self._lock)
            raise

    def finish(self, summary: VideoSummary) -> None:
        """Close the file and complete its manifest."""
        self._file.close()
        counts = {"videos": summary.videos + summary.earlier, "errors": summary.errors}
        ended = {**self._facts, **counts, "complete": summary.complete, "ended": now()}
        try:
            with writing(manifest_path(self._path)):
                write_manifest(self._path, ended)
        finally:
            give_back(self._lock)

    def _begun(self, resume: bool) -> IO[bytes]:
        if self._path.exists() and resume:
            self._check_manifest()
            self._read_done()
        else:
            self._path.unlink(missing_ok=True)
        write_manifest(self._path, self._facts)
        return self._path.open("ab", buffering=0)

    def _write(self, text: str) -> None:
        with writing(self._path):
            self._file.write(text.encode("utf-8", "backslashreplace"))

    def _check_manifest(self) -> None:
        beside = manifest_path(self._path)
        these = json.loads(json.dumps(self._facts))
        try:
            before = json.loads(read_text(beside))
            changed = [name for key, name in COMPARED.items() if before[key] != these[key]]
        except (OSError, ValueError, KeyError, TypeError):
            raise SourceError(
                f"{beside} is missing or damaged, so nobody knows what made {self._path}; "
                "--overwrite replaces it."
            ) from None
        if changed:
            raise SourceError(
                f"{self._path} was made with another model, other labels, templates or options "
                f"(here: {', '.join(changed)}); --overwrite replaces it, or give another file."
            )

    def _read_done(self) -> None:
        """The videos that are done; what follows the row of the last is cut off."""
        end = position = 0
        with self._path.open("rb+") as file:
            for line in file:
                position += len(line)
                if not line.endswith(b"\n"):
                    break
                try:
                    row = json.loads(line)
                    if row["type"] == "clip":
                        self.done.add(str(row["source"]))
                        end = position
                except (ValueError, KeyError, TypeError):
                    raise SourceError(
                        f"{self._path}: this line was not written by unseen video: {line[:60]!r}; "
                        "--overwrite replaces the file."
                    ) from None
            file.truncate(end)


def classify_to_file(
    classifier: Classifier,
    paths: Sequence[str | Path],
    labels: CompiledLabels,
    decision: Decision,
    output: Path | VideoWriter,
    options: VideoOptions = DEFAULT_VIDEO_OPTIONS,
    *,
    batch_size: int | None = None,
    resume: bool = False,
    overwrite: bool = False,
    on_video: Callable[[VideoPrediction, VideoSummary], None] | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> VideoSummary:
    """Classify videos into a file; one that cannot be read is a row with its error.

    When the run is interrupted (KeyboardInterrupt), a .jsonl file keeps the videos that are done,
    and `resume` goes on there.

    Parameters
    ----------
    classifier : Classifier
        What answers.
    paths : sequence of str or Path
        Videos, or animated pictures.
    labels : CompiledLabels
        Compiled by `classifier`.
    decision : Decision
        How scores become an answer.
    output : Path or VideoWriter
        A .jsonl, .csv, .json, .vtt, .srt or .html file; or what takes one video after another.
    options : VideoOptions
        How they are looked at.
    batch_size : int, optional
        Frames that the network takes at once.
    resume : bool
        Go on with a .jsonl file where it stopped.
    overwrite : bool
        Replace a file that exists.
    on_video : callable, optional
        Called with each video that is done, and what was done so far.
    progress : callable, optional
        Called with the video, the milliseconds of it that were looked at, and how many it has.

    Returns
    -------
    VideoSummary

    Raises
    ------
    SourceError
        If the file exists, cannot be written, or was made by another model, labels or options.
    LabelError
        If the decision does not fit the labels.
    """
    warn_if_alone(labels, decision)
    warn_undecided(labels, decision)
    if any(Path(path).suffix.lower() not in ANIMATIONS for path in paths):
        library()  # an error now, before there is a file
    if options.json_kind == "fiftyone":
        fiftyone_names(paths)  # the same
    summary, began = VideoSummary(), time.monotonic()
    rows: RowsFile | None = None
    if isinstance(output, Path):
        writer, rows = _opened(output, classifier, labels, decision, options, resume, overwrite)
    else:
        writer = output
    stems = Counter(Path(path).stem for path in paths)
    try:
        for path in paths:
            if rows is not None and str(path) in rows.done:
                summary.earlier += 1
                continue
            prediction = _answered(
                classifier, path, labels, decision, options, writer, batch_size, progress
            )
            writer.video(prediction)
            summary.add(prediction)
            _cut_clips(prediction, options, summary, marked=stems[Path(path).stem] > 1)
            summary.seconds = time.monotonic() - began
            if on_video is not None:
                on_video(prediction, summary)
        summary.complete = True
    except KeyboardInterrupt:
        if rows is None and not summary.videos:
            raise
    finally:
        if rows is not None:
            rows.finish(summary)
    writer.close()
    return summary


def _opened(
    output: Path,
    classifier: Classifier,
    labels: CompiledLabels,
    decision: Decision,
    options: VideoOptions,
    resume: bool,
    overwrite: bool,
) -> tuple[VideoWriter, RowsFile | None]:
    """What writes a file, checked before any work."""
    if output.suffix.lower() not in SUFFIXES:
        raise SourceError(f"{output}: videos are written as {', '.join(SUFFIXES)}.")
    if output.suffix.lower() in LINES:
        facts = manifest(classifier.model, labels, _facts(classifier, decision, options))
        rows = RowsFile(output, facts, frames=options.frames, resume=resume, overwrite=overwrite)
        return rows.writer, rows
    if resume:
        raise SourceError("--resume needs a .jsonl file: -o out.jsonl.")
    check_resumable(output, "json", resume=False, overwrite=overwrite)
    return writer_of(output, options.json_kind), None


def _facts(classifier: Classifier, decision: Decision, options: VideoOptions) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "multi": decision.multi_label,
        "top": decision.top_k,
        "min_score": decision.min_score,
        **classifier.encoder.options.facts(),
        **options.facts(),
    }
    if decision.reference_set is not None:
        facts["unknown"] = "auto"
    if decision.calibration is not None:
        facts["calibration"] = decision.calibration.to_data()
    return facts


def _answered(
    classifier: Classifier,
    path: str | Path,
    labels: CompiledLabels,
    decision: Decision,
    options: VideoOptions,
    writer: VideoWriter,
    batch_size: int | None,
    progress: Callable[[str, int, int], None] | None,
) -> VideoPrediction:
    def take(frame: Prediction) -> None:
        writer.frame(str(path), frame)

    def show(done: int, total: int) -> None:
        if progress is not None:
            progress(str(path), done, total)

    prediction = classify_video(
        classifier.encoder,
        path,
        labels,
        decision,
        sampling=options.sampling,
        min_seconds=options.min_seconds,
        batch_size=batch_size,
        limits=options.limits,
        on_frame=take if writer.wants_frames else None,
        progress=show,
    )
    return replace(prediction, events=()) if options.clip_label else prediction


def _cut_clips(
    prediction: VideoPrediction, options: VideoOptions, summary: VideoSummary, *, marked: bool
) -> None:
    """A clip of each event, into a folder; what cannot be cut is a failure that stops nothing."""
    if options.clips is None:
        return
    with writing(options.clips):
        options.clips.mkdir(parents=True, exist_ok=True)
    for event in prediction.events:
        path = clip_path(options.clips, event, marked=marked)
        try:
            cut(event.source, event.start, event.end, path, limits=options.limits)
            summary.clips += 1
        except UnseenError as error:
            summary.failures.append((str(path), str(error)))
