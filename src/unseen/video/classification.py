"""A video and labels → what happens in it: each frame, the whole, and events."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from unseen.classifier import Classifier, load, warn_if_alone
from unseen.encoder import Encoded, Encoder
from unseen.errors import SourceError, UnseenError
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import UNKNOWN
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO
from unseen.prediction.decision import Decision
from unseen.prediction.predict import label_probabilities, predict, warn_undecided
from unseen.prediction.prediction import Prediction, Predictions
from unseen.sources.frame_names import frame_name
from unseen.sources.packets import EVERY_SECOND, Sampling
from unseen.sources.pyav import DEFAULT_VIDEO_LIMITS, VideoLimits
from unseen.sources.video import SIDE, Frame
from unseen.video.events import States, find_events
from unseen.video.frames import Frames, frames_of, readable
from unseen.video.prediction import VideoPrediction, rounded

if TYPE_CHECKING:
    from unseen.types import Doubles, Floats, LabelsLike, Metadata, Progress, TemplateLike

MIN_SECONDS = 2.0
LARGER = 2  # a frame is read at so many times the side that the network takes
UNKNOWN_SURE = (
    0.9  # the probability of unknown where a picture has no label, and 1 less where it has
)
PIECE = 256  # samples that are answered at once


def classify(
    path: str | Path,
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    classifier: Classifier | None = None,
    sampling: Sampling = EVERY_SECOND,
    min_seconds: float = MIN_SECONDS,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    multi_label: bool = False,
    top_k: int | None = None,
    min_score: float | None = None,
    unknown: str | None = None,
    calibration: Calibration | str | Path | None = AUTO,
    batch_size: int | None = None,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    progress: Progress | None = None,
) -> VideoPrediction:
    """What happens in a video, and when.

    Parameters
    ----------
    path : str or Path
        A video, or an animated GIF, WebP or PNG.
    labels : list, dict, str, Path, LabelSet or CompiledLabels, optional
        As `Classifier.compile` takes them; by default those of the adapter, or of the model.
    classifier : Classifier, optional
        What answers; by default `unseen.load()`.
    sampling : Sampling
        Which frames are looked at; by default about one a second.
    min_seconds : float
        The shortest event that is wanted. A shorter one is reported where it is very sure.
    template, background, multi_label, top_k, min_score, unknown, calibration
        As in `Classifier.classify_many`. What is *unknown* is no event.
    batch_size : int, optional
        Frames that the network takes at once.
    limits : VideoLimits
        What the video may cost.
    progress : callable, optional
        Called with the milliseconds that were looked at, and how many there are.

    Returns
    -------
    VideoPrediction
        The clip, the events and the frames. A video that cannot be read, or breaks off, has an
        `error`, and what could be read before.

    Raises
    ------
    LabelError
        If the labels or an option are invalid, or do not fit the model.
    MissingExtraError
        If the file is a video, and PyAV is not installed.

    Examples
    --------
    >>> from unseen import video
    >>> answer = video.classify("clip.mp4", ["a dog", "a cat"])        # doctest: +SKIP
    >>> [(event.label, event.start, event.end) for event in answer.events]  # doctest: +SKIP
    [('a dog', 0.0, 3.0), ('a cat', 3.0, 9.0)]
    """
    classifier = load() if classifier is None else classifier
    compiled, decision = classifier.labels_and_decision(
        labels, template, background, multi_label, top_k, min_score, unknown, calibration
    )
    warn_if_alone(compiled, decision)
    warn_undecided(compiled, decision)
    frames: list[Prediction] = []
    answer = classify_video(
        classifier.encoder,
        path,
        compiled,
        decision,
        sampling=sampling,
        min_seconds=min_seconds,
        batch_size=batch_size,
        limits=limits,
        on_frame=frames.append,
        progress=progress,
    )
    return replace(answer, frames=Predictions(frames))


def classify_video(
    encoder: Encoder,
    path: str | Path,
    labels: CompiledLabels,
    decision: Decision,
    *,
    sampling: Sampling = EVERY_SECOND,
    min_seconds: float = MIN_SECONDS,
    batch_size: int | None = None,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
    on_frame: Callable[[Prediction], None] | None = None,
    progress: Progress | None = None,
) -> VideoPrediction:
    """As `classify`, with what is compiled already; `on_frame` takes the frames, as they come."""
    if not 0 <= min_seconds < float("inf"):
        raise SourceError(f"min_seconds is {min_seconds}; it must be 0 or more.")
    errors: list[SourceError] = []
    frames = frames_of(path, sampling, side=side_of(encoder), limits=limits)
    stream = embedded(encoder, readable(frames, errors), batch_size=batch_size)
    return classify_embedded(
        str(path),
        frames,
        stream,
        errors,
        labels,
        decision,
        min_seconds=min_seconds,
        on_frame=on_frame,
        progress=progress,
    )


def classify_embedded(
    source: str,
    frames: Frames,
    stream: Iterator[tuple[float, Floats | None]],
    errors: list[SourceError],
    labels: CompiledLabels,
    decision: Decision,
    *,
    min_seconds: float = MIN_SECONDS,
    on_frame: Callable[[Prediction], None] | None = None,
    progress: Progress | None = None,
) -> VideoPrediction:
    """As `classify_video`, of frames that something else encodes.

    Parameters
    ----------
    source : str
        The name of the video.
    frames : Frames
        What is read.
    stream : iterator of (float, ndarray or None)
        Times and embeddings of the frames, as `embedded` gives them.
    errors : list of SourceError
        Where `readable` puts why there are no more frames.
    labels : CompiledLabels
        What may happen.
    decision : Decision
        How labels are decided upon.
    min_seconds : float
        The shortest event that is wanted.
    on_frame : callable, optional
        Takes the frames, as they come.
    progress : callable, optional
        As in `classify`.
    """
    answers = _Answers(source, labels, decision, on_frame)
    while piece := list(islice(stream, PIECE)):
        answers.add(piece)
        if progress is not None:
            done = round(1000 * piece[-1][0])
            progress(done, max(done, round(1000 * (frames.seconds or 0))))
    error = str(errors[0]) if errors else None
    return answers.result(frames, min_seconds, error)


def side_of(encoder: Encoder) -> int:
    """The shorter side at which frames are read for a model."""
    target = encoder.model.preprocess.target
    return SIDE if target is None else LARGER * target


def embedded(
    encoder: Encoder, frames: Iterable[Frame], *, batch_size: int | None = None
) -> Iterator[tuple[float, Floats | None]]:
    """The time and the embedding (d,) of each frame; None where it shows the same as before.

    A frame that cannot be encoded counts as one that shows the same.
    """

    def decode(frame: Frame):  # type: ignore[no-untyped-def]
        return frame.time, None if frame.pixels is None else encoder.pixels(frame.pixels)

    for time, result in encoder.stream(frames, decode, batch_size=batch_size):
        yield time, None if isinstance(result, UnseenError) else result


def states_of(
    embeddings: Floats, labels: CompiledLabels, decision: Decision, unknown: list[bool]
) -> tuple[States, Floats, Doubles]:
    """The states that samples are told apart by, the probability of each, (n, k), and the best
    logit of each sample, (n,).

    `unknown`: which of the samples have no label.
    """
    names, p, thresholds = label_probabilities(embeddings, labels, decision)
    if not decision.multi_label and (decision.min_score or decision.reference_set):
        names, p = _with_unknown(names, p, unknown)
    fits = labels.score.scale * labels.similarities(embeddings).max(1).astype(np.float64)
    return States(tuple(names), thresholds if decision.multi_label else None), p, fits


def clip_embedding(
    encoder: Encoder,
    path: str | Path,
    *,
    sampling: Sampling = EVERY_SECOND,
    batch_size: int | None = None,
    limits: VideoLimits = DEFAULT_VIDEO_LIMITS,
) -> Encoded:
    """A video as one embedding: the mean of those of its samples, of length 1.

    Parameters
    ----------
    encoder : Encoder
        The model.
    path : str or Path
        The video.
    sampling : Sampling
        Which frames are looked at.
    batch_size : int, optional
        Frames that the network takes at once.
    limits : VideoLimits
        What the video may cost.

    Returns
    -------
    Encoded
        With an error where no frame could be read.
    """
    errors: list[SourceError] = []
    frames = frames_of(path, sampling, side=side_of(encoder), limits=limits)
    total, last = np.zeros(encoder.model.dimension), None
    for _, embedding in embedded(encoder, readable(frames, errors), batch_size=batch_size):
        last = last if embedding is None else embedding
        if last is not None:
            total += last
    if last is None:
        error = errors[0] if errors else SourceError(f"{path}: no frame of it could be read.")
        return Encoded(str(path), None, error)
    return Encoded(str(path), _of_length_1(total))


def _of_length_1(total: Doubles) -> Floats:
    return np.asarray(total / (np.linalg.norm(total) or 1.0), dtype=np.float32)


class _Answers:
    """What is known of the samples so far: an answer for each picture, and the picture of each
    sample. The pictures themselves, and their embeddings, are not held."""

    def __init__(
        self,
        source: str,
        labels: CompiledLabels,
        decision: Decision,
        on_frame: Callable[[Prediction], None] | None,
    ) -> None:
        self._source, self._labels, self._decision = source, labels, decision
        self._on_frame = on_frame
        self._times: list[float] = []
        self._pictures: list[int] = []
        self._probabilities: list[Floats] = []
        self._fits: list[Doubles] = []
        self._states: States | None = None
        self._sum = np.zeros(labels.matrix.shape[1])
        self._last: Floats | None = None
        self._shown: Prediction | None = None
        self._picture = 0

    def add(self, piece: list[tuple[float, Floats | None]]) -> None:
        """Times and embeddings, as `embedded` gives them."""
        new = [embedding for _, embedding in piece if embedding is not None]
        predictions = iter(self._answered(np.stack(new)) if new else ())
        for time, embedding in piece:
            if embedding is not None:
                self._last, self._shown = embedding, next(predictions)
                self._picture = len(self._pictures) and self._pictures[-1] + 1
            if self._last is None or self._shown is None:
                continue
            self._sum += self._last
            self._pictures.append(self._picture)
            self._times.append(time)
            if self._on_frame is not None:
                name = frame_name(self._source, time)
                meta: Metadata = {"video": self._source, "time": rounded(time)}
                self._on_frame(replace(self._shown, source=name, meta=meta))

    def _answered(self, embeddings: Floats) -> list[Prediction]:
        """The predictions of pictures, whose probabilities are kept."""
        decision = self._decision
        if self._on_frame is None:  # then only whether it is unknown counts
            decision = replace(decision, top_k=1)
        predictions = predict([""] * len(embeddings), embeddings, self._labels, decision)
        unknown = [one.unknown for one in predictions]
        self._states, p, fits = states_of(embeddings, self._labels, self._decision, unknown)
        self._probabilities.append(p)
        self._fits.append(fits)
        return predictions

    def result(self, frames: Frames, min_seconds: float, error: str | None) -> VideoPrediction:
        """The answer for the whole video."""
        if self._states is None:
            error = error or f"{self._source}: no frame of it could be read."
            return VideoPrediction(self._source, seconds=frames.seconds, error=error)
        mean = _of_length_1(self._sum)
        (clip,) = predict([self._source], mean[None], self._labels, self._decision)
        end = max(frames.seconds or 0.0, self._times[-1])
        events = find_events(
            self._source,
            self._states,
            np.array(self._times),
            end,
            np.concatenate(self._probabilities),
            np.array(self._pictures, dtype=np.int64),
            min_seconds=min_seconds,
            fits=np.concatenate(self._fits),
        )
        return VideoPrediction(
            self._source,
            clip,
            events,
            seconds=end,
            rate=frames.rate,
            samples=len(self._times),
            embedded=self._pictures[-1] + 1,
            error=error,
        )


def _with_unknown(
    names: list[str], probabilities: Floats, unknown: list[bool]
) -> tuple[list[str], Floats]:
    """Unknown as one of the states: sure where a picture is unknown, and unlikely where it is not.

    Where background labels give it a probability already, the larger of the two counts.
    """
    mask = np.array(unknown)
    sure = np.where(mask, UNKNOWN_SURE, 1 - UNKNOWN_SURE).astype(np.float32)
    if UNKNOWN in names:
        place = names.index(UNKNOWN)
        probabilities = probabilities.copy()
        least = np.maximum(probabilities[mask, place], UNKNOWN_SURE)
        probabilities[mask] *= 1 - UNKNOWN_SURE
        probabilities[mask, place] = least
        return names, probabilities
    scaled = probabilities * (1 - sure)[:, None]
    return [*names, UNKNOWN], np.column_stack([scaled, sure])
