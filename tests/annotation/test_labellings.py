"""A folder labelled: proposals against the classifier, decisions that last, what comes first."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import shapes
import unseen
from unseen.annotation import active_learning
from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import Proposal
from unseen.annotation.propose import propose
from unseen.errors import LabelError, SourceError, StoreError
from unseen.evaluation.bootstrap import proportion

LABELS = ["red circle", "blue square", "green star", "yellow heart"]


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load("tests/fixtures/shapes-clip")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six pictures of each label in folders of other names, a copy, and a file that is none."""
    root = tmp_path_factory.mktemp("drawn")
    for number, label in enumerate(LABELS):
        (root / f"{number}").mkdir()
        for seed in range(6):
            shapes.draw(shapes.scene(label), seed).save(root / f"{number}" / f"{seed}.png")
    shutil.copy(root / "0" / "0.png", root / "1" / "copy.png")
    (root / "broken.png").write_bytes(b"no picture")
    return root


@pytest.fixture
def photos(drawn: Path, tmp_path: Path) -> Path:
    shutil.copytree(drawn, tmp_path / "photos")
    return tmp_path / "photos"


def propose_labels(
    folder: Path, classifier: unseen.Classifier, labels: object = LABELS, **options: object
) -> Labelling:
    sure = options.pop("sure", 0.8)
    background = options.pop("background", ())
    compiled = classifier.compile(labels, background=background)  # type: ignore[arg-type]
    with unseen.Index(folder) as index:
        index.update(classifier.encoder)
        labelling = Labelling(folder, create=True)
        decision = classifier.decision(**options)  # type: ignore[arg-type]
        propose(labelling, index, classifier, compiled, decision, sure=sure)  # type: ignore[arg-type]
    return labelling


def test_proposals_are_what_the_classifier_says(
    photos: Path, classifier: unseen.Classifier
) -> None:
    labelling = propose_labels(photos, classifier, sure=0.7)
    pictures = {path: p for p in labelling.pictures() for path in p.paths}
    predictions = {
        Path(p.source).relative_to(photos).as_posix(): p
        for p in classifier.classify_many(photos, LABELS)
    }
    assert pictures.keys() == predictions.keys() and len(pictures) == 26
    for path, prediction in predictions.items():
        picture = pictures[path]
        if not prediction.ok:
            assert (picture.pile, picture.error) == ("error", prediction.error)
            assert picture.ranking == () and picture.label is None
            continue
        assert [name for name, _ in picture.ranking] == [s.label for s in prediction.ranking]
        # The index keeps embeddings in float16.
        assert [score for _, score in picture.ranking] == pytest.approx(
            [s.score for s in prediction.ranking], abs=2e-3
        )
        assert picture.pile == ("sure" if picture.ranking[0][1] >= 0.7 else "unsure")
        assert picture.proposed == picture.label == prediction.label
    assert pictures["0/0.png"].paths == ("0/0.png", "1/copy.png")
    assert sum(labelling.status().piles.values()) == 25  # the copy is no other picture
    good = [p for p in labelling.pictures() if p.error is None]
    scores = labelling.scores([p.id for p in good])
    assert scores.sum(1) == pytest.approx(np.ones(24), abs=1e-5) and labelling.answers == (*LABELS,)
    vectors = labelling.vectors([p.id for p in good])
    alone = classifier.encode_images([photos / p.paths[0] for p in good])
    assert vectors == pytest.approx(alone, abs=2**-12)  # float16 below a half
    with pytest.raises(StoreError, match="cannot be read"):
        labelling.scores([pictures["broken.png"].id])


