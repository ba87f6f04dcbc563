"""Pictures into train, valid and test: near-duplicates together, each label near its share.

Everything follows from the pictures' ids and the seed, never from the order in which they come.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unseen.errors import SourceError

NAMES = ("train", "valid", "test")
NEAR = 0.9  # the cosine from which two pictures stay together: docs/label-export.md has the figures
ROWS, COLUMNS = 1024, 8192  # of the products held at once: 32 MB

# A group this large, and this part of all pictures, is more likely a chain than one subject.
CHAIN, CHAIN_PART = 10, 0.1

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Splits:
    """Which split each picture is in, by its id.

    `lacking`: for each split the labels of which it has no picture. `groups` counts the groups of
    two and more that stayed together, `largest` the pictures of the largest.
    """

    of: Mapping[str, str]
    lacking: Mapping[str, tuple[str, ...]]
    groups: int
    largest: int

    @property
    def chained(self) -> bool:
        """Whether one group holds so much that the splits are hardly at random any more."""
        return self.largest > max(CHAIN, CHAIN_PART * len(self.of))


def fractions(given: str) -> dict[str, float]:
    """`80/10/10` → the share of each split, by its name; a split with 0 is not made."""
    try:
        numbers = [float(part) for part in given.split("/")]
    except ValueError:
        numbers = []
    fine = 1 <= len(numbers) <= len(NAMES) and all(0 <= n < float("inf") for n in numbers)
    if not fine or not numbers[0]:
        raise SourceError(
            f"{given!r} is no split: 80/10/10 is one (train, valid and test), or 80/20, or 100."
        )
    total = sum(numbers)
    return {name: n / total for name, n in zip(NAMES, numbers, strict=False) if n}


# near-duplicates


def near_duplicates(
    vectors: Floats,
    threshold: float,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Places:
    """The group of each row (n, d) of length 1 → (n,): the place of the first row of its group.

    Two rows whose cosine is at least `threshold` are in one group, and so is what is near either:
    groups are closed, so that no picture outside of one is near any inside. Cost: n²/2 products, in
    blocks. `progress`: rows done, of how many.
    """
    group = np.arange(len(vectors))
    for top in range(0, len(vectors), ROWS):
        rows = vectors[top : top + ROWS]
        for left in range(top, len(vectors), COLUMNS):
            near = rows @ vectors[left : left + COLUMNS].T >= threshold
            one, other = np.nonzero(near)
            _join(group, one + top, other + left)
        if progress is not None:
            progress(top + len(rows), len(vectors))
    return group


def _join(group: Places, one: Places, other: Places) -> None:
    """Puts the groups of each pair together, in place; every row points to the first of its own."""
    while True:
        one, other = group[one], group[other]
        apart = one != other
        if not apart.any():
            return
        one, other = one[apart], other[apart]
        np.minimum.at(group, np.maximum(one, other), np.minimum(one, other))
        while (group != (nearer := group[group])).any():
            group[:] = nearer


# splits


@dataclass(frozen=True)
class _Group:
    members: tuple[int, ...]
    labels: Mapping[str, int]
    key: str  # its place in the draw


def split(
    ids: Sequence[str],
    labels: Sequence[str],
    groups: Sequence[Hashable],
    shares: Mapping[str, float],
    seed: int = 0,
) -> Splits:
    """The split of each picture, of its id, label and group, and the share that each split gets.

    A group is never parted. A label's pictures are shared out as near as whole pictures allow, and
    the first share (train) has at least one of them; what cannot be shared out within a label is
    shared out among labels. Groups of several are placed first, the largest before, each where its
    labels lack most; single pictures then fill the rest. The same ids, labels, groups and seed
    give the same splits; one more picture moves few of the others.
    """
    names = list(shares)
    drawn = {id: _draw(seed, id) for id in ids}
    if len(drawn) != len(ids):
        raise ValueError("an id stands twice.")
    members: dict[Hashable, list[int]] = defaultdict(list)
    for place, whose in enumerate(groups):
        members[whose].append(place)
    found = [
        _Group(tuple(own), Counter(labels[i] for i in own), min(drawn[ids[i]] for i in own))
        for own in members.values()
    ]
    quotas = _quotas(Counter(labels), shares, seed)
    wanted = {label: dict(row) for label, row in quotas.items()}
    of: dict[str, str] = {}

    def put(group: _Group, name: str) -> None:
        for i in group.members:
            of[ids[i]] = name
        for label, count in group.labels.items():
            wanted[label][name] -= count

    several = [group for group in found if len(group.members) > 1]
    left, taught = Counter(labels), set[str]()
    for group in sorted(several, key=lambda g: (-len(g.members), g.key)):
        left.subtract(group.labels)
        last = any(not left[label] and label not in taught for label in group.labels)
        name = names[0] if last else max(names, key=lambda n: _gain(group, n, wanted, quotas))
        put(group, name)
        if name == names[0]:
            taught.update(group.labels)
    single = defaultdict(list)
    for group in sorted((g for g in found if len(g.members) == 1), key=lambda g: g.key):
        single[labels[group.members[0]]].append(group)
    for label, own in single.items():
        for group, name in zip(own, _fill(wanted[label], len(own)), strict=True):
            put(group, name)
    there = {(label, of[id]) for id, label in zip(ids, labels, strict=True)}
    lacking = {
        n: tuple(label for label in sorted(quotas) if (label, n) not in there) for n in names
    }
    return Splits(of, lacking, len(several), max(map(len, members.values()), default=0))


def _draw(seed: int, what: str) -> str:
    """A number drawn for a picture or a label that depends on nothing but itself and the seed."""
    return hashlib.sha256(f"{seed} {what}".encode("utf-8", "surrogateescape")).hexdigest()


def _quotas(
    counts: Mapping[str, int], shares: Mapping[str, float], seed: int
) -> dict[str, dict[str, int]]:
    """How many pictures of each label go into each split: its share, rounded up or down so that
    the splits as a whole come near theirs, too; the first split has at least one."""
    first, *_ = shares
    quotas = {
        label: {name: int(count * share + 1e-9) for name, share in shares.items()}
        for label, count in counts.items()
    }
    for label, row in quotas.items():
        row[first] += not row[first] and sum(row.values()) < counts[label]
    lack = {
        name: share * sum(counts.values()) - sum(row[name] for row in quotas.values())
        for name, share in shares.items()
    }
    for label in sorted(counts, key=lambda label: _draw(seed, label)):
        row = quotas[label]
        part = {name: counts[label] * share - row[name] for name, share in shares.items()}
        for _ in range(counts[label] - sum(row.values())):
            name = max((n for n in shares if part[n] > 1e-9), key=lambda n: lack[n])
            row[name] += 1
            lack[name] -= 1
            part[name] = 0.0
    return quotas


def _gain(
    group: _Group,
    name: str,
    wanted: Mapping[str, Mapping[str, int]],
    quotas: Mapping[str, Mapping[str, int]],
) -> tuple[float, float]:
    """How well a group fits into a split: what of its labels it fills there less what is too much,
    as parts of each label; among equals, what part of the split's share is still open, so that
    groups go to all splits and not to the largest alone."""
    gain = still = 0.0
    for label, count in sorted(group.labels.items()):  # a sum depends on its order
        fills = min(count, max(wanted[label][name], 0))
        gain += (2 * fills - count) / sum(quotas[label].values())
        still += count * wanted[label][name] / max(quotas[label][name], 1)
    return round(gain, 9), round(still, 9)


def _fill(wanted: Mapping[str, int], count: int) -> list[str]:
    """The splits of `count` single pictures in their drawn order: what is still wanted of each,
    one split after the other, so that one picture more moves only those at the borders."""
    free = {name: max(number, 0) for name, number in wanted.items()}
    while sum(free.values()) > count:  # groups took more than their share of other splits
        free[max(reversed(free), key=lambda name: free[name])] -= 1
    return [name for name, number in free.items() for _ in range(number)]
