"""What answers teach: proposals made anew, none by an answer that was given for its picture."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lessons
from lessons import NAMES, content, label_set, labelling, misled, vectors
from unseen.annotation.labelling import Labelling
from unseen.annotation.pictures import NOTHING_FROM
from unseen.annotation.progress_report import progress_of
from unseen.annotation.retrain import EVERY, is_due, reason_not_to, retrain
from unseen.prediction.adapter import ZERO_SHOT

TRUTH = [NAMES[i % 3] for i in range(90)]


def number(picture: object) -> int:
    return int(picture.paths[0].removesuffix(".png"))  # type: ignore[attr-defined]


def decide(made: Labelling, truth: list[str], count: int) -> None:
    for picture in made.queue(count):
        made.decide(picture.id, "label", truth[number(picture)])


def right(made: Labelling, truth: list[str]) -> float:
    """Of the pictures that nobody decided."""
    rest = [picture for picture in made.pictures() if picture.verdict is None]
    return float(np.mean([picture.proposed == truth[number(picture)] for picture in rest]))


def rows(made: Labelling) -> list[tuple[object, ...]]:
    return [(p.id, p.ranking, p.pile) for p in made.pictures()]


def test_answers_teach(tmp_path: Path) -> None:
    with labelling(tmp_path, vectors(TRUTH), label_set(misled(TRUTH))) as made:
        assert right(made, TRUTH) == 0
        decide(made, TRUTH, 30)
        learnt = retrain(made)
        assert learnt is not None and learnt.helps and learnt.answers == 30
        assert learnt.model_right == 0 and learnt.right >= 27
        assert right(made, TRUTH) >= 0.95
        assert learnt.sure == made.status().piles["sure"]
        sure = f"{learnt.model_sure} → {learnt.sure} sure"
        assert str(learnt) == f"proposals made anew with 30 answers: {sure}"
        lines = str(progress_of(made)).splitlines()
        assert f"the proposals are right on {learnt.right} of 30" in "\n".join(lines)
        assert any(line.startswith(str(learnt)) for line in lines)
    with Labelling.open(tmp_path) as again:
        assert again.retrained is not None and again.retrained["answers"] == 30
        # The order follows: what is doubtful now comes first.
        uncertain = [p for p in again.queue(10) if not p.audit]
        assert all(p.pile != "sure" for p in uncertain)


def test_no_proposal_comes_from_its_own_answer(tmp_path: Path) -> None:
    """Pictures like no other, whose answers are drawn: who saw an answer would repeat it."""
    truth = [*(NAMES[i % 3] for i in range(60)), *["alone"] * 30]
    drawn = np.random.default_rng(1).choice(NAMES, size=90).tolist()
    answers = [drawn[i] if name == "alone" else name for i, name in enumerate(truth)]
    with labelling(tmp_path, vectors(truth), label_set(misled(truth))) as made:
        for picture in list(made.pictures()):
            made.decide(picture.id, "label", answers[number(picture)])
        learnt = retrain(made)
        assert learnt is not None and learnt.helps
        pictures = {number(p): p for p in made.pictures()}
        assert np.mean([pictures[i].proposed == answers[i] for i in range(60)]) > 0.9
        # By chance a third of 30: 20 and more are seen once in 8,000.
        assert sum(pictures[i].ranking[0][0] == answers[i] for i in range(60, 90)) < 20


def test_where_the_model_is_right_its_proposals_stay(tmp_path: Path) -> None:
    truth = TRUTH
    middles = [vectors(truth)[[n == name for n in truth]].mean(0) for name in NAMES]
    with labelling(tmp_path, vectors(truth), label_set(lessons.unit(np.array(middles)))) as made:
        before = rows(made)
        decide(made, truth, 30)
        learnt = retrain(made)
        assert learnt is not None and not learnt.helps and learnt.method == ZERO_SHOT
        assert "the proposals are the model's own" in str(learnt)
        assert rows(made) == before


def test_what_no_longer_helps_is_taken_back(tmp_path: Path) -> None:
    with labelling(tmp_path, vectors(TRUTH), label_set(misled(TRUTH))) as made:
        before = rows(made)
        decide(made, TRUTH, 30)
        assert retrain(made) is not None and rows(made) != before
        while made.undo() is not None:
            pass
        for picture in list(made.pictures())[:30]:  # as the model had proposed: it was right
            shift = {NAMES[i]: NAMES[(i + 2) % 3] for i in range(3)}
            made.decide(picture.id, "label", shift[TRUTH[number(picture)]])
        learnt = retrain(made)
        assert learnt is not None and not learnt.helps
        assert rows(made) == before


def test_labels_that_a_person_added_and_none_of_these(tmp_path: Path) -> None:
    truth = [(*NAMES, "ibis", "none")[i % 5] for i in range(100)]
    with labelling(tmp_path, vectors(truth), label_set(misled(truth))) as made:
        made.add_label("ibis")
        for picture in list(made.pictures())[:50]:
            name = truth[number(picture)]
            verdict = ("none", None) if name == "none" else ("label", name)
            made.decide(picture.id, *verdict)
        assert made.status().verdicts["none"] >= NOTHING_FROM
        learnt = retrain(made)
        assert learnt is not None and learnt.helps and learnt.answers == 50
        rest = [picture for picture in made.pictures() if picture.verdict is None]
        assert np.mean([p.proposed == "ibis" for p in rest if truth[number(p)] == "ibis"]) > 0.8
        assert np.mean([p.pile == "none" for p in rest if truth[number(p)] == "none"]) > 0.8
        scores = made.scores([picture.id for picture in rest])
        assert scores.shape == (len(rest), len(made.answers))
        assert np.allclose(scores.sum(1), 1, atol=1e-3)
        assert made.answers == (*NAMES, "ibis", "unknown")


def test_a_model_that_was_taught_its_labels_by_pictures(tmp_path: Path) -> None:
    """It has no words for anything else: what a person added cannot be learnt."""
    labels = replace(label_set(misled(TRUTH)), neutral=np.zeros((0, lessons.DIMENSION), np.float32))
    with labelling(tmp_path, vectors(TRUTH), labels) as made:
        made.add_label("ibis")
        pictures = list(made.pictures())
        for picture in pictures[:30]:
            made.decide(picture.id, "label", TRUTH[number(picture)])
        made.decide(pictures[30].id, "label", "ibis")
        learnt = retrain(made)
        assert learnt is not None and learnt.helps
        assert (learnt.answers, learnt.decided) == (30, 31)


def test_decisions_go_on_while_it_learns(tmp_path: Path) -> None:
    truth = [NAMES[i % 3] for i in range(600)]
    with labelling(tmp_path, vectors(truth), label_set(misled(truth))) as made:
        decide(made, truth, 30)
        learning = threading.Thread(target=retrain, args=(made,))
        learning.start()
        decided = 0
        while learning.is_alive():
            for picture in made.queue(2):
                made.decide(picture.id, "label", truth[number(picture)])
                decided += 1
        learning.join()
        assert decided and made.status().reviewed == 30 + decided
        assert made.retrained is not None and made.retrained["answers"] >= 30


def test_it_can_be_ended_and_does_not_undo_another_process(tmp_path: Path) -> None:
    with labelling(tmp_path, vectors(TRUTH), label_set(misled(TRUTH))) as made:
        decide(made, TRUTH, 30)
        before = rows(made)
        assert retrain(made, is_cancelled=lambda: True) is None
        assert rows(made) == before and made.retrained is None


def test_what_cannot_be_learnt_from(tmp_path: Path) -> None:
    with labelling(tmp_path, vectors(TRUTH), label_set(misled(TRUTH))) as made:
        assert retrain(made) is None  # there are no answers
        first, *_ = made.queue(1)
        made.decide(first.id, "label", "heron")
        assert retrain(made) is None and reason_not_to(made) is None
        made.propose(made.manifest, NAMES, [])
        assert "earlier version" in str(reason_not_to(made)) and retrain(made) is None


@pytest.mark.parametrize(
    ("decided", "learnt", "due"),
    [(19, 0, False), (20, 0, True), (39, 20, False), (40, 20, True), (120, 100, False)],
)
def test_when_it_is_due(decided: int, learnt: int, due: bool) -> None:
    assert EVERY == 20 and is_due(decided, learnt) == due


def test_pictures_seen_in_training_count_in_no_figure(tmp_path: Path) -> None:
    """As after `unseen label --adapter` with what was learnt from the same answers."""
    seen = frozenset(range(40))
    options = {"adapter": "0" * 16, "adapter_held_out": {"right": 31, "of": 39}}
    with labelling(
        tmp_path, vectors(TRUTH), label_set(misled(TRUTH)), sure=0.0, seen=seen, options=options
    ) as made:
        for picture in list(made.pictures()):
            if number(picture) < 42:
                made.decide(picture.id, "label", picture.proposed)
        status = made.status()
        assert (status.right, status.judged, status.seen) == (2, 2, 40)
        assert status.audit is None or status.audit.reviewed <= 2
        assert made.picture(content(0).hex()).seen  # type: ignore[union-attr]
        text = str(progress_of(made))
        assert "the model was right on 2 of 2" in text and "40 of 40" not in text
        assert "seen in training: 40 of the reviewed pictures" in text
        assert "right on 31 of 39 that were held out" in text
        assert progress_of(made).to_dict()["seen"] == 40