def test_the_piles(photos: Path, classifier: unseen.Classifier) -> None:
    vague = ["circle", "red", "something blue", "green", "star", "heart"]
    labelling = propose_labels(photos, classifier, vague, sure=0.999)
    piles = {p.id: p.pile for p in labelling.pictures() if p.error is None}
    certain = labelling.scores([*piles]).max(1) >= 0.999
    assert [pile == "sure" for pile in piles.values()] == certain.tolist()
    assert 0 < certain.sum() < 24
    assert labelling.status().piles["error"] == 1
    # The threshold of a label in the label file comes before `sure`.
    with_thresholds = {label: {"threshold": float(label in ("red", "circle"))} for label in vague}
    labelling = propose_labels(photos, classifier, with_thresholds, sure=0.999)
    for picture in labelling.pictures():
        if picture.proposed is not None and picture.score < 1:  # type: ignore[operator]
            assert (picture.pile == "unsure") == (picture.proposed in ("red", "circle"))
    # A background label that wins is none of these, and is never shown as a label.
    labelling = propose_labels(
        photos, classifier, LABELS[:2], background=["green star", "yellow heart"]
    )
    none = list(labelling.pictures(pile="none"))
    assert {p.paths[0][0] for p in none} == {"2", "3"} and len(none) == 12
    assert all(p.proposed is None and p.label is None for p in none)
    assert labelling.answers == (*LABELS[:2], "unknown") and labelling.names == (*LABELS[:2],)
    assert {name for p in labelling.pictures() for name, _ in p.ranking} == {*LABELS[:2]}


def test_the_same_rows_as_evidence_says(photos: Path, classifier: unseen.Classifier) -> None:
    labelling = propose_labels(photos, classifier, LABELS[:2], unknown="auto")
    predictions = {
        Path(p.source).relative_to(photos).as_posix(): p.unknown
        for p in classifier.classify_many(photos, LABELS[:2], unknown="auto")
        if p.ok
    }
    unknown = {
        path: p.pile == "none" for p in labelling.pictures() for path in p.paths if not p.error
    }
    assert unknown == predictions and 0 < sum(predictions.values()) < len(predictions)


def test_decisions_outlive_new_names_labels_and_models(
    photos: Path, classifier: unseen.Classifier
) -> None:
    labelling = propose_labels(photos, classifier)
    by_path = {p.paths[-1]: p for p in labelling.pictures()}
    first, second, third = (by_path[f"{n}/1.png"].id for n in (0, 2, 3))
    labelling.decide(first, "label", "blue square")
    assert labelling.add_label("  lilac   moon ") == "lilac moon"
    labelling.decide(second, "label", "lilac moon")
    labelling.decide(third, "none")
    labelling.decide(third, "label", "yellow heart")  # a change of mind
    labelling.close()
    (photos / "0" / "1.png").rename(photos / "renamed.png")
    labelling = propose_labels(photos, classifier, ["green star", "ring"])
    picture = labelling.picture(first)
    assert picture is not None and picture.paths == ("renamed.png",)
    assert (picture.verdict, picture.chosen, picture.label) == ("label",) + ("blue square",) * 2
    assert picture.proposed in ("green star", "ring")
    # What a decision needs is a label still, behind those of the model.
    assert labelling.names[:2] == ("green star", "ring")
    assert {*labelling.names[2:]} == {"lilac moon", "blue square", "yellow heart"}
    assert labelling.status().verdicts == {"label": 3, "none": 0, "skip": 0}
    assert labelling.undo() == third and labelling.picture(third).verdict == "none"  # type: ignore[union-attr]
    assert labelling.undo() == third and labelling.picture(third).verdict is None  # type: ignore[union-attr]
    assert [labelling.undo(), labelling.undo(), labelling.undo()] == [second, first, None]


def test_what_cannot_be_decided(photos: Path, classifier: unseen.Classifier) -> None:
    labelling = propose_labels(photos, classifier)
    id = next(iter(labelling.pictures())).id
    for arguments, message in [
        ((id, "label", "dodo"), "not one of the labels"),
        ((id, "label"), "needs a label"),
        ((id, "none", "red circle"), "needs a label"),
        ((id, "maybe"), "unknown verdict 'maybe'"),
        (("00" * 16, "skip"), "no such picture"),
        (("../../etc/passwd", "skip"), "no such picture"),
    ]:
        with pytest.raises(LabelError, match=message):
            labelling.decide(*arguments)  # type: ignore[arg-type]
    for name in ("", "  ", "a" * 201, "a\x00b"):
        with pytest.raises(LabelError, match="invalid label"):
            labelling.add_label(name)
    assert labelling.status().reviewed == 0
    with pytest.raises(LabelError, match="cannot name"):
        Labelling(photos, "../elsewhere")
    with pytest.raises(StoreError, match="no labelling 'other'"):
        Labelling.open(photos, "other")
    with pytest.raises(SourceError, match="no such folder"):
        Labelling.open(photos / "nowhere")


