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
from unseen.types import Floats

NAMES = ("train", "valid", "test")
NEAR = 0.9  # the cosine from which two pictures stay together: docs/label-export.md has the figures
ROWS, COLUMNS = 1024, 8192  # of the products held at once: 32 MB

# A group this large, and this part of all pictures, is more likely a chain than one subject.
CHAIN, CHAIN_PART = 10, 0.1

Indices = NDArray[np.int64]


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
    """The share of each split, by its name.

    Parameters
    ----------
    given : str
        Up to three numbers, for train, valid and test, such as ``80/10/10``; a split with 0 is not
        made.

    Returns
    -------
    dict of str to float
        Shares that sum to 1.

    Raises
    ------
    SourceError
        It is not such numbers.

    Examples
    --------
    >>> from unseen.datasets.splits import fractions
    >>> fractions("80/20")
    {'train': 0.8, 'valid': 0.2}
    """
    try:
        numbers = [float(part) for part in given.split("/")]
    except ValueError:
        numbers = []
    fine = 1 <= len(numbers) <= len(NAMES) and all(0 <= n < float("inf") for n in numbers)
    if not fine or not numbers[0]:
        raise SourceError(
            f"invalid split {given!r}: give up to three numbers for train, valid and test, such as "
            "80/10/10, 80/20 or 100."
        )
    total = sum(numbers)
    return {name: n / total for name, n in zip(NAMES, numbers, strict=False) if n}


# near-duplicates


def near_duplicates(
    vectors: Floats,
    threshold: float,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Indices:
    """Group pictures that are nearly the same.

    Two rows whose cosine is at least `threshold` are in one group, and so is what is similar to
    either: no picture outside of a group is similar to any inside. Cost: n²/2 products, in blocks.

    Parameters
    ----------
    vectors : float32 array (n, d)
        Rows of length 1.
    threshold : float
        The least cosine of near-duplicates.
    progress : callable, optional
        Called with how many rows are done, and of how many.

    Returns
    -------
    int64 array (n,)
        The index of the first row of the group of each.

    Examples
    --------
    >>> import numpy as np
    >>> from unseen.datasets.splits import near_duplicates
    >>> vectors = np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32)
    >>> near_duplicates(vectors, 0.75).tolist()
    [0, 1, 1]
    """
    group = np.arange(len(vectors))
    for top in range(0, len(vectors), ROWS):
        rows = vectors[top : top + ROWS]
        for left in range(top, len(vectors), COLUMNS):
            similar = rows @ vectors[left : left + COLUMNS].T >= threshold
            first, other = np.nonzero(similar)
            _join(group, first + top, other + left)
        if progress is not None:
            progress(top + len(rows), len(vectors))
    return group


def _join(group: Indices, first: Indices, other: Indices) -> None:
    """Puts the groups of each pair together, in place; every row points to the first of its own."""
    while True:
        first, other = group[first], group[other]
        apart = first != other
        if not apart.any():
            return
        first, other = first[apart], other[apart]
        np.minimum.at(group, np.maximum(first, other), np.minimum(first, other))
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
    """Divide pictures into splits: groups stay together, each label near its share.

    A group is never parted. A label's pictures are shared out as near as whole pictures allow, and
    the first share (train) has at least one of them; what cannot be shared out within a label is
    shared out among labels. Groups of several are placed first, the largest before, each where its
    labels lack most; single pictures then fill the rest. The same ids, labels, groups and seed
    give the same splits; one more picture moves few of the others.

    Parameters
    ----------
    ids : sequence of str
        Of n pictures, each once.
    labels : sequence of str
        The label of each.
    groups : sequence of hashable
        The group of each: pictures that stay together have the same.
    shares : mapping of str to float
        The share of each split, by its name, as `fractions` gives them.
    seed : int
        Of the draw.

    Returns
    -------
    Splits
        The split of each picture, and which labels a split lacks.

    Examples
    --------
    >>> from unseen.datasets.splits import fractions, split
    >>> splits = split(["a", "b", "c", "d"], ["cat"] * 4, [0, 0, 1, 2], fractions("50/50"))
    >>> splits.of["a"] == splits.of["b"], sorted(splits.of.values())
    (True, ['train', 'train', 'valid', 'valid'])
    """
    names = list(shares)
    drawn = {id: _draw(seed, id) for id in ids}
    if len(drawn) != len(ids):
        raise ValueError("ids must be unique.")
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, key in enumerate(groups):
        members[key].append(row)
    all_groups = [
        _Group(tuple(rows), Counter(labels[i] for i in rows), min(drawn[ids[i]] for i in rows))
        for rows in members.values()
    ]
    quotas = _quotas(Counter(labels), shares, seed)
    needed = {label: dict(row) for label, row in quotas.items()}
    of: dict[str, str] = {}

    def put(group: _Group, name: str) -> None:
        for i in group.members:
            of[ids[i]] = name
        for label, count in group.labels.items():
            needed[label][name] -= count

    several = [group for group in all_groups if len(group.members) > 1]
    remaining, trained = Counter(labels), set[str]()
    for group in sorted(several, key=lambda g: (-len(g.members), g.key)):
        remaining.subtract(group.labels)
        last = any(not remaining[label] and label not in trained for label in group.labels)
        name = names[0] if last else max(names, key=lambda n: _gain(group, n, needed, quotas))
        put(group, name)
        if name == names[0]:
            trained.update(group.labels)
    single = defaultdict(list)
    for group in sorted((g for g in all_groups if len(g.members) == 1), key=lambda g: g.key):
        single[labels[group.members[0]]].append(group)
    for label, of_label in single.items():
        for group, name in zip(of_label, _fill(needed[label], len(of_label)), strict=True):
            put(group, name)
    present = {(label, of[id]) for id, label in zip(ids, labels, strict=True)}
    lacking = {
        n: tuple(label for label in sorted(quotas) if (label, n) not in present) for n in names
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
    needed: Mapping[str, Mapping[str, int]],
    quotas: Mapping[str, Mapping[str, int]],
) -> tuple[float, float]:
    """How well a group fits into a split: what of its labels it fills there less what is too much,
    as parts of each label; among equals, what part of the split's share is still open, so that
    groups go to all splits and not to the largest alone."""
    gain = open_part = 0.0
    for label, count in sorted(group.labels.items()):  # a sum depends on its order
        fills = min(count, max(needed[label][name], 0))
        gain += (2 * fills - count) / sum(quotas[label].values())
        open_part += count * needed[label][name] / max(quotas[label][name], 1)
    return round(gain, 9), round(open_part, 9)


def _fill(needed: Mapping[str, int], count: int) -> list[str]:
    """The splits of `count` single pictures in their drawn order: what is still wanted of each,
    one split after the other, so that one picture more moves only those at the borders."""
    free = {name: max(number, 0) for name, number in needed.items()}
    while sum(free.values()) > count:  # groups took more than their share of other splits
        free[max(reversed(free), key=lambda name: free[name])] -= 1
    return [name for name, number in free.items() for _ in range(number)]
