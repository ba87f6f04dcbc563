"""Rules: what a file of them says, and when they tell. The clock is the time of the samples."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from unseen.errors import SourceError
from unseen.monitoring.monitor import Monitor
from unseen.monitoring.rule_file import read_rules, seconds_of
from unseen.monitoring.rules import Between, Rule, RuleState
from unseen.monitoring.sinks import SINKS
from unseen.video.events import Decided, States

EXAMPLES = Path(__file__).parents[2] / "examples"
BERLIN = ZoneInfo("Europe/Berlin")


def alarms(
    rules: list[Rule], names: tuple[str, ...], story: list[tuple[str, int]], begins: datetime
) -> list[tuple[str, str, float, float]]:
    """A sample a second of a camera that shows the story from a time on → what is told."""
    monitor = Monitor("door", 1.0, 2.0, rules, offset=begins.timestamp())
    states, messages, time = States(names), [], 0
    for label, count in story:
        for _ in range(count):
            p = np.full(len(names), 0.1 / (len(names) - 1), np.float32)
            p[names.index(label)] = 0.9
            # Each sample is a picture of its own.
            messages += monitor.add(float(time), states, p, np.float32([1, 0]))
            time += 1
    messages += monitor.finish()
    return [(m["type"], m["rule"], m["start"], m["end"]) for m in messages if m["rule"]]


def test_a_person_appears_at_night() -> None:
    """Nobody is told by day, of somebody who only passes, or twice of one who goes to and fro."""
    labels = ("a person", "an empty porch")
    rules = read_rules(EXAMPLES / "person_at_night.yaml", labels=labels, sinks=SINKS)
    assert rules[0].then == ("webhook",)
    visits = [(labels[1], 100), (labels[0], 20), (labels[1], 10), (labels[0], 20), (labels[1], 90)]
    night = datetime(2026, 11, 30, 23, 30, tzinfo=BERLIN)
    assert alarms(rules, labels, visits, night) == [
        ("new", "person at night", 100.0, 103.0), ("end", "person at night", 100.0, 149.0)
    ]  # fmt: skip
    assert alarms(rules, labels, visits, datetime(2026, 11, 30, 12, tzinfo=BERLIN)) == []
    passes = [(labels[1], 20), (labels[0], 3), (labels[1], 60)]
    assert alarms(rules, labels, passes, night) == []
    # Who is there from before 22:00 on is told of from then on.
    stays = [(labels[0], 120)]
    (new, _) = alarms(rules, labels, stays, datetime(2026, 11, 30, 21, 59, tzinfo=BERLIN))
    assert new == ("new", "person at night", 60.0, 63.0)


def test_a_box_is_missing_from_the_belt_for_ten_seconds() -> None:
    box, empty = labels = ("a box on a conveyor belt", "an empty conveyor belt")
    rules = read_rules(EXAMPLES / "box_missing.yaml", labels=labels, sinks=SINKS)
    story = [(box, 5), (empty, 8), (box, 5), (empty, 30), (box, 10)]
    day = datetime(2026, 1, 1, tzinfo=timezone.utc)
    assert alarms(rules, labels, story, day) == [
        ("new", "box missing", 18.0, 28.0), ("end", "box missing", 18.0, 47.0)
    ]  # fmt: skip


def test_a_rule_that_cools_down_and_one_of_any_label() -> None:
    rule = Rule("pets", ("a cat", "a dog"), at_least=0.6, seconds=2, gone=1, cool_down=20)
    state = RuleState(rule, "door")
    told = []
    for t in range(60):
        seen = {"a cat" if t % 2 else "a dog": 0.9} if t % 12 < 5 else {"a cat": 0.5}
        told += [(a.type, t) for a in state.add(Decided(float(t), seen), float(t))]
    # The first ends at 5; those at 12 and 24 begin within 20 seconds of an end.
    assert told == [("new", 2), ("end", 5), ("new", 26), ("end", 29), ("new", 50), ("end", 53)]


def test_a_part_of_the_day_over_midnight_and_a_change_of_clocks() -> None:
    night = Between(22 * 60, 6 * 60, BERLIN)

    def holds(hour: int, minute: int, day: int = 25, month: int = 10) -> bool:
        return night.holds(datetime(2026, month, day, hour, minute, tzinfo=BERLIN).timestamp())

    assert [holds(21, 59), holds(22, 0), holds(0, 0), holds(2, 30), holds(5, 59), holds(6, 0)] == [
        False, True, True, True, True, False
    ]  # fmt: skip
    assert not Between(60, 120, timezone.utc).holds(0.0)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("- name: x\n  labl: cat", 2, "did you mean 'label'"),
        ("- name: x\n  label: cta", 2, "did you mean 'cat'"),
        ("- name: x\n  label: [cat, zebra]", 2, "unknown label 'zebra'; there are: cat, dog"),
        ("- name: x", 1, "has no label"),
        ("- label: cat", 1, "has no name"),
        ("- name: x\n  label: cat\n  for: soon", 3, "'soon' is no time span"),
        ("- name: x\n  label: cat\n  at_least: 80", 3, "no probability"),
        ("- name: x\n  label: cat\n  between: 22-6", 3, "no part of a day"),
        ("- name: x\n  label: cat\n  between: 25:00-06:00", 3, "no part of a day"),
        ("- name: x\n  label: cat\n  between: 06:00-06:00", 3, "begins when it ends"),
        ("- name: x\n  label: cat\n  between: 22:00-06:00\n  tz: Mars/North", 4, "time zone"),
        ("- name: x\n  label: cat\n  tz: UTC", 1, "between, which is not given"),
        ("- name: x\n  label: cat\n  then: pager", 3, "unknown sink 'pager'; there are: webhook"),
        ("- name: x\n  label: cat\n  label: dog", 3, "given twice"),
        ("- name: x\n  label: cat\n- name: x\n  label: dog", 3, "two rules named 'x'"),
        ("- name: x\n  label: {a: b}", 2, "one word or number"),
        ("- name: x\n  label: []", 2, "one to 1,000 names"),
        ("- cat", 1, "a rule has keys"),
        ("rule:\n- name: x", 1, "unknown key 'rule'"),
        ("- name: &a x\n  label: *a", 2, "alias"),
        ("- name: [x\n", 2, "not valid YAML"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(SourceError) as caught:
        read_rules(path, labels=["cat", "dog"], sinks=["webhook"])
    assert f"rules.yaml:{line}: " in str(caught.value) and words in str(caught.value)


def test_a_file_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    texts = {"no rules": "", "nested too deeply": "[" * 5000, "characters": "#" * 2_000_000}
    for words, text in texts.items():
        path.write_text(text)
        with pytest.raises(SourceError, match=words):
            read_rules(path, labels=["cat"], sinks=())
    with pytest.raises(SourceError, match="no such file"):
        read_rules(tmp_path / "none.yaml", labels=["cat"], sinks=())


def test_a_rule_says_everything(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(
        "rules:\n- name: x\n  label: [cat, dog]\n  at_least: 80%\n  for: 1.5m\n  gone: 500ms\n"
        "  between: 22:00-06:00\n  tz: UTC\n  cool_down: 1h\n  then: [webhook, mqtt]\n"
        "  source: door\n"
    )
    between = Between(1320, 360, ZoneInfo("UTC"))
    assert read_rules(path, labels=["cat", "dog"], sinks=SINKS) == [
        Rule("x", ("cat", "dog"), 0.8, 90.0, 0.5, between, 3600.0, ("webhook", "mqtt"), ("door",))
    ]
    assert seconds_of("2d") == 172800


def test_a_still_picture_that_fits_less_well_is_an_event_too() -> None:
    """It counts once it is compared with itself, although no other picture comes."""
    states, monitor = States(("cat", "dog", "owl")), Monitor("door")
    told = []
    for time in range(24):
        p, fit = ([0.98, 0.01, 0.01], 30.0) if time < 12 else ([0.1, 0.85, 0.05], 15.0)
        embedding = np.float32([1, 0]) if time % 12 == 0 else None
        told += monitor.add(float(time), states, np.float32(p), embedding, fit)
    told += monitor.finish()
    assert [(m["type"], m["label"]) for m in told if m["type"] != "update"] == [
        ("new", "cat"), ("end", "cat"), ("new", "dog"), ("end", "dog")
    ]  # fmt: skip
