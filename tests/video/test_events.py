"""Samples in time → events, of a file and of a stream."""

from __future__ import annotations

import numpy as np
import pytest

from unseen.video.events import EventStream, States, find_events
from unseen.video.prediction import Event

SURE = {"a": (0.9, 0.05, 0.05), "b": (0.05, 0.9, 0.05), "unknown": (0.05, 0.05, 0.9)}
STATES = States(("a", "b", "unknown"))


def samples(text: list[tuple[str, int]]) -> np.ndarray:
    return np.float32([SURE[label] for label, count in text for _ in range(count)])


def events_of(p: np.ndarray, **options: float) -> list[tuple[str, float, float]]:
    times = np.arange(len(p), dtype=float)
    pictures = np.arange(len(p))
    found = find_events(
        "x", STATES, times, float(len(p)), p, pictures, min_seconds=options.get("min_seconds", 3)
    )
    return [(e.label, e.start, e.end) for e in found]


def test_events_have_their_edges_and_unknown_is_none() -> None:
    p = samples([("unknown", 5), ("a", 6), ("b", 7), ("unknown", 4)])
    assert events_of(p) == [("a", 5.0, 11.0), ("b", 11.0, 18.0)]


def test_the_last_event_ends_with_the_video() -> None:
    times = np.array([0.0, 1.0, 2.0, 3.0])
    (event,) = find_events(
        "x", STATES, times, 3.7, samples([("a", 4)]), np.arange(4), min_seconds=1
    )
    assert (event.start, event.end) == (0.0, 3.7)
    assert event.score > 0.9 and event.peak.score == pytest.approx(0.9)


def test_what_is_shorter_than_wanted_is_no_event() -> None:
    p = samples([("a", 10), ("b", 1), ("a", 10)])
    assert events_of(p, min_seconds=4) == [("a", 0.0, 21.0)]
    assert len(events_of(samples([("a", 10), ("b", 5), ("a", 10)]), min_seconds=4)) == 3


def test_slides_that_stand_still_are_events_of_their_own() -> None:
    """Each picture is shown for ten samples, and is one piece of evidence."""
    p = samples([("a", 1), ("b", 1), ("a", 1)])
    times = np.arange(30, dtype=float)
    found = find_events("x", STATES, times, 30.0, p, np.repeat([0, 1, 2], 10), min_seconds=3)
    assert [(e.label, e.start, e.end) for e in found] == [
        ("a", 0.0, 10.0), ("b", 10.0, 20.0), ("a", 20.0, 30.0)
    ]  # fmt: skip


def test_labels_that_are_a_yes_or_no_may_overlap() -> None:
    states = States(("dog", "rain"), np.float32([0.5, 0.5]))
    p = np.full((20, 2), 0.05, np.float32)
    p[3:12, 0] = 0.95
    p[8:18, 1] = 0.95
    found = find_events("x", states, np.arange(20.0), 20.0, p, np.arange(20), min_seconds=3)
    assert [(e.label, e.start, e.end) for e in found] == [("dog", 3.0, 12.0), ("rain", 8.0, 18.0)]


def test_a_rerun_gives_the_same_ids_and_different_events_different_ones() -> None:
    p = samples([("a", 8), ("b", 8), ("a", 8)])

    def ids() -> list[str]:
        found = find_events("x", STATES, np.arange(24.0), 24.0, p, np.arange(24), min_seconds=2)
        return [event.id for event in found]

    assert ids() == ids() and len(set(ids())) == 3


def test_the_row_of_an_event_has_the_keys_that_are_promised() -> None:
    p = samples([("a", 8)])
    (event,) = find_events("x", STATES, np.arange(8.0), 8.0, p, np.arange(8), min_seconds=2)
    row = event.to_dict()
    assert [*row] == ["type", "id", "source", "label", "start", "end", "score", "peak"]
    assert row["type"] == "event" and row["source"] == "x" and set(row["peak"]) == {"time", "score"}


def test_a_stream_tells_of_each_event_once_and_ends_it() -> None:
    p = samples([("unknown", 6), ("a", 8), ("b", 9), ("unknown", 6)])
    stream = EventStream("door", STATES, every=1.0, min_seconds=3.0)
    changes = [c for t, row in enumerate(p) for c in stream.add(float(t), row)]
    changes += stream.finish(float(len(p)))
    ended = [c.event for c in changes if c.type == "end"]
    assert [(e.label, e.start, e.end) for e in ended] == [("a", 6.0, 14.0), ("b", 14.0, 23.0)]
    begun = [c.event.id for c in changes if c.type == "new"]
    assert begun == [e.id for e in ended]


