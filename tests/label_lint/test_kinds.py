"""Labels of one kind: the doctor proposes the word for it."""

from __future__ import annotations

from pathlib import Path

import pytest

import unseen
from unseen.label_lint import examine
from unseen.label_lint.kinds import shared_kind


@pytest.mark.parametrize(
    "names, kind",
    [
        (["eagle", "owl", "duck", "parrot"], "bird"),
        (["Eagles", "a snowy owl", "duck", "parrot", "hoopoe"], "bird"),
        (["apple", "banana", "lemon"], "fruit"),
        (["knife", "fork", "spoon"], "cutlery"),
        (["cat", "car", "castle"], None),
        (["eagle", "owl"], None),  # too few
        (["eagle", "owl", "duck", "xylax", "qwert", "zzyx"], None),  # too few are known
        (["bird", "fish", "cat"], "animal"),
        (["crane", "heron", "robin", "kite"], "bird"),  # each may be something else
        (["house sparrow", "carrion crow", "great tit"], "bird"),
        (["golden retriever", "beagle", "Boston terrier"], "dog"),
        (["violin", "viola", "oboe"], "musical instrument"),
    ],
)
def test_the_narrowest_kind(names: list[str], kind: str | None) -> None:
    assert shared_kind(names) == kind


def test_the_finding(shapes_clip: Path) -> None:
    clf = unseen.load(shapes_clip)
    labels = ["eagle", "crane", "owl", "duck"]

    findings, _ = examine(clf, labels)
    (finding,) = (finding for finding in findings if finding.kind == "one-kind")
    assert finding.severity == "note" and "--concept 'bird'" in finding.advice
    assert "'crane', 'duck' may mean something else" in finding.problem
    assert "a photo of a bird: a eagle." in finding.effect
    findings, _ = examine(clf, labels, concept="bird")
    assert not [finding for finding in findings if finding.kind == "one-kind"]
