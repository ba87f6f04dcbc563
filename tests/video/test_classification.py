"""A video and labels → events, a label for the whole, and frames, by the small trained CLIP."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import unseen
from films import encode, gif, story
from unseen import video
from unseen.errors import LabelWarning
from unseen.sources.frame_names import frame_of
from unseen.video.classification import embedded
from unseen.video.frames import frames_of, video_files
from unseen.video.prediction import frame_row

RED, BLUE, GREEN = "a red circle", "a blue square", "a green star"
LABELS = [RED, BLUE, GREEN]
PARTS = [(RED, 40), (BLUE, 60), (RED, 30), (GREEN, 50)]
EDGES = [(RED, 0.0, 4.0), (BLUE, 4.0, 10.0), (RED, 10.0, 13.0), (GREEN, 13.0, 18.0)]
QUARTER = video.Sampling(every=0.25)


@pytest.fixture(scope="module")
def classifier(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return encode(tmp_path_factory.mktemp("films") / "clip.mp4", story(PARTS), gop=20)


@pytest.fixture(scope="module")
def answer(classifier: unseen.Classifier, clip: Path) -> video.VideoPrediction:
    return video.classify(clip, LABELS, classifier=classifier, sampling=QUARTER, min_seconds=1.5)


def test_events_are_where_they_were_put(answer: video.VideoPrediction) -> None:
    assert answer.ok and answer.seconds == pytest.approx(18.0)
    assert [event.label for event in answer.events] == [label for label, _, _ in EDGES]
    for event, (_, start, end) in zip(answer.events, EDGES, strict=True):
        assert abs(event.start - start) <= 0.25 and abs(event.end - end) <= 0.25
        assert event.start <= event.peak.time <= event.end
        assert 0.5 < event.score <= 1 and 0.5 < event.peak.score <= 1


def test_frames_are_predictions_with_their_time(
    classifier: unseen.Classifier, answer: video.VideoPrediction
) -> None:
    assert len(answer.frames) == answer.samples
    times = [frame.meta["time"] for frame in answer.frames]
    assert times == sorted(times) and len(answer.frames[0].ranking) == 3
    frame = answer.frames[30]
    assert (frame_of(frame.source) or ("", 0))[1] == pytest.approx(frame.meta["time"], abs=1e-3)
    again = classifier.classify(frame.source, LABELS)
    assert again.label == frame.label
    # It is read again at another size, as by any other command.
    assert again.score == pytest.approx(frame.score, abs=0.1)


def test_the_clip_is_the_mean_of_its_frames(
    classifier: unseen.Classifier, clip: Path, answer: video.VideoPrediction
) -> None:
    rows = [e for _, e in embedded(classifier.encoder, frames_of(clip, QUARTER, side=128))]
    rows = [row for row in rows if row is not None]
    assert len(rows) == answer.embedded
    mean = np.sum(rows, axis=0)
    mean /= np.linalg.norm(mean)
    compiled = classifier.compile(LABELS)
    logits = classifier.model.score.scale * compiled.matrix @ mean
    p = np.exp(logits - logits.max())
    p /= p.sum()
    assert answer.clip is not None
    got = answer.clip.probabilities
    np.testing.assert_allclose([got[label] for label in LABELS], p, atol=0.02)


def test_labels_that_are_a_yes_or_no(classifier: unseen.Classifier, clip: Path) -> None:
    answer = video.classify(
        clip,
        LABELS,
        classifier=classifier,
        background=["a purple cross", "a yellow heart"],
        sampling=QUARTER,
        min_seconds=1.5,
        multi_label=True,
    )
    assert {event.label for event in answer.events} <= {*LABELS}
    reds = [event for event in answer.events if event.label == RED]
    assert any(event.start < 2 < event.end for event in reds)


def test_what_no_label_names_is_no_event(classifier: unseen.Classifier, clip: Path) -> None:
    answer = video.classify(
        clip,
        [RED, BLUE],
        classifier=classifier,
        background=[GREEN],
        sampling=QUARTER,
        min_seconds=1.5,
    )
    assert [event.label for event in answer.events] == [RED, BLUE, RED]
    assert answer.events[-1].end == pytest.approx(13.0, abs=0.25)


def test_too_little_evidence_is_a_state_of_its_own(
    classifier: unseen.Classifier, clip: Path
) -> None:
    answer = video.classify(
        clip,
        [RED, BLUE],
        classifier=classifier,
        sampling=QUARTER,
        min_seconds=1.5,
        unknown="auto",
    )
    assert [event.label for event in answer.events] == [RED, BLUE, RED]
    assert answer.events[-1].end == pytest.approx(13.0, abs=0.25)
    assert all(frame.label is None for frame in answer.frames if frame.meta["time"] > 13.5)


def test_a_single_label_is_said_to_be_alone(classifier: unseen.Classifier, clip: Path) -> None:
    with pytest.warns(LabelWarning, match="the only label"):
        alone = video.classify(clip, [RED], classifier=classifier)
    assert [event.label for event in alone.events] == [RED]


def test_a_video_that_breaks_off_has_what_could_be_read(
    classifier: unseen.Classifier, clip: Path, tmp_path: Path
) -> None:
    path = encode(tmp_path / "a.avi", story(PARTS), gop=20)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    answer = video.classify(path, LABELS, classifier=classifier, sampling=QUARTER, min_seconds=1.5)
    assert [event.label for event in answer.events][:1] == [RED]
    assert answer.samples > 20 and answer.seconds is not None and answer.seconds < 17
    missing = video.classify("none.mp4", LABELS, classifier=classifier)
    assert not missing and missing.clip is None and "no such file" in str(missing.error)
    assert missing.clip_row()["error"] == missing.error


def test_a_still_video_is_encoded_once(classifier: unseen.Classifier, tmp_path: Path) -> None:
    picture = story([(BLUE, 1)])[0]
    path = encode(tmp_path / "still.mp4", [picture] * 100)
    answer = video.classify(path, LABELS, classifier=classifier)
    assert (answer.samples, answer.embedded) == (10, 1)
    assert [(e.label, e.start, e.end) for e in answer.events] == [(BLUE, 0.0, 10.0)]


def test_an_animated_gif(classifier: unseen.Classifier, tmp_path: Path) -> None:
    path = gif(tmp_path / "a.gif", story([(RED, 6), (GREEN, 6)]), 500)
    answer = video.classify(path, LABELS, classifier=classifier, min_seconds=1)
    assert [(e.label, e.start, e.end) for e in answer.events] == [(RED, 0, 3), (GREEN, 3, 6)]


def test_it_is_plain_data(answer: video.VideoPrediction) -> None:
    rows = [json.loads(json.dumps(row)) for row in answer.rows()]
    assert [row["type"] for row in rows] == ["event"] * 4 + ["clip"]
    assert {"source", "label", "score", "ranking", "seconds", "samples"} <= rows[-1].keys()
    row = frame_row(answer.source, answer.frames[0])
    assert [*row][:2] == ["type", "time"] and row["source"] == answer.source
    assert json.dumps(answer.to_dict())
    drawn = answer._repr_html_()
    assert "a red circle" in drawn and "<table" in drawn


def test_progress_is_in_milliseconds_and_ends(classifier: unseen.Classifier, clip: Path) -> None:
    steps: list[tuple[int, int]] = []
    video.classify(
        clip,
        LABELS,
        classifier=classifier,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert steps[-1][0] >= 16_000 and all(done <= total for done, total in steps)


def test_files_of_a_folder(clip: Path, tmp_path: Path) -> None:
    for name in ("b.mp4", "a.webm", "c.gif", "d.jpg", ".hidden.mp4", "sub/e.mov"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"")
    names = [path.relative_to(tmp_path).as_posix() for path in video_files([tmp_path])]
    assert names == ["a.webm", "b.mp4", "c.gif", "sub/e.mov"]
    assert video_files(["none.mp4"]) == [Path("none.mp4")]
    (tmp_path / "empty").mkdir()
    with pytest.raises(unseen.SourceError, match="no videos in it"):
        video_files([tmp_path / "empty"])


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_the_shortest_event_is_a_time(
    classifier: unseen.Classifier, clip: Path, seconds: float
) -> None:
    with pytest.raises(unseen.SourceError, match="min_seconds"):
        video.classify(clip, LABELS, classifier=classifier, min_seconds=seconds)
