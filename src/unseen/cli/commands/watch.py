"""`unseen watch`."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output import Lines, printable
from unseen.errors import SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

if TYPE_CHECKING:
    from unseen.monitoring.watching import Watch


@options.loads_model()
@options.takes_labels()
def watch(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...",
            help="camera:0, rtsp:// or http:// addresses, folders that are being filled, files; "
            "door=rtsp://… gives a source a name.",
        ),
    ],
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    every: Annotated[str, typer.Option(help="Look about so often: 1s, 500ms, 1m.")] = "1s",
    min_seconds: Annotated[
        float, typer.Option(min=0.0, help="The shortest event that is wanted, in seconds.")
    ] = 2.0,
    rules: Annotated[
        Path | None, typer.Option(help="A .yaml file of rules: of what somebody is told.")
    ] = None,
    surprise: Annotated[
        float | None,
        typer.Option(help="Tell of what a source never showed, with so many false alarms a day."),
    ] = None,
    webhook: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="Post each message there; $UNSEEN_WEBHOOK_SECRET signs it."
        ),
    ] = None,
    mqtt: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A broker, mqtt://host:1883, as Home Assistant takes it."),
    ] = None,
    program: Annotated[
        str | None,
        typer.Option(
            "--exec", metavar="PROGRAM", help="Start it for each message: JSON on standard input."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Add messages to this .jsonl file, too."),
    ] = None,
    begins: Annotated[
        str | None,
        typer.Option(
            help="When a file was taken, such as 2026-11-30T21:00; for rules with a time of day.",
            show_default="by the time of the file",
        ),
    ] = None,
    multi: Annotated[
        bool, typer.Option("--multi", help="Answer yes or no for each label by itself.")
    ] = False,
    min_score: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Only labels with at least this probability."),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="A JSON object a line, on standard output.")
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen watch camera:0 --labels "a person,nobody"

    Follow cameras, streams and folders, and tell what happens there, until Ctrl-C or SIGTERM. A
    source that is lost is opened again; of a network that is too slow only the newest frame is
    looked at, and how many were left out is said.
    """
    from unseen.monitoring.start import watch_compiled  # noqa: PLC0415 - it loads numpy

    options.check_labels(label_options.labels, load_options, sources)
    seconds = _seconds(every)
    moment = None if begins is None else _moment(begins)
    classifier = unseen.load(load_options)
    labels = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(labels, label_options, multi=multi, quiet=quiet)
    decision = classifier.decision(multi, None, min_score, label_options.open_set, calibration)
    watched = watch_compiled(
        classifier,
        sources,
        labels,
        decision,
        every=seconds,
        min_seconds=min_seconds,
        rules=() if rules is None else rules,
        surprise=surprise,
        webhook=webhook,
        mqtt=mqtt,
        program=program,
        output=output,
        begins=moment,
    )
    if not quiet:
        progress.say(f"watching {', '.join(map(printable, watched.sources))}; Ctrl-C ends it.")
    show = _json if jsonl else _text
    with _ending(watched):
        for message in watched:
            if jsonl or not quiet:
                show(message)
            _say_problems(watched)
    _say_problems(watched)
    if not quiet:
        for line in watched.summary():
            progress.say(printable(line))
    if any(counts.samples == 0 for counts in watched.counts.values()) and not watched.stopped:
        raise typer.Exit(1)


@contextmanager
def _ending(watched: Watch) -> Iterator[None]:
    """The first signal ends the watching, after all was told; a second one everything."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(number: int, frame: Any) -> None:
        if watched.stopped:
            signal.signal(number, before[signal.Signals(number)])
            signal.raise_signal(number)
        watched.stop()

    for number in before:
        signal.signal(number, end)
    try:
        yield
    finally:
        # A signal that comes twice (`timeout` sends it so) does not interrupt the last lines.
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if watched.stopped else handler)


def _say_problems(watched: Watch) -> None:
    for line in watched.problems():
        progress.say(printable(line))


def _json(message: dict[str, Any]) -> None:
    Lines().write(json.dumps(message, ensure_ascii=False) + "\n")


def _text(message: dict[str, Any]) -> None:
    """A line for people; events that go on are not said again."""
    kind = message["type"]
    if kind == "health":
        if message["state"] != "done":
            progress.say(printable(f"{message['source']}: {message['state']}: {message['detail']}"))
        return
    if kind == "update":
        return
    when = datetime.fromisoformat(message["start_time"].replace("Z", "+00:00")).astimezone()
    what = f"{message['p']:.2g} surprise" if kind == "surprise" else message["label"]
    rule = message.get("rule")
    shown = f"{rule}: {what}" if rule else what
    line = f"{when:%Y-%m-%d %H:%M:%S}  {kind:<8}  {message['source']}  {shown}"
    if kind == "end":
        line += f"  {message['end'] - message['start']:.1f} s"
    Lines().write(printable(line) + "\n")


def _seconds(every: str) -> float:
    from unseen.monitoring.rule_file import seconds_of  # noqa: PLC0415 - few commands need it

    try:
        return seconds_of(every)
    except ValueError as error:
        raise SourceError(f"--every: {error}.") from None


def _moment(text: str) -> float:
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        raise SourceError(
            f"--begins is {text!r}; give a date and time, such as 2026-11-30T21:00."
        ) from None
