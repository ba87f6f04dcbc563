"""Splits: nothing alike on two sides, each label near its share, the same for a seed."""

from __future__ import annotations

import hashlib
import random
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen.datasets import splits
from unseen.datasets.splits import Splits, fractions, near_duplicates, split
from unseen.errors import SourceError

SHARES = fractions("80/10/10")


def random_pictures(seed: int, count: int, labels: int, grouped: float) -> tuple[list[str], ...]:
    """Ids, labels (some frequent, some rare) and groups; a group has mostly one label."""
    rng = random.Random(seed)
    ids = [f"{rng.getrandbits(128):032x}" for _ in range(count)]
    groups = [f"g{rng.randrange(max(1, count // 4))}" if rng.random() < grouped else i for i in ids]
    of_group = {group: f"l{int(rng.random() ** 2 * labels)}" for group in groups}
    return ids, [of_group[g] if rng.random() < 0.9 else "l0" for g in groups], groups


CASES = st.builds(
    random_pictures,
    st.integers(0, 10_000),
    st.integers(1, 200),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.2, 1.0]),
)


@settings(max_examples=150, deadline=None)
@given(CASES, st.integers(0, 5), st.sampled_from(["80/10/10", "50/25/25", "10/45/45", "70/30"]))
def test_groups_stay_together_and_every_label_is_learnt(case, seed: int, given_: str) -> None:  # type: ignore[no-untyped-def]
    ids, labels, groups = case
    found = split(ids, labels, groups, fractions(given_), seed)
    assert set(found.of) == set(ids)
    sides = defaultdict(set)
    for id, group in zip(ids, groups, strict=True):
        sides[group].add(found.of[id])
    assert all(len(side) == 1 for side in sides.values())
    assert found.lacking["train"] == ()
    there = {(label, found.of[id]) for id, label in zip(ids, labels, strict=True)}
    for name, lacking in found.lacking.items():
        assert set(lacking) == {label for label in labels if (label, name) not in there}
    order = list(range(len(ids)))
    random.Random(seed).shuffle(order)
    shuffled = split(*([row[i] for i in order] for row in case), fractions(given_), seed)
    assert shuffled.of == found.of


@settings(max_examples=100, deadline=None)
@given(CASES)
def test_without_groups_each_label_and_the_whole_are_near_their_shares(case) -> None:  # type: ignore[no-untyped-def]
    ids, labels, _ = case
    found = split(ids, labels, ids, SHARES)
    total, of_label = Counter(found.of.values()), Counter(labels)
    cells = Counter((label, found.of[id]) for id, label in zip(ids, labels, strict=True))
    for label, count in of_label.items():
        for name, share in SHARES.items():
            forced = name == "train" and count * share < 1
            assert abs(cells[label, name] - count * share) < 1 or forced
    rare = sum(1 for count in of_label.values() if count == 1)  # those must be in train
    for name, share in SHARES.items():
        assert abs(total[name] - len(ids) * share) <= 1 + 0.2 * rare + 1e-9


def test_shares_hold_with_near_duplicates() -> None:
    ids, labels, groups = random_pictures(1, 2000, 10, 0.5)
    found = split(ids, labels, groups, SHARES)
    total = Counter(found.of.values())
    assert {name: round(total[name] / 20) for name in SHARES} == {
        "train": 80, "valid": 10, "test": 10
    }  # fmt: skip
    assert all(not labels for labels in found.lacking.values())


