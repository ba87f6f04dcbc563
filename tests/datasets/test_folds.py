"""Folds: every label in each, near-duplicates on one side, and the same for the same seed."""

from __future__ import annotations

import numpy as np

from unseen.datasets.folds import stratified_folds


def test_folds_part_every_label_evenly() -> None:
    label_ids = np.repeat(np.arange(4), [2, 5, 11, 1])
    fold = stratified_folds(label_ids, 5, 3)
    for label, size in enumerate([2, 5, 11]):
        count = np.bincount(fold[label_ids == label], minlength=5)
        assert count.max() == -(-size // 5) and count.sum() == size
    assert fold[label_ids == 3] == [-1]  # the only picture of its label is never held out
    np.testing.assert_array_equal(fold, stratified_folds(label_ids, 5, 3))
    assert (fold != stratified_folds(label_ids, 5, 4)).any()


def test_near_duplicates_stay_on_one_side_and_a_label_keeps_a_picture() -> None:
    draw = np.random.default_rng(0)
    label_ids = draw.integers(6, size=200)
    groups = np.where(draw.random(200) < 0.5, draw.integers(20, size=200), 100 + np.arange(200))
    label_ids[groups < 20] = groups[groups < 20] % 6
    label_ids[0], groups[0] = 6, 999
    fold = stratified_folds(label_ids, 5, 3, groups)
    for group in np.unique(groups):
        assert len(set(fold[groups == group])) == 1
    assert fold[0] == -1
    for number in range(5):
        assert set(label_ids[fold != number]) == set(range(7))
        assert 20 <= (fold == number).sum() <= 60
