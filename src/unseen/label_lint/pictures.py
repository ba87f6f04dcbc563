"""How a label set does on pictures that nobody has labelled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from unseen.index.vectors.clustering import clusters
from unseen.index.vectors.matrix import Matrix
from unseen.label_lint.context import Rows, Subject, vocabulary
from unseen.label_lint.findings import NOTE, WARNING, Finding, by_severity
from unseen.label_lint.semantic import SYNONYM
from unseen.prediction.score import single_label

ENOUGH = 5  # pictures a label: with fewer, one that never wins is no surprise
CLOSE = 0.1  # a margin below this is a tie
TIES, TIED_PART = 3, 0.75  # so many wins of a label, and such a part of them close to one other
# A picture fits no label when this part of the vocabulary fits it better than the best label.
# benchmarks/label_doctor.py says how many pictures of known and of other things that are.
BETTER = 0.01
SEVERAL = 3  # pictures that make a cluster
SUGGESTED = 3  # words a cluster
SHOWN = 5  # pictures that are named


def look_at(subject: Subject, rows: Rows, names: Sequence[str]) -> list[Finding]:
    """Findings of (n, d) embeddings of pictures with these names, the worst first."""
    if not len(rows):
        return []
    labels = subject.compiled
    probabilities = single_label(labels.similarities(rows), labels.score)
    texts, words = other_words(subject)
    fits = fits_some(subject, rows, texts)
    found = [
        *_never(subject, probabilities, names),
        *_ties(subject, probabilities[fits], [names[i] for i in np.flatnonzero(fits).tolist()]),
        *_nothing_fits(subject, rows, names, fits, texts, words),
    ]
    return by_severity(found)


def other_words(subject: Subject) -> tuple[Rows, list[str]]:
    """The vocabulary without words that are nearly a label: they are no better than that label."""
    texts = subject.filled(vocabulary())
    other = (texts @ subject.vectors.T).max(1) < subject.at(SYNONYM)
    return texts[other], [vocabulary()[i] for i in np.flatnonzero(other)]


def fits_some(subject: Subject, rows: Rows, texts: Rows) -> NDArray[np.bool_]:
    """Which pictures the best label fits about as well as the best other words do."""
    best = (rows @ subject.vectors.T).max(1)
    better = ((rows @ texts.T) > best[:, None]).sum(1)
    return np.asarray(better < max(1.0, BETTER * len(texts)))


def _never(subject: Subject, probabilities: Rows, names: Sequence[str]) -> Iterator[Finding]:
    wins = np.bincount(probabilities.argmax(1), minlength=len(subject.names))
    enough = len(probabilities) >= ENOUGH * len(subject.names)
    for place in subject.foreground:
        if wins[place]:
            continue
        best = int(probabilities[:, place].argmax())
        top = float(probabilities[best, place])
        yield Finding(
            "never-wins",
            WARNING if enough else NOTE,
            (subject.names[place],),
            f"it wins none of {len(probabilities)} pictures",
            "if no picture shows it, leave it out; else look at its prompt.",
            f"it comes nearest in {names[best]}, with {top:.1%}",
            {"pictures": len(probabilities), "score": top},
            (names[best],),
        )


def _ties(subject: Subject, probabilities: Rows, names: Sequence[str]) -> Iterator[Finding]:
    """Labels whose wins are mostly close to one and the same other label."""
    if probabilities.shape[1] < 2:
        return
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :2]
    top = np.take_along_axis(probabilities, order, axis=1)
    close = top[:, 0] - top[:, 1] < CLOSE
    wins = np.bincount(order[:, 0], minlength=probabilities.shape[1])
    ties = Counter((int(a), int(b)) for a, b in order[close])
    told: set[frozenset[int]] = set()
    for (first, second), count in ties.most_common():
        pair = frozenset((first, second))
        if count < TIES or count < TIED_PART * wins[first] or pair in told:
            continue
        told.add(pair)
        both = [names[i] for i in np.flatnonzero(close).tolist() if set(map(int, order[i])) == pair]
        cosine = float(subject.cosines[first, second])
        yield Finding(
            "always-ties",
            WARNING,
            (subject.names[first], subject.names[second]),
            f"{subject.names[first]!r} wins {wins[first]} pictures, {count} of them by less than "
            f"{CLOSE:.0%} over {subject.names[second]!r}",
            "say in the prompts what tells them apart, or make them one label.",
            f"as one label they would be sure of {len(both)} pictures that are a tie now",
            {"wins": int(wins[first]), "ties": count, "both": len(both), "cosine": cosine},
            tuple(both[:SHOWN]),
        )


def _nothing_fits(
    subject: Subject,
    rows: Rows,
    names: Sequence[str],
    fits: NDArray[np.bool_],
    texts: Rows,
    words: list[str],
) -> Iterator[Finding]:
    lost = np.flatnonzero(~fits)
    if not len(lost):
        return
    groups = _clusters(rows[lost])
    mean = rows.mean(0)
    for group in groups:
        places = lost[group]
        centre = rows[places].mean(0)
        # A word that is near every picture says less of these. Only half of that is taken off: all
        # pictures may be such.
        order = np.argsort(-(texts @ (centre - mean / 2)), kind="stable")[:SUGGESTED]
        suggested = [words[i] for i in order]
        yield _cluster(subject, rows, names, fits, places, suggested, texts[order])
    alone = len(lost) - sum(map(len, groups))
    if alone:
        inside = set(np.concatenate(groups)) if groups else set()
        left = [names[p] for i, p in enumerate(lost.tolist()) if i not in inside]
        yield Finding(
            "fits-nothing-alone",
            NOTE,
            (),
            f"{alone} pictures that no label fits, and that are like few others",
            "look at some of them; background labels (--unknown) take what is not meant.",
            figures={"pictures": alone},
            pictures=tuple(left[:SHOWN]),
        )


def _clusters(rows: Rows) -> list[NDArray[np.int64]]:
    """Places of the rows that lie together, several at least, the most first."""
    if len(rows) < SEVERAL:
        return []
    matrix = Matrix(np.arange(len(rows)), rows.astype(np.float16))
    which, centres = clusters(matrix)
    groups = [np.flatnonzero(which == number) for number in range(len(centres))]
    return [group for group in groups if len(group) >= SEVERAL]


def _cluster(
    subject: Subject,
    rows: Rows,
    names: Sequence[str],
    fits: NDArray[np.bool_],
    places: NDArray[np.intp],
    words: list[str],
    texts: Rows,
) -> Finding:
    """Pictures that lie together and fit no label, and what the first word would do as one."""
    now = (rows @ subject.vectors.T).max(1)
    wins = rows @ texts[0] > now
    inside = int(wins[places].sum())
    taken = int(wins[fits].sum())
    others = int(wins.sum()) - inside - taken
    centre = rows[places].mean(0)
    typical = places[np.argsort(-(rows[places] @ centre), kind="stable")][:SHOWN]
    return Finding(
        "fits-nothing",
        WARNING,
        (),
        f"{len(places)} pictures that are alike, and that no label fits",
        f"is it one of these: {', '.join(words)}? Add the word, or a background label.",
        f"the label {words[0]!r} would win {inside} of them, {others} others that no label fits, "
        f"and {taken} that one fits",
        {"pictures": len(places), "won": inside, "won_lost": others, "won_fitting": taken},
        tuple(names[i] for i in typical),
    )
