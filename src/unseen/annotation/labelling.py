"""`Labelling`: what a model proposed for the pictures of a folder, and what a person made of it.

One SQLite file beside the pictures. A decision belongs to the content of a picture, not to its
path: it outlives renaming, and proposing anew with other labels or another model.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.annotation import active_learning, schema
from unseen.annotation.pictures import (
    COLUMNS,
    FIRST,
    PILES,
    VERDICTS,
    Picture,
    Proposal,
    content_of,
    picture_of,
    row_of,
)
from unseen.errors import LabelError, SourceError, StoreError
from unseen.evaluation.bootstrap import proportion
from unseen.index.location import FOLDER
from unseen.results.manifest import now
from unseen.system.sqlite import transaction

NAME = "labels"  # of the labelling of a folder, where there is only one
NAMES = re.compile(r"[\w-]{1,60}")
ROWS = 1000  # rows of a statement

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Audit:
    """How often the proposals of the sure pile are right, by a random draw that was reviewed."""

    right: int
    reviewed: int
    low: float  # the ends of a 95 % interval
    high: float


@dataclass(frozen=True)
class Status:
    """How far a labelling is. `right` of `judged`: proposals, of all piles, that a person gave a
    label or none to; not a random draw, as doubtful ones come first."""

    piles: dict[str, int]
    reviewed: int
    verdicts: dict[str, int]
    right: int
    judged: int
    audit: Audit | None


class Labelling:
    """The labels of a folder's pictures. Open one with `open`; `unseen label` makes it.

    May be used by several threads.
    """

    def __init__(self, folder: str | Path, name: str = NAME, *, create: bool = False) -> None:
        """StoreError where there is none, unless it is to be made; LabelError for a bad name."""
        self.root = Path(folder).expanduser().absolute()
        if not NAMES.fullmatch(name):
            raise LabelError(
                f"{name!r} cannot name a labelling: letters, digits, - and _, at most 60."
            )
        if not self.root.is_dir():
            raise SourceError(f"{self.root}: there is no such folder.")
        self.path = self.root / FOLDER / f"labelling-{name}.sqlite"
        if not self.path.is_file():
            if not create:
                raise StoreError(
                    f"{self.root}: there is no labelling {name!r} here; make one: "
                    f"unseen label {folder} --labels …"
                )
            try:
                self.path.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise StoreError(f"{self.path.parent}: cannot be made: {error}.") from None
        self._database = schema.connect(self.path)
        self._lock = threading.RLock()

    @classmethod
    def open(cls, folder: str | Path, name: str = NAME) -> Labelling:
        """The labelling of a folder. StoreError where there is none."""
        return cls(folder, name)

    def close(self) -> None:
        """Closes the file; it may be opened again."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Labelling:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # proposals

    def propose(
        self, manifest: dict[str, Any], names: Sequence[str], proposals: Iterable[Proposal]
    ) -> None:
        """Put these in the place of all that was proposed before, whole or not at all. What was
        decided stays, and so do labels that the model does not know and a decision needs.

        `manifest`: what proposed, with its options (`unseen.results.manifest.manifest`).
        """
        with self._lock, transaction(self._database):
            run = self._database.execute
            run("DELETE FROM picture")
            for proposal in proposals:
                run(
                    "INSERT INTO picture VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row_of(proposal)
                )
            added = [name for name, old in run("SELECT name, added FROM label") if old]
            used = [name for (name,) in run("SELECT DISTINCT chosen FROM verdict") if name]
            run("DELETE FROM label")
            run("DELETE FROM fact")
            for name, value in (("manifest", manifest), ("asked", manifest["asked"])):
                run("INSERT INTO fact VALUES (?, ?)", (name, json.dumps(value)))
            for name in dict.fromkeys([*names, *added, *sorted(used)]):
                run("INSERT INTO label (name, added) VALUES (?, ?)", (name, name not in names))

    @property
    def manifest(self) -> dict[str, Any]:
        """What proposed: model, fingerprint, labels, prompts, options, versions, time."""
        found: dict[str, Any] = self._fact("manifest")
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that a picture may get: those of the model, then those that were added."""
        return tuple(name for (name,) in self._all("SELECT name FROM label ORDER BY place"))

    def add_label(self, name: str) -> str:
        """A label that the model does not know → how it is written. LabelError."""
        clean = " ".join(name.split())
        if not clean or len(clean) > 200 or not clean.isprintable():
            raise LabelError(f"{name[:60]!r} is no label: a word or a few, at most 200 characters.")
        with self._lock, transaction(self._database):
            self._database.execute(
                "INSERT OR IGNORE INTO label (name, added) VALUES (?, 1)", (clean,)
            )
        return clean

    # pictures

    def pictures(self, *, pile: str | None = None, label: str | None = None) -> Iterator[Picture]:
        """Every picture, by path; only those of a pile, and only those that have a label now."""
        names = self.asked
        where, values = ("pile = ?", (pile,)) if pile else ("1", ())
        after = ""
        while rows := self._all(f"{SELECT} WHERE {where} AND first > ? {PAGE}", (*values, after)):
            for row in rows:
                picture = picture_of(row, names)
                if label is None or picture.label == label:
                    yield picture
            after = rows[-1][FIRST]

    def picture(self, id: str) -> Picture | None:
        """One picture; None where there is no such."""
        row = self._one(f"{SELECT} WHERE content = ?", (content_of(id),))
        return None if row is None else picture_of(row, self.asked)

    def vectors(self, ids: Sequence[str]) -> Floats:
        """float32 (n, d): the embeddings of pictures that could be read. StoreError for others."""
        return self._arrays("embedding", "<f2", ids)

    def scores(self, ids: Sequence[str]) -> Floats:
        """float32 (n, k): the model's probabilities of `asked`, in that order. StoreError for
        pictures that could not be read."""
        return self._arrays("scores", "<f4", ids)

    @property
    def asked(self) -> tuple[str, ...]:
        """What `scores` are of: the labels that the model was asked for, and perhaps `unknown`."""
        return tuple(self._fact("asked"))

    # decisions

    def decide(self, id: str, verdict: str, label: str | None = None) -> None:
        """What a person says of a picture: label, none (none of these) or skip.

        LabelError for a label that is none of `names`, and for a picture that there is not.
        """
        if verdict not in VERDICTS:
            raise LabelError(f"{verdict!r} is no verdict; {', '.join(VERDICTS)} are.")
        if (verdict == "label") != (label is not None):
            raise LabelError("a label goes with the verdict 'label', and only with that.")
        with self._lock, transaction(self._database):
            run = self._database.execute
            known = "SELECT 1 FROM picture WHERE content = ?"
            if run(known, (content_of(id),)).fetchone() is None:
                raise LabelError(f"{id!r}: there is no such picture in this labelling.")
            if label is not None and not run(KNOWN_LABEL, (label,)).fetchone():
                raise LabelError(f"{label!r} is none of the labels; add it first.")
            run(
                "INSERT INTO decision (content, verdict, label, at) VALUES (?, ?, ?, ?)",
                (content_of(id), verdict, label, now()),
            )

    def undo(self) -> str | None:
        """Take the last decision back → the picture that it was of; None where there is none."""
        with self._lock, transaction(self._database):
            row = self._one("SELECT id, content FROM decision ORDER BY id DESC LIMIT 1")
            if row is None:
                return None
            self._database.execute("DELETE FROM decision WHERE id = ?", row[:1])
        return str(row[1].hex())

    # reviewing

    def queue(self, limit: int, *, leaving: Iterable[str] = ()) -> list[Picture]:
        """The pictures to look at next, at most `limit`; those decided, and `leaving`, left out.

        Doubtful and unlike first (`autolabel/queue.py`). Each fifth is drawn at random from the
        sure pile, so that its accuracy can be said: see `status`.
        """
        gone = {content_of(id) for id in leaving}
        wanted = limit + len(gone)
        audits = [content for content in self._draw(wanted) if content not in gone]
        doubtful = [content for content in self._doubtful(wanted) if content not in gone]
        names = self.asked
        return [
            picture_of(self._one(f"{SELECT} WHERE content = ?", (content,)), names, audit)
            for content, audit in active_learning.mixed(doubtful, audits, limit)
        ]

    def status(self) -> Status:
        """Counts, and how often the model was right where a person looked."""
        piles = dict.fromkeys(PILES, 0)
        piles.update(dict(self._all("SELECT pile, count(*) FROM picture GROUP BY pile")))
        verdicts = dict.fromkeys(VERDICTS, 0)
        verdicts.update(
            dict(
                self._all(
                    "SELECT verdict, count(*) FROM verdict CROSS JOIN picture USING (content) "
                    "GROUP BY verdict"
                )
            )
        )
        names = self.asked
        judged = [
            picture_of(row, names)
            for row in self._all(
                f"{DECIDED} WHERE verdict IN ('label', 'none') AND pile <> 'error'"
            )
        ]
        right = sum(picture.chosen == picture.proposed for picture in judged)
        return Status(piles, sum(verdicts.values()), verdicts, right, len(judged), self.audit())

    def audit(self, least: float = 0.0) -> Audit | None:
        """How often the sure pile, or what of it has a score of `least`, is right; None when
        nothing of a random draw was reviewed.

        The draw is the beginning of a random order of that pile, as far as it was reviewed without
        a gap; skipped pictures do not count. Wilson's interval (1927).
        """
        names = self.asked
        outcomes = []
        for row in self._all(BEFORE_GAP):
            picture = picture_of(row, names)
            if picture.verdict != "skip" and (picture.score or 0.0) >= least:
                outcomes.append(picture.chosen == picture.proposed)
        if not outcomes:
            return None
        return Audit(sum(outcomes), len(outcomes), *proportion(sum(outcomes), len(outcomes)))

    def drawn(self) -> set[str]:
        """The pictures that `audit` counts, and those of the draw that were skipped."""
        query = f"SELECT content FROM picture WHERE pile = 'sure' AND draw < ({GAP})"
        return {content.hex() for (content,) in self._all(query)}

    def _draw(self, count: int) -> list[bytes]:
        """What of the sure pile was not decided, in a random order."""
        query = f"{UNDECIDED.format(by='draw')} AND pile = 'sure' ORDER BY draw LIMIT ?"
        return [content for content, _ in self._all(query, (count,))]

    def _doubtful(self, count: int) -> list[bytes]:
        """What of the other piles was not decided, the most useful first."""
        open_ones = UNDECIDED.format(by="doubt")
        query = f"{open_ones} AND pile IN ('unsure', 'none') ORDER BY doubt DESC LIMIT ?"
        most = self._all(query, (max(active_learning.CANDIDATES, count),))
        if not most:
            return []
        ids, doubts = zip(*most, strict=True)
        vectors = self.vectors([content.hex() for content in ids])
        seen = self._all(
            "SELECT DISTINCT content FROM decision JOIN picture USING (content) "
            "WHERE embedding IS NOT NULL"
        )
        before = self.vectors([content.hex() for (content,) in seen])
        order = active_learning.order(np.array(doubts, dtype=np.float32), vectors, before, count)
        return [ids[i] for i in order]

    # the file

    def _fact(self, name: str) -> Any:
        row = self._one("SELECT value FROM fact WHERE name = ?", (name,))
        if row is None:
            raise StoreError(f"{self.path}: nothing was proposed yet: unseen label {self.root}.")
        return json.loads(row[0])

    def _arrays(self, column: str, dtype: str, ids: Sequence[str]) -> Floats:
        found: dict[bytes, Any] = {}
        contents = [content_of(id) for id in ids]
        for start in range(0, len(contents), ROWS):
            some = contents[start : start + ROWS]
            marks = ",".join("?" * len(some))
            found.update(
                self._all(
                    f"SELECT content, {column} FROM picture "
                    f"WHERE content IN ({marks}) AND {column} IS NOT NULL",
                    some,
                )
            )
        lost = next((id for id, c in zip(ids, contents, strict=True) if c not in found), None)
        if lost is not None:
            raise StoreError(f"{self.path}: the picture {lost} is not there, or cannot be read.")
        if not contents:
            row = self._one(f"SELECT {column} FROM picture WHERE {column} IS NOT NULL LIMIT 1")
            width = len(np.frombuffer(row[0], dtype=dtype)) if row else 0
            return np.zeros((0, width), dtype=np.float32)
        rows = b"".join(found[content] for content in contents)
        return np.frombuffer(rows, dtype=dtype).reshape(len(contents), -1).astype(np.float32)

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def _one(self, query: str, values: Sequence[Any] = ()) -> Any:
        with self._lock:
            return self._database.execute(query, values).fetchone()


SELECT = f"SELECT {COLUMNS} FROM picture LEFT JOIN verdict USING (content)"
DECIDED = f"SELECT {COLUMNS} FROM verdict CROSS JOIN picture USING (content)"  # in this order
PAGE = f"ORDER BY first LIMIT {ROWS}"
# The index is named, as SQLite would rather read a whole pile and sort it.
UNDECIDED = (
    "SELECT content, doubt FROM picture INDEXED BY picture_{by} "
    "WHERE content NOT IN (SELECT content FROM decision)"
)
# Where the draw was first left out: after all of it, where it never was.
GAP = """coalesce((
    SELECT draw FROM picture INDEXED BY picture_draw
    WHERE pile = 'sure' AND content NOT IN (SELECT content FROM decision) ORDER BY draw LIMIT 1
), x'ffffffffffffffffffffffffffffffffff')"""
BEFORE_GAP = f"{SELECT} WHERE pile = 'sure' AND draw < {GAP}".replace(
    "FROM picture LEFT", "FROM picture INDEXED BY picture_draw LEFT"
)
KNOWN_LABEL = "SELECT 1 FROM label WHERE name = ?"