def test_a_burst_of_one_label_is_shared_out_by_groups() -> None:
    """A hundred frames in ten scenes: eight, one and one."""
    ids = [f"{i:03}" for i in range(100)]
    found = split(ids, ["cat"] * 100, [i // 10 for i in range(100)], SHARES)
    assert Counter(found.of.values()) == {"train": 80, "valid": 10, "test": 10}
    assert found.groups == 10 and found.largest == 10 and not found.chained


def test_the_seed_is_the_draw() -> None:
    """The same for a seed, in every process; another for another."""
    ids, labels, groups = random_pictures(2, 300, 5, 0.2)
    drawn = [split(ids, labels, groups, SHARES, seed).of for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    by_hash = sorted("0123456789", key=lambda id: hashlib.sha256(f"7 {id}".encode()).digest())
    known = split(list("0123456789"), ["a"] * 10, range(10), SHARES, 7).of
    assert [known[id] for id in by_hash] == ["train"] * 8 + ["valid", "test"]


def test_rare_labels_are_learnt_and_it_is_said_where_they_lack() -> None:
    found = split(["1", "2", "3"], ["owl", "elk", "elk"], ["1", "2", "2"], SHARES)
    assert set(found.of.values()) == {"train"}
    assert found.lacking == {"train": (), "valid": ("elk", "owl"), "test": ("elk", "owl")}


def test_one_picture_more_moves_few_others() -> None:
    ids, labels, _ = random_pictures(3, 501, 5, 0.0)
    before = split(ids[:-1], labels[:-1], ids[:-1], SHARES).of
    after = split(ids, labels, ids, SHARES).of
    assert sum(before[id] != after[id] for id in before) <= 3 * 5


def test_a_chain_is_seen() -> None:
    assert Splits({str(i): "train" for i in range(100)}, {}, 1, 11).chained
    assert not Splits({str(i): "train" for i in range(1000)}, {}, 1, 11).chained
    assert not Splits({str(i): "train" for i in range(12)}, {}, 1, 3).chained


@pytest.mark.parametrize(
    ("given_", "shares"),
    [
        ("80/10/10", {"train": 0.8, "valid": 0.1, "test": 0.1}),
        ("8/1/1", {"train": 0.8, "valid": 0.1, "test": 0.1}),
        ("80/0/20", {"train": 0.8, "test": 0.2}),
        ("3/1", {"train": 0.75, "valid": 0.25}),
        ("100", {"train": 1.0}),
    ],
)
def test_shares(given_: str, shares: dict[str, float]) -> None:
    assert fractions(given_) == pytest.approx(shares)


@pytest.mark.parametrize("given_", ["", "a", "0/50/50", "80/-10", "1/2/3/4", "nan", "inf/1", "80%"])
def test_no_shares(given_: str) -> None:
    with pytest.raises(SourceError, match="give up to three numbers"):
        fractions(given_)


# near-duplicates


def walk(vectors: np.ndarray, threshold: float) -> list[int]:
    """The judge: from each row to all that can be reached, one by one."""
    is_near = vectors @ vectors.T >= threshold
    group = [-1] * len(vectors)
    for start in range(len(vectors)):
        if group[start] >= 0:
            continue
        todo = [start]
        while todo:
            row = todo.pop()
            if group[row] < 0:
                group[row] = start
                todo.extend(np.flatnonzero(is_near[row]).tolist())
    return group


@pytest.mark.parametrize("threshold", [0.75, 0.8, 0.9])
def test_groups_are_closed(threshold: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits, "ROWS", 7)
    monkeypatch.setattr(splits, "COLUMNS", 11)
    rng = np.random.default_rng(4)
    vectors = rng.standard_normal((150, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    expected = walk(vectors, threshold)
    assert 1 < len(set(expected)) < 150
    done: list[tuple[int, int]] = []
    found = near_duplicates(vectors, threshold, progress=lambda *row: done.append(row))
    assert found.tolist() == expected
    assert done[-1] == (150, 150)


def test_a_chain_is_one_group_though_its_ends_are_far_apart() -> None:
    angles = np.radians(np.arange(0, 100, 10))
    chain = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    assert set(near_duplicates(chain, 0.98).tolist()) == {0}
    assert len(set(near_duplicates(chain, 0.99).tolist())) == 10


def test_all_alike_is_one_group() -> None:
    assert set(near_duplicates(np.tile(np.float32([[1, 0]]), (3000, 1)), 0.9).tolist()) == {0}


def test_nothing_and_one() -> None:
    assert near_duplicates(np.zeros((0, 4), dtype=np.float32), 0.9).tolist() == []
    assert near_duplicates(np.float32([[1, 0]]), 0.9).tolist() == [0]
