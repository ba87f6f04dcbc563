"""Which pictures are held out together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LabelIds = NDArray[np.int64]


def stratified_folds(
    label_ids: LabelIds, count: int, seed: int, groups: LabelIds | None = None
) -> LabelIds:
    """Folds in which every label is spread as evenly as can be.

    Parameters
    ----------
    label_ids : int array (n,)
        The label of each picture.
    count : int
        How many folds there are.
    seed : int
        Of the draws; the same seed gives the same folds.
    groups : int array (n,), optional
        Pictures of one group, such as near-duplicates, stay in one fold; a group has the label of
        its first picture. By default every picture is a group of its own.

    Returns
    -------
    int64 array (n,)
        The fold of each picture, from 0 to `count` - 1; -1 for the only group of a label, which is
        never held out.

    Examples
    --------
    >>> import numpy as np
    >>> from unseen.datasets.folds import stratified_folds
    >>> folds = stratified_folds(np.array([0, 0, 0, 0, 1]), 2, seed=0)
    >>> np.bincount(folds[:4]).tolist(), int(folds[4])
    ([2, 2], -1)
    """
    rng = np.random.default_rng(seed)
    label_ids = np.asarray(label_ids)
    if groups is None:
        groups = np.arange(len(label_ids))
    _, firsts, group_of = np.unique(groups, return_index=True, return_inverse=True)
    label_of = label_ids[firsts]
    folds = np.full(len(firsts), -1, dtype=np.int64)
    for label in np.unique(label_of):
        members = rng.permutation(np.flatnonzero(label_of == label))
        start = rng.integers(count)
        if len(members) > 1:
            folds[members] = (start + np.arange(len(members))) % count
    return folds[group_of]
