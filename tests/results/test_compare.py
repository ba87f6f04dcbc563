"""Two runs compared: the flip matrix against scikit-learn's, and what each manifest tells."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

import shapes
import unseen
from unseen.errors import SourceError
from unseen.prediction.prediction import Prediction, Scored
from unseen.results import manifest as manifest_module
from unseen.results import write
from unseen.results.compare import BANDS, Gate, changes, diff
from unseen.results.manifest import manifest, prompts_of
from unseen.results.records import ERROR, UNKNOWN, Row, rows
from unseen.results.spreadsheet import harmless, plain

LABELS = ["cat", "dog", "=cmd()", "'quoted", "a, comma", 'a "quote"']


def predictions(seed: int, count: int = 400) -> list[Prediction]:
    """Of pictures with awkward names: labels, unknowns and errors, the top two kept."""
    rng = random.Random(seed)
    made = []
    for i in range(count):
        source = f"={i}\nb.jpg" if i % 50 == 0 else f"photos/{i}.jpg"
        chance = rng.random()
        if chance < 0.1:
            made.append(Prediction(source, error=f"{source}: it is\nbroken"))
            continue
        first = rng.uniform(0.48, 1)
        label = "unknown" if chance < 0.2 else rng.choice(LABELS)
        other = rng.choice([one for one in LABELS if one != label])
        ranking = (Scored(label, first, 0.3), Scored(other, (1 - first) * 0.9, 0.2))
        made.append(Prediction(source, ranking, left_out=4))
    return made


def written(path: Path, made: list[Prediction], top: int = 2) -> Path:
    """As the command line writes them."""
    write(made, path, top_k=top)
    return path


def answer(prediction: Prediction) -> str:
    return ERROR if prediction.error else prediction.label or UNKNOWN


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json"])
def test_the_flip_matrix_is_scikit_learns(suffix: str, tmp_path: Path) -> None:
    a, b = predictions(1), predictions(2)
    order = [*b]
    random.Random(3).shuffle(order)  # the order of the rows is no matter
    found = diff(written(tmp_path / "a.jsonl", a), written(tmp_path / f"b{suffix}", order))
    names = [*LABELS, UNKNOWN, ERROR]
    expected = confusion_matrix([answer(p) for p in a], [answer(p) for p in b], labels=names)
    ours = np.array([[found.matrix[x, y] for y in names] for x in names])
    assert (ours == expected).all() and ours.sum() == found.both == 400
    assert len(found.flips) == expected.sum() - np.trace(expected)
    assert found.part == pytest.approx(1 - np.trace(expected) / 400)
    came = expected[:-1, -1].sum()
    assert len(found.errors_came) == came > 0
    assert len(found.errors_went) == expected[-1, :-1].sum() > 0
    pairs = found.flip_matrix()
    assert sum(n for _, _, n in pairs) == len(found.flips)
    assert [n for *_, n in pairs] == sorted((n for *_, n in pairs), reverse=True)


def test_scores_margins_and_bands(tmp_path: Path) -> None:
    a, b = predictions(1), predictions(4)
    found = diff(written(tmp_path / "a.jsonl", a), written(tmp_path / "b.jsonl", b))
    one, other = {p.source: p for p in a}, {p.source: p for p in b}
    for flip in found.flips:
        for row, of in ((flip.a, one), (flip.b, other)):
            prediction = of[flip.source]
            assert row.answer == answer(prediction) and row.score == prediction.score
            if prediction.ok:
                first, second = prediction.ranking
                assert row.margin == pytest.approx(first.score - second.score)
    margins = {s: p.ranking[0].score - p.ranking[1].score for s, p in one.items() if p.ok}
    low = 0.0
    for band in found.bands:
        inside = {s for s, m in margins.items() if low <= m < band.below}
        assert band.pictures == len(inside)
        assert band.flips == sum(flip.source in inside for flip in found.flips)
        low = band.below
    assert {flip.source for flip in found.flips if flip.near} == {
        flip.source for flip in found.flips if margins.get(flip.source, 1) < BANDS[0]
    }
    stayed = [
        abs(p.score - other[s].score)  # type: ignore[operator]
        for s, p in one.items()
        if p.ok and answer(p) == answer(other[s])
    ]
    assert found.moved_mean == pytest.approx(np.mean(stayed))
    assert found.moved_most == pytest.approx(max(stayed))


def test_pictures_in_one_only_and_pictures_given_twice(tmp_path: Path) -> None:
    a = [Prediction(s, (Scored("cat", 0.9, 0.3),)) for s in ("1", "2", "2", "3")]
    b = [
        Prediction(s, (Scored(la, 0.9, 0.3),))
        for s, la in (("2", "cat"), ("2", "dog"), ("4", "cat"))
    ]
    found = diff(written(tmp_path / "a.jsonl", a), written(tmp_path / "b.jsonl", b))
    assert (found.both, found.only_a, found.only_b) == (2, ["1", "3"], ["4"])
    assert [(f.source, f.b.answer) for f in found.flips] == [("2", "dog")]
    assert found.flips[0].a.margin is None and not found.bands  # one label: there is no second
    with pytest.raises(SourceError, match="no picture in common"):
        diff(tmp_path / "a.jsonl", written(tmp_path / "c.csv", [Prediction("5", error="x")]))


def test_a_csv_gives_back_what_json_has(tmp_path: Path) -> None:
    made = predictions(7)
    by_csv = list(rows(written(tmp_path / "a.csv", made)))
    by_json = list(rows(written(tmp_path / "a.json", made)))
    assert [(r.source, r.answer, r.error is None) for r in by_csv] == [
        (r.source, r.answer, r.error is None) for r in by_json
    ]
    for ours, theirs in zip(by_csv, by_json, strict=True):
        assert ours.score == pytest.approx(theirs.score, abs=1e-6)
        assert ours.margin == pytest.approx(theirs.margin, abs=2e-6)
    short = list(rows(written(tmp_path / "b.csv", made, top=1)))
    assert all(row.margin is None for row in short)


@pytest.mark.parametrize("cell", ["cat", "=1", "'cat", "", "\t=", "＝x", " -1"])
def test_plain_undoes_harmless(cell: str) -> None:
    assert plain(harmless(cell)) == cell


def test_several_labels_are_an_answer_of_their_own(tmp_path: Path) -> None:
    a = [Prediction("1", (Scored("dog", 0.9, 0.3), Scored("cat", 0.8, 0.3))), Prediction("2", ())]
    b = [Prediction("1", (Scored("cat", 0.9, 0.3), Scored("dog", 0.8, 0.3))), a[0]]
    path = written(tmp_path / "a.jsonl", a)
    assert [row.answer for row in rows(path, multi=True)] == ["cat, dog", UNKNOWN]
    made = {"labels": ["cat", "dog"], "options": {"multi": True}}
    manifest_module.manifest_path(path).write_text(json.dumps(made))
    found = diff(path, written(tmp_path / "b.jsonl", b))
    assert found.both == 1 and not found.flips  # the best is another, the labels are the same


@pytest.mark.parametrize(
    "content, words",
    [
        ('{"source": "1", "label": "cat"}\n', "row 0"),
        ('{"source": "1", "error": "x"}\n{"source": "2", "la', "row 1"),
        ("[]\n", "row 0"),
        ('{"source": 3, "error": "x"}\n', "not the name"),
        ("\x00", "row 0"),
    ],
)
def test_what_is_no_output_of_ours_is_refused(content: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(content)
    with pytest.raises(SourceError, match=words):
        list(rows(path))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for name, words in (("no.jsonl", "no such file"), ("no.txt", "are read from")):
        with pytest.raises(SourceError, match=words):
            list(rows(tmp_path / name))
    (tmp_path / "a.csv").write_text("source,label,score,unknown,error\n1,cat\n")
    with pytest.raises(SourceError, match="as many cells"):
        list(rows(tmp_path / "a.csv"))
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(SourceError, match="not a list"):
        list(rows(tmp_path / "a.json"))
    good = written(tmp_path / "b.jsonl", predictions(1, 3))
    manifest_module.manifest_path(good).write_text("{")
    with pytest.raises(SourceError, match="manifest cannot be read"):
        diff(good, good)


# manifests


@pytest.fixture(scope="module")
def clf(shapes_clip: Path) -> unseen.Classifier:
    return unseen.load(shapes_clip)


def made(clf: unseen.Classifier, labels: Any, **options: Any) -> dict[str, Any]:
    template = options.pop("template", None)
    compiled = clf.compile(labels, template=template)
    how = {"multi": False, "precision": "fp32", **options}
    return json.loads(json.dumps(manifest(clf.model, compiled, how)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("template", [None, "imagenet", ["{}", "a {} and a {}"]])
def test_a_manifest_holds_every_prompt(clf: unseen.Classifier, template: Any) -> None:
    labels = {
        "a red circle": None,
        "a": None,  # a word of the templates
        "a blue star": {"prompts": ["one star", "a {}"], "threshold": 0.4},
        "nothing": {"background": True},
        "a green ring": None,
    }
    found = made(clf, labels, template=template)
    compiled = clf.compile(labels, template=template)
    expected = dict(zip((la.name for la in compiled.labels), compiled.prompts, strict=True))
    assert {name: tuple(own or ()) for name, own in prompts_of(found).items()} == expected
    by_name = {label["name"]: label for label in found["labels"]}
    assert by_name["a blue star"]["threshold"] == 0.4 and by_name["nothing"]["background"]
    assert "prompts" not in by_name["a red circle"]
    assert found["fingerprint"] == clf.model.fingerprint
    assert found["versions"]["unseen"] == unseen.__version__
    assert found["versions"]["numpy"] == np.__version__


def test_what_differs_in_two_manifests(clf: unseen.Classifier) -> None:
    before = made(clf, {"cat": None, "dog": "a dog", "fox": {"threshold": 0.5}}, top=1)
    after = made(
        clf, {"cat": None, "dog": "one dog", "fox": {"threshold": 0.6}, "lynx": None}, top=2
    )
    after["model"], after["versions"]["numpy"] = "other", "9.9"
    found = {change.what: change for change in changes(before, after)}
    assert set(found) == {
        "model", "label added", "prompts changed", "threshold changed", "option top",
        "version numpy",
    }  # fmt: skip
    assert found["label added"].labels == ("lynx",)
    assert found["prompts changed"].a == {"dog": ["a dog"]}
    assert found["prompts changed"].b == {"dog": ["one dog"]}
    assert (found["threshold changed"].a, found["threshold changed"].b) == (
        {"fox": 0.5},
        {"fox": 0.6},
    )
    assert changes(before, before) == []
    assert [c.what for c in changes(after, before)].count("label removed") == 1
    # Other templates are one difference, and not one a label.
    one, other = made(clf, ["cat", "dog"]), made(clf, ["cat", "dog"], template="a {}")
    assert [c.what for c in changes(one, other)] == ["templates"]
    # What an earlier release left says less, and nothing false.
    old = {**before, "labels": ["cat", "dog", "fox"]}
    old.pop("templates")
    assert "prompts changed" not in {c.what for c in changes(old, after)}


def test_why_a_picture_flipped(clf: unseen.Classifier, tmp_path: Path) -> None:
    def run(name: str, labels: Any, answers: list[str]) -> Path:
        path = written(
            tmp_path / name,
            [
                Prediction(str(i), (Scored(la, 0.51, 0.3), Scored("x", 0.5, 0.3)))
                for i, la in enumerate(answers)
            ],
        )
        manifest_module.manifest_path(path).write_text(
            json.dumps({**made(clf, labels), "complete": True})
        )
        return path

    a = run("a.jsonl", {"cat": None, "dog": "a dog", "fox": None}, ["cat", "cat", "cat"])
    b = run(
        "b.jsonl",
        {"cat": None, "dog": "one dog", "fox": None, "lynx": None},
        ["lynx", "dog", "fox"],
    )
    found = diff(a, b)
    assert [flip.why for flip in found.flips] == [
        ("label added: lynx",), ("prompts changed: dog",), (),
    ]  # fmt: skip
    assert all(flip.near for flip in found.flips) and found.notes == []
    manifest_module.manifest_path(b).unlink()
    found = diff(a, b)
    assert found.changes is None and "no manifest" in found.notes[0]


# the gate


@pytest.mark.parametrize(
    "text, flips, both, passed",
    [
        ("1%", 1, 100, True), ("1%", 2, 100, False), ("0.5 %", 1, 100, False), ("3", 3, 4, True),
        ("3", 4, 4, False), ("0", 0, 1, True), ("0%", 1, 10**6, False), ("100%", 5, 5, True),
    ],
)  # fmt: skip
def test_the_gate(text: str, flips: int, both: int, passed: bool, tmp_path: Path) -> None:
    found = diff_of(flips, both)
    assert Gate.of(text).passed(found) is passed


def diff_of(flips: int, both: int) -> Any:
    from unseen.results.compare import Diff, Flip

    row = Row("1", "cat")
    return Diff(both=both, flips=[Flip("1", row, row, False, ())] * flips)


@pytest.mark.parametrize("text", ["", "%", "-1", "1.5", "101%", "nan%", "inf", "few"])
def test_what_is_no_gate(text: str) -> None:
    with pytest.raises(SourceError, match="max-flips"):
        Gate.of(text)


def test_scenes_flip_where_a_label_is_taken_away(clf: unseen.Classifier, tmp_path: Path) -> None:
    """The whole way: pictures, a run with fewer labels, and the flips are just those pictures."""
    labels = ["a red circle", "a blue star", "a green square"]
    pictures = [shapes.draw(shapes.scene(la), seed) for la in labels for seed in range(4)]
    truth = [la for la in labels for _ in range(4)]
    a = written(tmp_path / "a.jsonl", list(clf.classify_many(pictures, labels)))
    b = written(tmp_path / "b.jsonl", list(clf.classify_many(pictures, labels[1:])))
    found = diff(a, b)
    said = Counter(flip.a.answer for flip in found.flips)
    assert said == {"a red circle": sum(la == "a red circle" for la in truth)}


def test_what_a_run_had_learnt_from_is_marked(clf: unseen.Classifier, tmp_path: Path) -> None:
    """By content, as `eval` does: a copy under another name is the same picture."""
    kinds = ["a red circle", "a blue star", "a green ring"]
    pairs = []
    for number, kind in enumerate(kinds):
        for seed in range(4):
            path = tmp_path / f"{number}{seed}.png"
            shapes.draw(shapes.scene(kind), 40 + seed).save(path)
            pairs.append((path, kind))
    taught = pairs[::2]
    learnt = unseen.calibrate(clf, taught, kinds, coverage=None)
    pictures = sorted(tmp_path.glob("*.png"))
    before, after = tmp_path / "before.jsonl", tmp_path / "after.jsonl"
    # Every answer changes, as the second run has other labels only.
    unseen.classify_to_file(clf, pictures, ["a red star", "a blue ring"], before)
    unseen.classify_to_file(clf, pictures, kinds, after, calibration=learnt)
    found = diff(before, after)
    assert len(found.flips) == len(pictures)
    marked = {flip.source for flip in found.flips if flip.seen == ("b",)}
    assert marked == {str(path) for path, _ in taught}
    assert f"seen in training: 6 of the {len(pictures)} with another answer" in str(found)
    assert str(found).count("seen in training by b") == 6
    document = found.to_dict()
    assert document["seen_in_training"] == 6
    assert sum(flip["seen_in_training"] == ("b",) for flip in document["flips"]) == 6
    pictures[0].unlink()  # a file that is gone is not marked
    assert len(diff(before, after).seen) == 5
