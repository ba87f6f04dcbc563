"""Two runs of `classify`, compared: which pictures changed their answer, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from unseen.errors import SourceError
from unseen.results.compare_text import lines
from unseen.results.manifest import of_facet, prompts_of, read_manifest
from unseen.results.records import ERROR, Row, rows
from unseen.system.digest import file_chunks, sha256
from unseen.system.printable import unescaped

# Margins that the pictures of the first run are sorted by: below the first is a near tie.
BANDS = (0.02, 0.1, 0.3, 1.0)

# Of a manifest: what is compared as it stands, with the name that a reader knows.
FACTS = {
    "model": "model",
    "revision": "revision",
    "fingerprint": "fingerprint",
    "score": "score rule",
    "precision": "precision",
    "device": "device",
    "templates": "templates",
}

Key = str | tuple[str, int]
SmallRow = tuple[str, float | None, float | None, str | None]


@dataclass(frozen=True)
class Change:
    """One thing that differs between the manifests; `labels` are those that it is about."""

    what: str
    a: Any
    b: Any
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Flip:
    """A picture whose answer is another one: a label, unknown or an error.

    `near`: it was a near tie in a. `why`: what changed that is about just these two answers, or
    else everything that changed. `seen`: the runs, "a" or "b", whose model, adapter or calibration
    had learnt from the picture.
    """

    source: str
    a: Row
    b: Row
    near: bool
    why: tuple[str, ...]
    seen: tuple[str, ...] = ()


@dataclass(frozen=True)
class Band:
    """Pictures whose margin in a is below `below` and not in a lower band, and how many flipped."""

    below: float
    pictures: int
    flips: int


@dataclass
class Diff:
    """What differs between run a and run b.

    Attributes
    ----------
    both : int
        Pictures that both runs have.
    only_a, only_b : list of str
        The names of pictures that one run alone has.
    flips : list of Flip
        Pictures whose answer changed, with both rows.
    matrix : Counter
        (answer in a, answer in b) → pictures, of all that both runs have.
    changes : list of Change, optional
        What differs in what made the runs; None where a manifest is missing.
    notes : list of str
        What a reader of the comparison should know.
    bands : list of Band
        How many answers changed, by the margin that they had in run a.
    moved_mean, moved_most : float, optional
        How far the scores of answers that stayed have moved.
    """

    both: int = 0
    only_a: list[str] = field(default_factory=list)
    only_b: list[str] = field(default_factory=list)
    flips: list[Flip] = field(default_factory=list)
    matrix: Counter[tuple[str, str]] = field(default_factory=Counter)  # of all pictures in both
    changes: list[Change] | None = None  # None: a manifest is missing
    notes: list[str] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)
    moved_mean: float | None = None  # of the scores of answers that stayed
    moved_most: float | None = None

    @property
    def part(self) -> float:
        """Of the pictures in both, how many changed their answer: 0…1."""
        return len(self.flips) / self.both if self.both else 0.0

    @property
    def errors_came(self) -> list[Flip]:
        """Pictures that could be read in run a, and not in run b."""
        return [flip for flip in self.flips if flip.b.answer == ERROR]

    @property
    def errors_went(self) -> list[Flip]:
        """Pictures that could not be read in run a, and could in run b."""
        return [flip for flip in self.flips if flip.a.answer == ERROR]

    @property
    def seen(self) -> list[Flip]:
        """Pictures that changed their answer, and that a run had learnt from."""
        return [flip for flip in self.flips if flip.seen]

    def flip_matrix(self) -> list[tuple[str, str, int]]:
        """The answers that changed into which.

        Returns
        -------
        list of (str, str, int)
            The answer in a, that in b, and how many pictures; the most frequent first.
        """
        pairs = [(a, b, n) for (a, b), n in self.matrix.items() if a != b]
        return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))

    def __str__(self) -> str:
        """The report of `unseen diff`."""
        return "\n".join(lines(self))

    def to_dict(self, gate: Gate | None = None) -> dict[str, Any]:
        """What `unseen diff --json` prints.

        Parameters
        ----------
        gate : Gate, optional
            How many pictures may change; ``passed`` says whether it holds.

        Returns
        -------
        dict
            Plain data for JSON.
        """
        return {
            "both": self.both,
            "changed": len(self.flips),
            "part": self.part,
            "passed": None if gate is None else gate.passed(self),
            "only_a": self.only_a,
            "only_b": self.only_b,
            "errors_came": [flip.source for flip in self.errors_came],
            "errors_went": [flip.source for flip in self.errors_went],
            "score_moved": {"mean": self.moved_mean, "most": self.moved_most},
            "notes": self.notes,
            "differences": None
            if self.changes is None
            else [asdict(change) for change in self.changes],
            "matrix": [
                {"a": before, "b": now, "pictures": count}
                for (before, now), count in sorted(self.matrix.items())
            ],
            "margins": [asdict(band) for band in self.bands],
            "seen_in_training": len(self.seen),
            "flips": [
                {
                    "source": flip.source,
                    "a": _answer(flip.a),
                    "b": _answer(flip.b),
                    "near": flip.near,
                    "why": flip.why,
                    "seen_in_training": flip.seen,
                }
                for flip in self.flips
            ],
        }


def _answer(row: Row) -> dict[str, Any]:
    return {"answer": row.answer, "score": row.score, "margin": row.margin, "error": row.error}


def diff(a: str | Path, b: str | Path, *, facet: str | None = None) -> Diff:
    """Which pictures changed their answer between two runs, and what differs in what made them.

    Pictures are matched by their names. The first file is held in memory, a small tuple a picture;
    the second is read through.

    Parameters
    ----------
    a, b : str or Path
        Files that `unseen classify` wrote: .jsonl, .csv or .json.
    facet : str, optional
        Of runs with several label sets: the name of the set whose answers are compared.

    Returns
    -------
    Diff
        The pictures with another answer, the matrix of answers, and the differences of the
        manifests.

    Raises
    ------
    SourceError
        If a file cannot be read, or no picture is in both; or `facet` is none of its label sets.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import unseen
    >>> from unseen.results import write
    >>> folder = Path(tempfile.mkdtemp())
    >>> for run, label in (("a", "cat"), ("b", "dog")):
    ...     answer = unseen.Prediction("1.jpg", (unseen.Scored(label, 0.9, 0.3),))
    ...     _ = write([answer], folder / f"{run}.jsonl")
    >>> unseen.diff(folder / "a.jsonl", folder / "b.jsonl").flip_matrix()
    [('cat', 'dog', 1)]
    """
    a, b = Path(a), Path(b)
    manifest_a, manifest_b = (of_facet(read_manifest(path), facet) for path in (a, b))
    difference = Diff()
    if manifest_a is not None and manifest_b is not None:
        difference.changes = changes(manifest_a, manifest_b)
    for path, manifest in ((a, manifest_a), (b, manifest_b)):
        if manifest is None:
            difference.notes.append(
                f"{path} has no manifest beside it, so what made it is not known"
            )
        elif manifest.get("complete") is not True:
            difference.notes.append(f"{path} is of a run that did not end, or does not say so")
    multi = any(_multi(manifest) for manifest in (manifest_a, manifest_b) if manifest is not None)
    before, now = (_numbered(rows(path, multi=multi, facet=facet)) for path in (a, b))
    _compare(difference, before, now)
    _mark_seen(difference, {"a": manifest_a, "b": manifest_b})
    if not difference.both:
        raise SourceError(
            f"{a} and {b} have no picture in common: give both runs the same sources, by the same "
            "names."
        )
    return difference


def _multi(manifest: dict[str, Any]) -> bool:
    return bool(manifest.get("options", {}).get("multi"))


def _numbered(read: Iterable[Row]) -> Iterator[tuple[Key, Row]]:
    """Each row with a key: its source, and of a source that is given again, which time it is."""
    seen: set[str] = set()
    again: Counter[str] = Counter()
    for row in read:
        if row.source in seen:
            again[row.source] += 1
            yield (row.source, again[row.source]), row
        else:
            seen.add(row.source)
            yield row.source, row


def _compare(
    difference: Diff, first: Iterable[tuple[Key, Row]], second: Iterable[tuple[Key, Row]]
) -> None:
    """Fills in all that comes from the rows."""
    unmatched: dict[Key, SmallRow] = {
        key: (row.answer, row.score, row.margin, row.error) for key, row in first
    }
    pictures: Counter[float] = Counter()
    flipped: Counter[float] = Counter()
    stayed = 0
    moved = most = 0.0
    for key, now in second:
        small = unmatched.pop(key, None)
        if small is None:
            difference.only_b.append(now.source)
            continue
        before = Row(now.source, *small)
        difference.both += 1
        difference.matrix[before.answer, now.answer] += 1
        band = _band(before.margin)
        if band is not None:
            pictures[band] += 1
        if before.answer == now.answer:
            if before.score is not None and now.score is not None:
                stayed += 1
                moved += abs(now.score - before.score)
                most = max(most, abs(now.score - before.score))
            continue
        if band is not None:
            flipped[band] += 1
        difference.flips.append(
            Flip(now.source, before, now, band == BANDS[0], _why(before, now, difference.changes))
        )
    difference.only_a = [key if isinstance(key, str) else key[0] for key in unmatched]
    difference.bands = [Band(b, pictures[b], flipped[b]) for b in BANDS if pictures[b]]
    if stayed:
        difference.moved_mean, difference.moved_most = moved / stayed, most


def _mark_seen(difference: Diff, manifests: dict[str, dict[str, Any] | None]) -> None:
    """Says of each flip which runs had learnt from the picture, where its file is still there."""
    taught = {
        run: frozenset(manifest.get("example_digests") or ())
        for run, manifest in manifests.items()
        if manifest is not None
    }
    if not any(taught.values()):
        return
    for place, flip in enumerate(difference.flips):
        digest = _digest(Path(unescaped(flip.source)))
        seen = tuple(run for run, digests in taught.items() if digest in digests)
        difference.flips[place] = replace(flip, seen=seen)


def _digest(path: Path) -> str | None:
    """What a picture is known by, as `example_digests` has it; None where there is no file."""
    try:
        return sha256(file_chunks(path))[:16].hex() if path.is_file() else None
    except (OSError, ValueError):
        return None


def _band(margin: float | None) -> float | None:
    if margin is None:
        return None
    return next((band for band in BANDS if margin < band), BANDS[-1])


def _why(before: Row, now: Row, known: list[Change] | None) -> tuple[str, ...]:
    if ERROR in (before.answer, now.answer):
        return (f"error: {now.error or before.error}",)
    answers = {before.answer, now.answer}
    about = tuple(
        f"{change.what}: {label}"
        for change in known or ()
        for label in change.labels
        if label in answers
    )
    return about or tuple(change.what for change in known or () if not change.labels)


# manifests


def changes(a: dict[str, Any], b: dict[str, Any]) -> list[Change]:
    """What differs between two manifests, the model first."""
    differences = [
        Change(name, a.get(key), b.get(key))
        for key, name in FACTS.items()
        if key in a and key in b and a[key] != b[key]
    ]
    differences += _labels(a, b)
    for group in ("options", "versions"):
        ours, theirs = a.get(group, {}), b.get(group, {})
        differences += [
            Change(f"{group.removesuffix('s')} {key}", ours.get(key), theirs.get(key))
            for key in sorted({*ours, *theirs})
            # What was asked for is told already by what it came to.
            if ours.get(key) != theirs.get(key) and not (key == "precision" and "precision" in a)
        ]
    return differences


def _labels(a: dict[str, Any], b: dict[str, Any]) -> Iterator[Change]:
    ours, theirs = prompts_of(a), prompts_of(b)
    added = tuple(name for name in theirs if name not in ours)
    removed = tuple(name for name in ours if name not in theirs)
    if added:
        yield Change("label added", None, list(added), added)
    if removed:
        yield Change("label removed", list(removed), None, removed)
    shared = [name for name in ours if name in theirs]
    same_templates = a.get("templates") == b.get("templates")
    others = tuple(
        name
        for name in shared
        if ours[name] is not None and theirs[name] is not None and ours[name] != theirs[name]
    )
    # Other templates change all prompts, and are told once.
    if others and (same_templates or len(others) < len(shared)):
        before = {name: ours[name] for name in others}
        yield Change("prompts changed", before, {name: theirs[name] for name in others}, others)
    for key, name in (("threshold", "threshold changed"), ("background", "background changed")):
        before, now = _of_labels(a, key), _of_labels(b, key)
        odd = tuple(label for label in shared if before.get(label) != now.get(label))
        if odd:
            yield Change(name, {x: before.get(x) for x in odd}, {x: now.get(x) for x in odd}, odd)


def _of_labels(manifest: dict[str, Any], key: str) -> dict[str, Any]:
    labels = (label for label in manifest["labels"] if not isinstance(label, str))
    return {label["name"]: label.get(key) for label in labels}


# a gate


@dataclass(frozen=True)
class Gate:
    """How many flips are allowed: a number, or a part of the pictures in both."""

    text: str
    number: float
    of_all: bool

    @classmethod
    def of(cls, text: str) -> Gate:
        """ "12", or "1%"; SourceError for anything else."""
        stripped = text.strip()
        part = stripped.endswith("%")
        try:
            number = float(stripped.removesuffix("%")) if part else float(int(stripped))
        except ValueError:
            number = -1.0
        if not 0 <= number < float("inf") or (part and number > 100):
            raise SourceError(f"--max-flips is {text!r}; give a number of pictures or a share, 1%.")
        return cls(stripped, number, part)

    def passed(self, difference: Diff) -> bool:
        """Whether so few changed."""
        if self.of_all:
            return 100 * len(difference.flips) <= self.number * difference.both
        return len(difference.flips) <= self.number