def test_a_failed_proposal_changes_nothing(photos: Path, classifier: unseen.Classifier) -> None:
    labelling = propose_labels(photos, classifier)
    before = list(labelling.pictures())

    def proposals() -> Iterator[Proposal]:
        yield Proposal(b"0" * 16, ("new.png",), 1, 1, np.ones(64), np.ones(4), "sure")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        labelling.propose({"asked": ["dodo"]}, ["dodo"], proposals())
    assert list(labelling.pictures()) == before and labelling.names == (*LABELS,)


def test_a_folder_below_the_index(photos: Path, classifier: unseen.Classifier) -> None:
    with unseen.Index(photos) as index:
        index.update(classifier.encoder)
        labelling = Labelling(photos / "1", create=True)
        compiled = classifier.compile(LABELS)
        propose(labelling, index, classifier, compiled, classifier.decision())
        paths = {path for p in labelling.pictures() for path in p.paths}
        assert paths == {"copy.png", *(f"{n}.png" for n in range(6))}
        (photos / "empty").mkdir()
        with pytest.raises(SourceError, match="no pictures"):
            empty = Labelling(photos / "empty", create=True)
            propose(empty, index, classifier, compiled, classifier.decision())
        with pytest.raises(LabelError, match="one label a picture"):
            propose(labelling, index, classifier, compiled, classifier.decision(multi_label=True))


def test_a_file_that_is_none_of_ours(photos: Path, classifier: unseen.Classifier) -> None:
    labelling = propose_labels(photos, classifier)
    labelling.close()
    database = sqlite3.connect(labelling.path)
    database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="later version"):
        Labelling.open(photos)
    for path in labelling.path.parent.glob("labelling*"):
        path.unlink()
    labelling.path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="not a valid labelling, or it is damaged"):
        Labelling.open(photos)


