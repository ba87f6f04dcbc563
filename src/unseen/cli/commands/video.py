"""`unseen video`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.interruption import interruption
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output import Lines, named, printable, write_json
from unseen.errors import SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

if TYPE_CHECKING:
    from unseen.sources.packets import Sampling
    from unseen.video.prediction import VideoPrediction
    from unseen.video.writers import VideoWriter

DURATION = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m)?")
UNITS = {"ms": 0.001, "s": 1.0, None: 1.0, "m": 60.0}


@options.loads_model()
@options.takes_labels()
def video(
    files: Annotated[
        list[str], typer.Argument(help="Videos, folders of them, animated GIF or WebP files.")
    ],
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    every: Annotated[
        str, typer.Option(help="Look at a frame about so often: 1s, 500ms, 1m.")
    ] = "1s",
    keyframes: Annotated[
        bool, typer.Option("--keyframes", help="Look at the keyframes, which cost least.")
    ] = False,
    every_frame: Annotated[bool, typer.Option("--all", help="Look at every frame.")] = False,
    min_seconds: Annotated[
        float, typer.Option(min=0.0, help="The shortest event that is wanted, in seconds.")
    ] = 2.0,
    clip_label: Annotated[
        bool, typer.Option("--clip-label", help="Only the label of each whole video.")
    ] = False,
    frames: Annotated[
        bool, typer.Option("--frames", help="A row for each frame, too: .jsonl, .csv.")
    ] = False,
    multi: Annotated[
        bool, typer.Option("--multi", help="Answer yes or no for each label by itself.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="The most labels of a frame or clip.", show_default="all"),
    ] = None,
    min_score: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Only labels with at least this probability."),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON object a line, on standard output.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Write this .jsonl, .csv, .json, .vtt, .srt or .html file."
        ),
    ] = None,
    spans: Annotated[
        str, typer.Option(help="What a .json file holds: unseen, label-studio or fiftyone.")
    ] = "unseen",
    clips: Annotated[
        Path | None, typer.Option(help="Cut a clip of each event, into this folder.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a .jsonl file where it stopped.")
    ] = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen video clip.mp4 --labels "a dog,a cat,nobody"

    Say what happens in a video, and when: events with a start and an end, and a label for the
    whole. A video that is broken is a row with its error, and what could be read before is there.
    """
    from unseen.video.frames import video_files  # noqa: PLC0415 - it loads numpy
    from unseen.video.result_file import VideoOptions, classify_to_file  # noqa: PLC0415 - as above

    if as_json + jsonl + (output is not None) > 1:
        raise SourceError("give one of --json, --jsonl and -o.")
    if resume and output is None:
        raise SourceError("--resume needs a file: -o out.jsonl.")
    options.check_labels(label_options.labels, load_options, files)
    chosen = VideoOptions(
        _sampling(every, keyframes=keyframes, every_frame=every_frame),
        min_seconds,
        clip_label,
        frames,
        clips,
        spans,
    )
    paths = video_files(files)
    _check_single(output, paths)
    classifier = unseen.load(load_options)
    labels = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(labels, label_options, multi=multi, quiet=quiet)
    decision = classifier.decision(multi, top, min_score, label_options.open_set, calibration)
    target = output or _standard_output(as_json=as_json, jsonl=jsonl, frames=frames)
    with progress.videos(quiet) as show:
        summary = classify_to_file(
            classifier,
            paths,
            labels,
            decision,
            target,
            chosen,
            batch_size=batch_size,
            resume=resume,
            overwrite=overwrite,
            progress=show,
        )
    for name, error in summary.failures:
        progress.say(named(name, error))
    if not quiet:
        progress.say(str(summary))
    if not summary.complete:
        go_on = "; go on with --resume" if output and output.suffix.lower() == ".jsonl" else ""
        progress.say(f"stopped: {summary.videos + summary.earlier} done{go_on}.")
        interruption.explained = True
        raise typer.Exit(130)
    if summary.errors:
        raise typer.Exit(1)


def _sampling(every: str, *, keyframes: bool, every_frame: bool) -> Sampling:
    from unseen.sources.packets import Sampling  # noqa: PLC0415 - few commands need it

    if keyframes and every_frame:
        raise SourceError("give one of --keyframes and --all.")
    match = DURATION.fullmatch(every.strip())
    seconds = 0.0 if match is None else float(match["number"]) * UNITS[match["unit"]]
    if seconds <= 0:
        raise SourceError(f"--every is {every!r}; give a time, such as 1s, 500ms or 1m.")
    return Sampling(0.0 if every_frame else seconds, keyframes)


def _check_single(output: Path | None, paths: list[Path]) -> None:
    if output is not None and output.suffix.lower() in (".vtt", ".srt") and len(paths) > 1:
        raise SourceError(
            f"{output}: subtitles are of one video, and {len(paths)} were given; give one, or "
            "write .jsonl, .csv or .html."
        )


def _standard_output(*, as_json: bool, jsonl: bool, frames: bool) -> VideoWriter:
    from unseen.video.writers import JsonLinesWriter  # noqa: PLC0415 - it loads what draws

    if jsonl:
        return JsonLinesWriter(Lines().write, frames=frames)
    return _Document() if as_json else _Text()


class _Document:
    """One JSON document on standard output, when all is done."""

    wants_frames = False

    def __init__(self) -> None:
        self._videos: list[VideoPrediction] = []

    def frame(self, source: str, frame: unseen.Prediction) -> None:
        return None

    def video(self, prediction: VideoPrediction) -> None:
        self._videos.append(prediction)

    def close(self) -> None:
        write_json([prediction.to_dict() for prediction in self._videos])


class _Text:
    """Lines for people: a video, and below it its events."""

    wants_frames = False

    def frame(self, source: str, frame: unseen.Prediction) -> None:
        return None

    def video(self, prediction: VideoPrediction) -> None:
        from unseen.sources.frame_names import clock  # noqa: PLC0415 - few commands need it

        if prediction.clip is None:
            return  # its error is said
        label = prediction.label or "unknown"
        score = f" {prediction.clip.score:.1%}" if prediction.clip.score is not None else ""
        lines = [f"{printable(prediction.source)}: {printable(label)}{score}"]
        for event in prediction.events:
            times = f"{clock(event.start)}  {clock(event.end)}"
            lines.append(f"  {times}  {event.score:6.1%}  {printable(event.label)}")
        Lines().write("".join(f"{line}\n" for line in lines))

    def close(self) -> None:
        return None
