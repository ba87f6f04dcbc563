"""Who is learnt from, who chooses, and who judges: pictures, labels and ordinary pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.folds import stratified_folds

Rows = NDArray[np.intp]

# Of the pictures of a label: one fold chooses, one judges, the others are learnt from. Of few
# pictures more are held out, as a handful judges nothing; in the end all are learnt from.
FOLDS, FEW_FOLDS, FEW = 8, 4, 2000
NOVEL_PART = 5  # one label in so many is held out as a whole
LEAST_LABELS = 5  # from so many on
LEASH_HELD_OUT = (1 / 2, 400)  # of the ordinary pictures: a part, and at most so many


@dataclass(frozen=True, eq=False)
class Split:
    """Rows of labelled pictures.

    `choose` and `judge`: two sets of pictures that nothing is learnt from, "seen" of labels that
    are learnt and "novel" of the labels `novel_labels`, of which nothing is learnt.
    """

    train: Rows
    choose: dict[str, Rows]
    judge: dict[str, Rows]
    novel_labels: tuple[int, ...]


def split_labelled(
    label_ids: Sequence[Sequence[int]], groups: Sequence[int], labels: int, seed: int
) -> Split:
    """Divide labelled pictures.

    Parameters
    ----------
    label_ids : sequence of sequence of int
        The labels of each of n pictures, one or several.
    groups : sequence of int
        Pictures of one group, such as copies, stay together.
    labels : int
        How many labels there are.
    seed : int
        Of the draws.

    Returns
    -------
    Split
    """
    rng = np.random.default_rng((seed, 0))
    count = labels // NOVEL_PART if labels >= LEAST_LABELS else 0
    novel = tuple(sorted(rng.permutation(labels)[:count].tolist()))
    of_novel = np.array([bool(set(ids) & set(novel)) for ids in label_ids], dtype=bool)
    first = np.array([ids[0] for ids in label_ids], dtype=np.int64)
    group = np.asarray(groups, dtype=np.int64)
    rows, others = np.flatnonzero(~of_novel), np.flatnonzero(of_novel)
    folds = stratified_folds(first[rows], _folds(len(rows)), seed, group[rows])
    halves = stratified_folds(first[others], 2, seed, group[others])
    return Split(
        rows[(folds != 0) & (folds != 1)],
        {"seen": rows[folds == 0], "novel": others[halves <= 0]},
        {"seen": rows[folds == 1], "novel": others[halves == 1]},
        novel,
    )


def _folds(count: int) -> int:
    return FEW_FOLDS if count < FEW else FOLDS


def split_pairs(count: int, groups: Sequence[int], seed: int) -> Split:
    """Divide pictures with a caption each; a caption that is held out is one never learnt from."""
    one = np.zeros(count, dtype=np.int64)
    folds = stratified_folds(one, _folds(count), seed, np.asarray(groups))
    none = np.zeros(0, dtype=np.intp)
    return Split(
        np.flatnonzero((folds != 0) & (folds != 1)),
        {"seen": np.flatnonzero(folds == 0), "novel": none},
        {"seen": np.flatnonzero(folds == 1), "novel": none},
        (),
    )


def split_leash(rows: Rows, seed: int) -> tuple[Rows, Rows, Rows]:
    """Ordinary pictures: those that hold the net, those that choose, those that judge."""
    order = np.random.default_rng((seed, 1)).permutation(rows)
    part, most = LEASH_HELD_OUT
    half = min(int(len(order) * part), most) // 2
    return np.sort(order[2 * half :]), np.sort(order[:half]), np.sort(order[half : 2 * half])