def test_many_threads_decide_at_once(photos: Path, classifier: unseen.Classifier) -> None:
    labelling = propose_labels(photos, classifier)
    ids = [p.id for p in labelling.pictures() if p.error is None]

    def work(ids: list[str]) -> None:
        for id in ids:
            labelling.queue(3)
            labelling.decide(id, "label", "red circle")

    threads = [threading.Thread(target=work, args=(ids[n::4],)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert labelling.status().verdicts["label"] == 24 and labelling.queue(5) == []


# what comes first


def test_uncertainty_is_the_margin() -> None:
    scores = np.array([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [1, 0, 0]], dtype=np.float32)
    assert active_learning.uncertainty(scores) == pytest.approx([0.9, 0.3, 0.0])
    assert active_learning.uncertainty(scores[:, :1]) == pytest.approx([1.0, 0.2, 0.0])


def test_the_order_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(60, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    uncertainties = rng.random(60).astype(np.float32)
    reviewed = vectors[:3]
    order = active_learning.order(uncertainties, vectors, reviewed, 20)
    chosen: list[int] = []
    for _ in range(20):
        worth = [
            -1.0
            if i in chosen
            else uncertainties[i]
            * max(1 - max(float(vectors[i] @ b) for b in [*reviewed, *vectors[chosen]]), 1e-6)
            for i in range(60)
        ]
        chosen.append(int(np.argmax(worth)))
    assert order == chosen and not {0, 1, 2} & {*order}
    assert sorted(active_learning.order(uncertainties, vectors, reviewed, 99)) == list(range(60))
    assert active_learning.order(uncertainties, vectors, vectors[:0], 1) == [
        int(uncertainties.argmax())
    ]


def synthetic_labelling(folder: Path, first: np.ndarray, sure: float = 0.8) -> Labelling:
    """Pictures that are only rows: the first of two labels has these probabilities."""
    rng = np.random.default_rng(7)
    labelling = Labelling(folder, create=True)
    proposals = []
    for number, p in enumerate(first):
        vector = rng.normal(size=16)
        vector /= np.linalg.norm(vector)
        scores = np.array([p, 1 - p])
        pile = "sure" if scores.max() >= sure else "unsure"
        content = number.to_bytes(16, "big")
        proposals.append(Proposal(content, (f"{number}.png",), 9, 9, vector, scores, pile))
    labelling.propose({"asked": ["cat", "dog"]}, ["cat", "dog"], proposals)
    return labelling


def test_the_queue(tmp_path: Path) -> None:
    labelling = synthetic_labelling(tmp_path, np.linspace(0.02, 0.98, 60))
    piles = labelling.status().piles
    assert piles == {"sure": 24, "unsure": 36, "none": 0, "error": 0}
    pictures = labelling.queue(10)
    assert [p.audit for p in pictures] == [False, False, False, False, True] * 2
    assert all((p.pile == "sure") == p.audit for p in pictures)
    assert abs(labelling.scores([pictures[0].id])[0, 0] - 0.5) < 0.2
    everything = labelling.queue(99)
    assert len({p.id for p in everything}) == 60 and everything[:10] == pictures
    shown = [p.id for p in pictures]
    labelling.decide(shown[0], "skip")
    assert shown[0] not in {p.id for p in labelling.queue(99)}
    assert not {*shown} & {p.id for p in labelling.queue(99, exclude=shown)}
    assert [p.id for p in labelling.queue(3, exclude=shown[:1])] == [
        p.id for p in labelling.queue(3)
    ]
    # Nothing is doubtful, or nothing is sure: the queue has what there is.
    assert all(p.audit for p in synthetic_labelling(tmp_path, np.full(9, 0.9)).queue(9))
    assert not any(p.audit for p in synthetic_labelling(tmp_path, np.full(9, 0.7)).queue(9))


def test_an_error_is_never_asked_about(photos: Path, classifier: unseen.Classifier) -> None:
    pictures = propose_labels(photos, classifier, sure=0.0).queue(99)
    assert len(pictures) == 24 and all(p.error is None and p.audit for p in pictures)


def test_the_audit_is_a_random_draw(tmp_path: Path) -> None:
    labelling = synthetic_labelling(tmp_path, np.linspace(0.5, 0.99, 30), sure=0.0)
    in_order = [p.id for p in labelling.queue(99)]
    assert labelling.audit() is None
    # What lies behind a gap was not chosen by the draw, and does not count.
    labelling.decide(in_order[5], "label", "cat")
    assert labelling.audit() is None and labelling.status().reviewed == 1
    for id, label in zip(in_order[:4], ("cat", "cat", "dog", "cat"), strict=True):
        labelling.decide(id, "label", label)
    audit = labelling.audit()
    assert audit is not None and (audit.right, audit.reviewed) == (3, 4)
    assert (audit.low, audit.high) == proportion(3, 4)
    labelling.decide(in_order[0], "none")
    assert labelling.audit().right == 2  # type: ignore[union-attr]
    labelling.decide(in_order[0], "skip")
    assert labelling.audit().reviewed == 3  # type: ignore[union-attr]
    labelling.decide(in_order[4], "label", "cat")
    assert labelling.audit().reviewed == 5  # type: ignore[union-attr]  # the gap is closed
    scores = sorted(float(labelling.scores([id]).max()) for id in in_order[1:6])
    assert labelling.audit(scores[2]).reviewed == 3  # type: ignore[union-attr]
    # A picture more does not change the draw of the others.
    assert in_order == sorted(in_order, key=lambda id: active_learning.audit_key(bytes.fromhex(id)))
    assert in_order != sorted(in_order)


@pytest.mark.parametrize(("yes", "n"), [(0, 1), (1, 1), (3, 4), (47, 50), (50, 50), (0, 400)])
def test_the_interval_of_a_share(yes: int, n: int) -> None:
    judge = binomtest(yes, n).proportion_ci(0.95, method="wilson")
    assert proportion(yes, n) == pytest.approx((judge.low, judge.high), abs=1e-12)
