"""Checks of a label set on pictures that nobody has labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from unseen.index.vectors.clustering import clusters
from unseen.index.vectors.matrix import Matrix
from unseen.label_lint.context import Subject, vocabulary
from unseen.label_lint.findings import NOTE, WARNING, Finding, by_severity
from unseen.label_lint.semantic import SYNONYM
from unseen.prediction.score import single_label
from unseen.types import Array, Floats, Indices

PICTURES_PER_LABEL = 5  # pictures a label: with fewer, one that never wins is no surprise
TIE_MARGIN = 0.1  # a margin below this is a tie
TIES, TIED_PART = 3, 0.75  # so many wins of a label, and such a part of them close to one other
# A picture fits no label when this part of the vocabulary fits it better than the best label.
# benchmarks/label_doctor.py says how many pictures of known and of other things that are.
BETTER_WORDS = 0.01
MIN_CLUSTER = 3  # pictures that make a cluster
SUGGESTED = 3  # words a cluster
EXAMPLES = 5  # pictures that are named


def look_at(
    subject: Subject, embeddings: Floats | Sequence[Floats], names: Sequence[str]
) -> list[Finding]:
    """Findings of (n, d) embeddings of pictures with these names, the worst first."""
    if not len(embeddings):
        return []
    rows = np.asarray(embeddings, dtype=np.float32)
    labels = subject.compiled
    probabilities = single_label(labels.similarities(rows), labels.score)
    texts, words = other_words(subject)
    has_label = fits_a_label(subject, rows, texts)
    findings = [
        *_never(subject, probabilities, names),
        *_ties(
            subject,
            probabilities[has_label],
            [names[i] for i in np.flatnonzero(has_label).tolist()],
        ),
        *_nothing_fits(subject, rows, names, has_label, texts, words),
    ]
    return by_severity(findings)


def other_words(subject: Subject) -> tuple[Floats, list[str]]:
    """The vocabulary without words that are nearly a label: they are no better than that label."""
    texts = subject.encode_names(vocabulary())
    other = (texts @ subject.vectors.T).max(1) < subject.quantile(SYNONYM)
    return texts[other], [vocabulary()[i] for i in np.flatnonzero(other)]


def fits_a_label(subject: Subject, rows: Floats, texts: Floats) -> Array:
    """Which pictures the best label fits about as well as the best other words do."""
    best = (rows @ subject.vectors.T).max(1)
    better = ((rows @ texts.T) > best[:, None]).sum(1)
    return np.asarray(better < max(1.0, BETTER_WORDS * len(texts)))


def _never(subject: Subject, probabilities: Floats, names: Sequence[str]) -> Iterator[Finding]:
    wins = np.bincount(probabilities.argmax(1), minlength=len(subject.names))
    enough = len(probabilities) >= PICTURES_PER_LABEL * len(subject.names)
    for label_id in subject.foreground:
        if wins[label_id]:
            continue
        nearest = int(probabilities[:, label_id].argmax())
        probability = float(probabilities[nearest, label_id])
        yield Finding(
            "never-wins",
            WARNING if enough else NOTE,
            (subject.names[label_id],),
            f"it wins none of {len(probabilities)} pictures",
            "if no picture shows it, leave it out; else look at its prompt.",
            f"it comes nearest in {names[nearest]}, with {probability:.1%}",
            {"pictures": len(probabilities), "score": probability},
            (names[nearest],),
        )


def _ties(subject: Subject, probabilities: Floats, names: Sequence[str]) -> Iterator[Finding]:
    """Labels whose wins are mostly close to one and the same other label."""
    if probabilities.shape[1] < 2:
        return
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(probabilities, order, axis=1)
    is_tie = top[:, 0] - top[:, 1] < TIE_MARGIN
    wins = np.bincount(order[:, 0], minlength=probabilities.shape[1])
    ties = Counter((int(a), int(b)) for a, b in order[is_tie])
    reported: set[frozenset[int]] = set()
    for (first, second), count in ties.most_common():
        pair = frozenset((first, second))
        if count < TIES or count < TIED_PART * wins[first] or pair in reported:
            continue
        reported.add(pair)
        tied_names = [
            names[i] for i in np.flatnonzero(is_tie).tolist() if set(map(int, order[i])) == pair
        ]
        cosine = float(subject.cosines[first, second])
        yield Finding(
            "always-ties",
            WARNING,
            (subject.names[first], subject.names[second]),
            f"{subject.names[first]!r} wins {wins[first]} pictures, {count} of them by less than "
            f"{TIE_MARGIN:.0%} over {subject.names[second]!r}",
            "say in the prompts what tells them apart, or make them one label.",
            f"as one label they would be sure of {len(tied_names)} pictures that are a tie now",
            {"wins": int(wins[first]), "ties": count, "both": len(tied_names), "cosine": cosine},
            tuple(tied_names[:EXAMPLES]),
        )


def _nothing_fits(
    subject: Subject,
    rows: Floats,
    names: Sequence[str],
    has_label: Array,
    texts: Floats,
    words: list[str],
) -> Iterator[Finding]:
    unmatched = np.flatnonzero(~has_label)
    if not len(unmatched):
        return
    groups = _clusters(rows[unmatched])
    mean = rows.mean(0)
    for group in groups:
        indices = unmatched[group]
        centre = rows[indices].mean(0)
        # A word that is near every picture says less of these. Only half of that is taken off: all
        # pictures may be such.
        order = np.argsort(-(texts @ (centre - mean / 2)), kind="stable")[:SUGGESTED]
        suggested = [words[i] for i in order]
        yield _cluster(subject, rows, names, has_label, indices, suggested, texts[order])
    count = len(unmatched) - sum(map(len, groups))
    if count:
        in_groups = set(np.concatenate(groups)) if groups else set()
        remaining = [names[p] for i, p in enumerate(unmatched.tolist()) if i not in in_groups]
        yield Finding(
            "fits-nothing-alone",
            NOTE,
            (),
            f"{count} pictures that no label fits, and that are like few others",
            "look at some of them; background labels (--unknown) take what is not meant.",
            figures={"pictures": count},
            pictures=tuple(remaining[:EXAMPLES]),
        )


def _clusters(rows: Floats) -> list[Indices]:
    """The indices of rows that lie together, at least `MIN_CLUSTER` each, the largest first."""
    if len(rows) < MIN_CLUSTER:
        return []
    matrix = Matrix(np.arange(len(rows)), rows.astype(np.float16))
    cluster_ids, centres = clusters(matrix)
    groups = [np.flatnonzero(cluster_ids == number) for number in range(len(centres))]
    return [group for group in groups if len(group) >= MIN_CLUSTER]


def _cluster(
    subject: Subject,
    rows: Floats,
    names: Sequence[str],
    has_label: Array,
    indices: Indices,
    words: list[str],
    texts: Floats,
) -> Finding:
    """Pictures that lie together and fit no label, and what the first word would do as one."""
    best = (rows @ subject.vectors.T).max(1)
    wins = rows @ texts[0] > best
    inside = int(wins[indices].sum())
    wins_elsewhere = int(wins[has_label].sum())
    others = int(wins.sum()) - inside - wins_elsewhere
    centre = rows[indices].mean(0)
    typical = indices[np.argsort(-(rows[indices] @ centre), kind="stable")][:EXAMPLES]
    return Finding(
        "fits-nothing",
        WARNING,
        (),
        f"{len(indices)} pictures that are alike, and that no label fits",
        f"is it one of these: {', '.join(words)}? Add the word, or a background label.",
        f"the label {words[0]!r} would win {inside} of them, {others} others that no label "
        f"fits, and {wins_elsewhere} that one fits",
        {
            "pictures": len(indices),
            "won": inside,
            "won_lost": others,
            "won_fitting": wins_elsewhere,
        },
        tuple(names[i] for i in typical),
    )
