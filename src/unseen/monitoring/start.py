"""What is to be watched, and who is to be told, put together."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unseen.classifier import Classifier, load, warn_if_alone
from unseen.errors import SourceError
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.monitoring import sinks as sink_kinds
from unseen.monitoring.answers import Answers, ModelAnswers
from unseen.monitoring.feed import Bell
from unseen.monitoring.mqtt import Mqtt
from unseen.monitoring.readers import Reading, open_feed
from unseen.monitoring.rule_file import read_rules
from unseen.monitoring.rules import Rule
from unseen.monitoring.watching import Watch, WatchOptions
from unseen.monitoring.webhook import Webhook
from unseen.prediction.calibration import Calibration
from unseen.prediction.calibration_file import AUTO
from unseen.prediction.decision import Decision
from unseen.prediction.predict import warn_undecided
from unseen.video.classification import side_of

if TYPE_CHECKING:
    from unseen.types import LabelsLike, TemplateLike

SECRET = "UNSEEN_WEBHOOK_SECRET"


def watch(
    sources: str | Path | Sequence[str | Path],
    labels: LabelsLike | CompiledLabels | None = None,
    *,
    classifier: Classifier | None = None,
    every: float = 1.0,
    min_seconds: float = 2.0,
    rules: str | Path | Sequence[Rule] = (),
    surprise: float | None = None,
    webhook: str | None = None,
    mqtt: str | None = None,
    program: str | None = None,
    output: str | Path | None = None,
    begins: float | None = None,
    template: TemplateLike = None,
    background: Iterable[str] = (),
    multi_label: bool = False,
    min_score: float | None = None,
    unknown: str | None = None,
    calibration: Calibration | str | Path | None = AUTO,
) -> Watch:
    """Follow cameras, streams, folders and files, and tell what happens there.

    Parameters
    ----------
    sources : str, Path or sequence of these
        ``camera:0``, ``rtsp://…``, ``http://…`` (MJPEG, MPEG-TS, or a picture that is fetched again
        and again), a folder that is being filled with videos or pictures, a file. ``door=rtsp://…``
        gives a source a name.
    labels : list, dict, str, Path, LabelSet or CompiledLabels, optional
        As `Classifier.compile` takes them.
    classifier : Classifier, optional
        What answers; by default `unseen.load()`.
    every : float
        Seconds from one look to the next, about.
    min_seconds : float
        The shortest event that is wanted.
    rules : str, Path or sequence of Rule
        When somebody is told; a YAML file of `read_rules`. Empty: of each event.
    surprise : float, optional
        Tell of what a source has never shown, with so many false alarms a day.
    webhook : str, optional
        An address that messages are posted to, signed with $UNSEEN_WEBHOOK_SECRET.
    mqtt : str, optional
        A broker: ``mqtt://host:1883``.
    program : str, optional
        Started for each message, which is JSON on its standard input; without a shell.
    output : str or Path, optional
        A file of JSON lines that messages are added to; files of a folder that it says are done are
        not looked at again.
    begins : float, optional
        When the first frame of a file was taken, in seconds since 1970, for rules with a time of
        day. None: as long before it was written last as it is long.
    template, background, multi_label, min_score, unknown, calibration
        As in `Classifier.classify_many`. What is *unknown* is no event.

    Returns
    -------
    Watch
        Iterate it for the messages; `Watch.stop` ends it.

    Raises
    ------
    SourceError
        If a source, a rule or a sink cannot be used.
    LabelError
        If the labels or an option are invalid, or do not fit the model.
    MissingExtraError
        If a camera, stream or video is given and PyAV is not installed, or a broker and paho-mqtt.

    Examples
    --------
    >>> from unseen import monitoring
    >>> belt = monitoring.watch("camera:0", ["a box", "an empty belt"])    # doctest: +SKIP
    >>> for message in belt:                                               # doctest: +SKIP
    ...     print(message["type"], message["label"])
    """
    classifier = load() if classifier is None else classifier
    compiled, decision = classifier.labels_and_decision(
        labels, template, background, multi_label, None, min_score, unknown, calibration
    )
    warn_if_alone(compiled, decision)
    warn_undecided(compiled, decision)
    return watch_compiled(
        classifier,
        [sources] if isinstance(sources, (str, Path)) else list(sources),
        compiled,
        decision,
        every=every,
        min_seconds=min_seconds,
        rules=rules,
        surprise=surprise,
        webhook=webhook,
        mqtt=mqtt,
        program=program,
        output=output,
        begins=begins,
    )


def watch_compiled(
    classifier: Classifier,
    sources: Sequence[str | Path],
    labels: CompiledLabels,
    decision: Decision,
    *,
    every: float = 1.0,
    min_seconds: float = 2.0,
    rules: str | Path | Sequence[Rule] = (),
    surprise: float | None = None,
    webhook: str | None = None,
    mqtt: str | None = None,
    program: str | None = None,
    output: str | Path | None = None,
    begins: float | None = None,
    answers: Answers | None = None,
) -> Watch:
    """As `watch`, with what is compiled already; `answers`: what answers instead of the model."""
    given = {
        sink_kinds.JSONL: output,
        sink_kinds.WEBHOOK: webhook,
        sink_kinds.MQTT: mqtt,
        sink_kinds.EXEC: program,
    }
    names = [label.name for label in labels.labels if not label.background]
    if isinstance(rules, (str, Path)):
        there = [name for name, value in given.items() if value is not None]
        rules = read_rules(rules, labels=names, sinks=there, gone=min_seconds)
    done = () if output is None else done_files(Path(output))
    reading = Reading(every=every, side=side_of(classifier.encoder), begins=begins, done=done)
    options = WatchOptions(min_seconds, tuple(rules), surprise, reading)
    answers = answers or ModelAnswers(classifier.encoder, labels, decision)
    sinks: list[sink_kinds.Sink] = []
    watched = Watch(sources, answers, options, sinks)  # first: a sink is a thread, or a connection
    if output is not None:
        sinks.append(sink_kinds.journal(Path(output)))
    if webhook is not None:
        sinks.append(Webhook(webhook, secret=os.environ.get(SECRET)))
    if program is not None:
        sinks.append(sink_kinds.program(program))
    if mqtt is not None:
        rule_names = [rule.name for rule in rules]
        sinks.append(Mqtt(mqtt, sources=watched.sources, labels=names, rules=rule_names))
    return watched


def check_sources(sources: Sequence[str], rules: Path | None, labels: LabelSet) -> None:
    """SourceError for a source or a file of rules that cannot be used; nothing is opened.

    Parameters
    ----------
    sources : sequence of str
        As `watch` takes them.
    rules : Path, optional
        A file of rules.
    labels : LabelSet
        What may happen.
    """
    for source in sources:
        open_feed(source, Reading(), Bell())
    if rules is not None:
        names = [label.name for label in labels.labels if not label.background]
        read_rules(rules, labels=names, sinks=sink_kinds.SINKS)


def done_files(path: Path) -> frozenset[str]:
    """The files of folders that a file of messages says are done; none where there is no file."""
    done: set[str] = set()
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in file:
                if '"done"' not in line:
                    continue
                try:
                    message = json.loads(line)
                except ValueError:  # cut short
                    continue
                if isinstance(message, dict) and message.get("state") == "done":
                    done.add(str(message.get("source")))
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}.") from None
    return frozenset(done)