def test_what_is_going_on_when_a_stream_stops_ends_then() -> None:
    stream = EventStream("door", STATES, every=1.0, min_seconds=2.0)
    changes = [c for t, row in enumerate(samples([("a", 30)])) for c in stream.add(float(t), row)]
    changes += stream.finish(30.0)
    kinds = [c.type for c in changes]
    assert kinds[0] == "new" and kinds[-1] == "end" and "update" in kinds
    assert changes[-1].event.end == 30.0 and isinstance(changes[-1].event, Event)


def test_a_stream_says_what_a_file_says() -> None:
    """The same samples with grain in the probabilities: at most a few labels differ."""
    rng = np.random.default_rng(3)
    labels = rng.permutation(np.repeat(["a", "b", "unknown"], 6))
    clear = samples([(label, int(rng.integers(5, 15))) for label in labels])
    spoiled = rng.random(len(clear)) < 0.4
    p = np.where(spoiled[:, None], rng.dirichlet(np.ones(3), len(clear)), clear).astype(np.float32)
    times = np.arange(len(p), dtype=float)
    offline = find_events("x", STATES, times, float(len(p)), p, np.arange(len(p)), min_seconds=5)
    stream = EventStream("x", STATES, every=1.0, min_seconds=5.0)
    changes = [c for t, row in enumerate(p) for c in stream.add(float(t), row)]
    changes += stream.finish(float(len(p)))
    online = [c.event for c in changes if c.type == "end"]

    def track(events: list[Event]) -> list[str]:
        names = ["unknown"] * len(p)
        for event in events:
            for t in range(int(event.start), int(event.end)):
                names[t] = event.label
        return names

    same = np.mean([x == y for x, y in zip(track([*offline]), track(online), strict=True)])
    assert same >= 0.95


# how well labels fit


def spoiled(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of cat, and in six of ten samples all agree on a dog; their best logits are lower by 15."""
    bad = rng.random(count) < 0.6
    p = np.where(bad[:, None], [0.02, 0.97, 0.01], [0.98, 0.01, 0.01]).astype(np.float32)
    return p, np.where(bad, 15.0, 30.0) + rng.normal(0, 0.5, count)


def labels_of(p: np.ndarray, fits: np.ndarray | None, min_seconds: float = 5) -> list[str]:
    times = np.arange(float(len(p)))
    states = States(("cat", "dog", "owl"))
    found = find_events(
        "x", states, times, float(len(p)), p, np.arange(len(p)), min_seconds=min_seconds, fits=fits
    )
    return [event.label for event in found]


def test_samples_that_agree_on_a_wrong_label_and_fit_it_badly() -> None:
    p, fits = spoiled(np.random.default_rng(0), 60)
    assert labels_of(p, fits) == ["cat"]
    assert "dog" in labels_of(p, None)
    states = States(("cat", "dog", "owl"))
    stream = EventStream("x", states, every=1.0, min_seconds=5.0)
    changes = [c for t, row in enumerate(p) for c in stream.add(float(t), row, fit=fits[t])]
    changes += stream.finish(60.0)
    assert [(c.type, c.event.label) for c in changes if c.type != "update"] == [
        ("new", "cat"), ("end", "cat")
    ]  # fmt: skip


def test_a_label_that_fits_no_picture_well_has_its_events() -> None:
    """Ten logits less than the ones before and after, in every sample of ten."""
    rows = np.repeat([[0.98, 0.01, 0.01], [0.01, 0.01, 0.98], [0.98, 0.01, 0.01]], 10, axis=0)
    fits = np.repeat([30.0, 20.0, 30.0], 10)
    assert labels_of(rows.astype(np.float32), fits) == ["cat", "owl", "cat"]


@pytest.mark.parametrize("min_seconds", [2, 3, 5, 20])
def test_no_sample_pays_for_an_event_however_well_it_fits(min_seconds: float) -> None:
    p = np.repeat([[0.9, 0.05, 0.05]], 41, axis=0).astype(np.float32)
    p[20] = [1e-9, 1e-9, 1]
    fits = np.where(np.arange(41) == 20, 60.0, 20.0)
    assert labels_of(p, fits, min_seconds) == ["cat"]
