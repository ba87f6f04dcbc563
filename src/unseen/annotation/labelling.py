"""`Labelling`: what a model proposed for the pictures of a folder, and what a person decided.

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

from unseen.annotation import active_learning
from unseen.annotation.pictures import (
    COLUMNS,
    FIRST_PATH,
    PILES,
    STORED,
    VERDICTS,
    Picture,
    Proposal,
    as_blob,
    content_of,
    doubt_of,
    picture_of,
    row_of,
)
from unseen.datasets import labelling_file
from unseen.datasets.labelling_file import FOLDER, NAME
from unseen.errors import LabelError, SourceError, StoreError
from unseen.evaluation.bootstrap import proportion
from unseen.labels.compiled import CompiledLabels
from unseen.results.manifest import now
from unseen.sources.containers.container_file import LIBRARIES, ON_SERVERS
from unseen.sources.frame_names import is_video
from unseen.sources.registry import reader_of
from unseen.system.cache import INDEX_HOME
from unseen.system.printable import escaped
from unseen.system.sqlite import transaction
from unseen.types import Floats

SCHEMES = {*LIBRARIES, *ON_SERVERS}
NOT_IN_NAMES = re.compile(r"[^\w-]+", re.ASCII)
NAMES = re.compile(r"[\w-]{1,60}")
ROWS_PER_QUERY = 1000


@dataclass(frozen=True)
class Audit:
    """How often the proposals of the sure pile are right, by a random sample that was reviewed."""

    right: int
    reviewed: int
    low: float  # the ends of a 95 % interval
    high: float


@dataclass(frozen=True)
class Status:
    """How far a labelling is.

    `right` of `judged`: how many proposals of all piles were right, of those that a person gave a
    label or none to. That is not a random sample, as uncertain ones come first. `seen` others were
    left out: what proposed had learnt from them.
    """

    piles: dict[str, int]
    reviewed: int
    verdicts: dict[str, int]
    right: int
    judged: int
    audit: Audit | None
    seen: int = 0


def home_of(folder: str | Path, name: str) -> tuple[Path, str, str]:
    """Where the labelling of a folder, or of what holds pictures like one, lies.

    Parameters
    ----------
    folder : str or Path
        A folder; or an archive, a table of pictures or a document.
    name : str
        Of the labelling.

    Returns
    -------
    root : Path
        The folder of the labelling.
    below : str
        How the names of all its pictures begin; "" for a folder.
    name : str
        Of the labelling in that folder.

    Raises
    ------
    SourceError
        For a list, whose pictures lie elsewhere.
    """
    path = Path(folder).expanduser().absolute()
    scheme = str(folder).partition(":/")[0].lower()  # a Path has one slash there
    reader = reader_of(path)
    is_address = scheme in SCHEMES and not path.exists()
    if (reader is None or is_video(path)) and not is_address:
        return path, "", name
    if reader is None or reader.lists:
        raise SourceError(
            f"{folder}: its pictures lie elsewhere; put them into an index, and label that: "
            f"unseen index FOLDER {folder}, then unseen label FOLDER"
        )
    return path.parent, f"{path.name}{reader.mark}", f"{name}-{NOT_IN_NAMES.sub('-', path.name)}"


class Labelling:
    """The labels of a folder's pictures. Open one with `open`; `unseen label` makes it.

    May be used by several threads, and in a `with` block, which closes it.

    Parameters
    ----------
    folder : str or Path
        The folder of the pictures; or an archive, a table of pictures or a document, whose
        labelling lies beside it.
    name : str
        Of the labelling, where a folder has several: letters, digits, ``-`` and ``_``.
    create : bool
        Whether to make it where it does not exist.

    Raises
    ------
    StoreError
        If it does not exist, or cannot be made or opened.
    SourceError
        If there is no such folder.
    LabelError
        If the name is invalid.
    """

    def __init__(self, folder: str | Path, name: str = NAME, *, create: bool = False) -> None:
        self.root, self.below, name = home_of(folder, name)
        if not NAMES.fullmatch(name):
            raise LabelError(
                f"{name!r} cannot name a labelling: use letters, digits, - and _, at most 60."
            )
        if not self.root.is_dir():
            raise SourceError(f"{self.root}: there is no such folder.")
        self.path = labelling_file.locate(self.root, name)
        if not self.path.is_file():
            if not create:
                raise StoreError(
                    f"{self.root}: there is no labelling {name!r} here; make one: "
                    f"unseen label {folder} --labels …"
                )
            try:
                self.path.parent.mkdir(parents=self.is_outside, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{self.path.parent}: cannot be made: {error.strerror or error}; keep it "
                    f"elsewhere: set {INDEX_HOME} to a folder that can be written to."
                ) from None
        self._database = labelling_file.connect(self.path)
        self._lock = threading.RLock()

    @property
    def is_outside(self) -> bool:
        """Whether the file does not lie beside the pictures, and so must say where they are."""
        return self.path.parent != self.root / FOLDER

    @classmethod
    def open(cls, folder: str | Path, name: str = NAME) -> Labelling:
        """The labelling of a folder.

        Parameters
        ----------
        folder : str or Path
            The folder of the pictures.
        name : str
            Of the labelling, where a folder has several.

        Returns
        -------
        Labelling

        Raises
        ------
        StoreError
            If it does not exist, or cannot be opened.
        SourceError
            If there is no such folder.
        """
        return cls(folder, name)

    def close(self) -> None:
        """Close the file; it may be opened again."""
        with self._lock:
            self._database.close()

    def __enter__(self) -> Labelling:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # proposals

    def propose(
        self,
        manifest: dict[str, Any],
        names: Sequence[str],
        proposals: Iterable[Proposal],
        labels: CompiledLabels | None = None,
    ) -> None:
        """Replace all proposals, whole or not at all.

        Decisions stay, and so do labels that the model does not know and a decision needs.

        Parameters
        ----------
        manifest : dict
            What proposed, with its options (`unseen.results.manifest.manifest`), and under
            ``asked`` the names that the scores are of.
        names : sequence of str
            The labels that a picture may get.
        proposals : iterable of Proposal
            One for each picture.
        labels : CompiledLabels, optional
            What the scores were computed with; without it nothing is learnt from answers
            (`unseen.annotation.retrain`).

        Raises
        ------
        StoreError
            If the file cannot be written.
        """
        with self._lock, transaction(self._database):
            run = self._database.execute
            run("DELETE FROM picture")
            for proposal in proposals:
                row = row_of(proposal)
                run(f"INSERT INTO picture ({STORED}) VALUES ({','.join('?' * len(row))})", row)
            added = [name for name, old in run("SELECT name, added FROM label") if old]
            used = [name for (name,) in run("SELECT DISTINCT chosen FROM verdict") if name]
            run("DELETE FROM label")
            run("DELETE FROM fact")
            run("DELETE FROM label_set")
            if labels is not None:
                run("INSERT INTO label_set VALUES (?)", (labels.to_bytes(),))
            facts = {"manifest": manifest, "asked": manifest["asked"]}
            if self.is_outside:
                facts["folder"] = escaped(str(self.root))
            for name, value in facts.items():
                run("INSERT INTO fact VALUES (?, ?)", (name, json.dumps(value)))
            for name in dict.fromkeys([*names, *added, *sorted(used)]):
                run("INSERT INTO label (name, added) VALUES (?, ?)", (name, name not in names))

    @property
    def manifest(self) -> dict[str, Any]:
        """What proposed: model, fingerprint, labels, prompts, options, versions, time."""
        manifest: dict[str, Any] = self._fact("manifest")
        return manifest

    @property
    def label_set(self) -> CompiledLabels | None:
        """What the model's scores were computed with; None in files of 0.1.0."""
        row = self._one("SELECT content FROM label_set")
        return None if row is None else CompiledLabels.from_bytes(row[0], str(self.path))

    @property
    def retrained(self) -> dict[str, Any] | None:
        """What was learnt from the answers (`Retraining` as data), if anything was."""
        row = self._one("SELECT value FROM fact WHERE name = 'retrained'")
        return None if row is None else dict(json.loads(row[0]))

    def set_retrained(self, facts: dict[str, Any]) -> None:
        """Store what was learnt from the answers.

        Parameters
        ----------
        facts : dict
            Plain data for JSON.
        """
        self._set_fact("retrained", facts)

    def extend_answers(self, names: Sequence[str]) -> None:
        """Store the names of scores.

        Parameters
        ----------
        names : sequence of str
            `answers` as it was, and perhaps more behind them.
        """
        self._set_fact("asked", list(names))

    def _set_fact(self, name: str, value: Any) -> None:
        with self._lock, transaction(self._database):
            self._database.execute(
                "INSERT OR REPLACE INTO fact VALUES (?, ?)", (name, json.dumps(value))
            )

    def model_proposals(self, ids: Sequence[str]) -> list[tuple[Floats, str]]:
        """What the model itself proposed, whatever was learnt since: scores and pile.

        Parameters
        ----------
        ids : sequence of str
            n pictures that could be read.

        Returns
        -------
        list of (float32 array, str)
            The scores are of the `answers` that the model was asked for, the first of all.
        """
        rows = self._rows("coalesce(model_scores, scores), coalesce(model_pile, pile)", ids)
        return [(np.frombuffer(scores, dtype="<f4"), pile) for scores, pile in rows]

    def readable_ids(self, after: str = "") -> list[str]:
        """Pictures that can be read, by id, at most `ROWS_PER_QUERY`.

        Parameters
        ----------
        after : str
            The last id that is known already.

        Returns
        -------
        list of str
        """
        query = (
            "SELECT content FROM picture WHERE content > ? AND embedding IS NOT NULL "
            f"ORDER BY content LIMIT {ROWS_PER_QUERY}"
        )
        return [content.hex() for (content,) in self._all(query, (content_of(after),))]

    def update_proposals(self, proposals: Iterable[tuple[str, Floats, str]]) -> None:
        """Put others in the place of some proposals; what the model proposed is kept beside them.

        Parameters
        ----------
        proposals : iterable of (str, float32 array, str)
            Ids, scores of the `answers` or of the first of them, and piles.
        """
        query = (
            "UPDATE picture SET model_scores = coalesce(model_scores, scores), "
            "model_pile = coalesce(model_pile, pile), scores = ?, doubt = ?, pile = ? "
            "WHERE content = ?"
        )
        with self._lock, transaction(self._database):
            self._database.executemany(
                query,
                (
                    (as_blob(scores), doubt_of(scores), pile, content_of(id))
                    for id, scores, pile in proposals
                ),
            )

    @property
    def names(self) -> tuple[str, ...]:
        """The labels that a picture may get: those of the model, then those that were added."""
        return tuple(name for (name,) in self._all("SELECT name FROM label ORDER BY place"))

    def add_label(self, name: str) -> str:
        """Add a label that the model does not know.

        Parameters
        ----------
        name : str
            A word or a few, at most 200 characters.

        Returns
        -------
        str
            The name as it is stored, with single spaces.

        Raises
        ------
        LabelError
            If the name is invalid.
        """
        clean = " ".join(name.split())
        if not clean or len(clean) > 200 or not clean.isprintable():
            raise LabelError(
                f"invalid label {name[:60]!r}: use a word or a few, at most 200 characters."
            )
        with self._lock, transaction(self._database):
            self._database.execute(
                "INSERT OR IGNORE INTO label (name, added) VALUES (?, 1)", (clean,)
            )
        return clean

    # pictures

    def pictures(self, *, pile: str | None = None, label: str | None = None) -> Iterator[Picture]:
        """The pictures, by path.

        Parameters
        ----------
        pile : str, optional
            Only those of this pile: ``sure``, ``unsure``, ``none`` or ``error``.
        label : str, optional
            Only those that have this label now.

        Returns
        -------
        iterator of Picture
        """
        names = self.answers
        where, values = ("pile = ?", (pile,)) if pile else ("1", ())
        after = ""
        while rows := self._all(f"{SELECT} WHERE {where} AND first > ? {PAGE}", (*values, after)):
            for row in rows:
                picture = picture_of(row, names)
                if label is None or picture.label == label:
                    yield picture
            after = rows[-1][FIRST_PATH]

    def picture(self, id: str) -> Picture | None:
        """One picture.

        Parameters
        ----------
        id : str
            Of the picture.

        Returns
        -------
        Picture or None
            None where there is no such picture.

        Raises
        ------
        LabelError
            If the id is not hexadecimal.
        """
        row = self._one(f"{SELECT} WHERE content = ?", (content_of(id),))
        return None if row is None else picture_of(row, self.answers)

    def vectors(self, ids: Sequence[str]) -> Floats:
        """The embeddings of pictures that could be read.

        Parameters
        ----------
        ids : sequence of str
            n pictures.

        Returns
        -------
        float32 array (n, d)
            Rows of length 1, up to the rounding of half precision.

        Raises
        ------
        StoreError
            If a picture does not exist, or could not be read.
        """
        return self._arrays("embedding", "<f2", ids)

    def scores(self, ids: Sequence[str]) -> Floats:
        """The probabilities of the `answers`, as proposed.

        Parameters
        ----------
        ids : sequence of str
            n pictures.

        Returns
        -------
        float32 array (n, k)
            A column for each of the `answers`.

        Raises
        ------
        StoreError
            If a picture does not exist, or could not be read.
        """
        scores = self._arrays("scores", "<f4", ids)
        return np.pad(scores, ((0, 0), (0, len(self.answers) - scores.shape[1])))

    @property
    def answers(self) -> tuple[str, ...]:
        """The names that `scores` are of: the labels of the model, and perhaps `unknown`."""
        return tuple(self._fact("asked"))

    # decisions

    def decide(self, id: str, verdict: str, label: str | None = None) -> None:
        """Store what a person decided about a picture.

        Parameters
        ----------
        id : str
            Of the picture.
        verdict : str
            ``label``, ``none`` (none of these) or ``skip``.
        label : str, optional
            One of `names`, with the verdict ``label`` only.

        Raises
        ------
        LabelError
            If the picture, the verdict or the label is unknown.
        """
        if verdict not in VERDICTS:
            raise LabelError(f"unknown verdict {verdict!r}; choose one of: {', '.join(VERDICTS)}.")
        if (verdict == "label") != (label is not None):
            raise LabelError("the verdict 'label' needs a label, and the others have none.")
        with self._lock, transaction(self._database):
            run = self._database.execute
            picture_exists = "SELECT 1 FROM picture WHERE content = ?"
            if run(picture_exists, (content_of(id),)).fetchone() is None:
                raise LabelError(f"{id!r}: there is no such picture in this labelling.")
            if label is not None and not run(LABEL_EXISTS, (label,)).fetchone():
                raise LabelError(f"{label!r} is not one of the labels; add it first.")
            run(
                "INSERT INTO decision (content, verdict, label, at) VALUES (?, ?, ?, ?)",
                (content_of(id), verdict, label, now()),
            )

    def undo(self) -> str | None:
        """Take the last decision back.

        Returns
        -------
        str or None
            The id of its picture; None where there is no decision.
        """
        with self._lock, transaction(self._database):
            row = self._one("SELECT id, content FROM decision ORDER BY id DESC LIMIT 1")
            if row is None:
                return None
            self._database.execute("DELETE FROM decision WHERE id = ?", row[:1])
        return str(row[1].hex())

    # reviewing

    def queue(self, limit: int, *, exclude: Iterable[str] = ()) -> list[Picture]:
        """The pictures to look at next, without those that are decided.

        Uncertain and unlike ones first (`active_learning.order`). Each fifth is from a random
        sample of the sure pile, so that its accuracy can be measured: see `status`.

        Parameters
        ----------
        limit : int
            The most pictures.
        exclude : iterable of str
            The ids of pictures to leave out.

        Returns
        -------
        list of Picture
        """
        excluded = {content_of(id) for id in exclude}
        count = limit + len(excluded)
        audits = [content for content in self._sample(count) if content not in excluded]
        uncertain = [content for content in self._uncertain(count) if content not in excluded]
        names = self.answers
        return [
            picture_of(self._one(f"{SELECT} WHERE content = ?", (content,)), names, audit)
            for content, audit in active_learning.interleave(uncertain, audits, limit)
        ]

    def status(self) -> Status:
        """Counts, and how often the model was right where a person looked.

        Returns
        -------
        Status
        """
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
        names = self.answers
        judged = [
            picture_of(row, names)
            for row in self._all(
                f"{DECIDED} WHERE verdict IN ('label', 'none') AND pile <> 'error'"
            )
        ]
        unseen = [picture for picture in judged if not picture.seen]
        right = sum(picture.chosen == picture.proposed for picture in unseen)
        reviewed, seen = sum(verdicts.values()), len(judged) - len(unseen)
        return Status(piles, reviewed, verdicts, right, len(unseen), self.audit(), seen)

    def audit(self, min_score: float = 0.0) -> Audit | None:
        """How often the sure pile is right, by a random sample.

        The sample is the beginning of a random order of that pile, as far as it was reviewed
        without a gap; pictures that were skipped do not count, nor those that what proposed had
        learnt from. Wilson's interval (1927).

        Parameters
        ----------
        min_score : float
            Count only pictures whose best label has this probability.

        Returns
        -------
        Audit or None
            None when nothing of the sample was reviewed.
        """
        names = self.answers
        outcomes = []
        for row in self._all(BEFORE_GAP):
            picture = picture_of(row, names)
            counts = picture.verdict != "skip" and not picture.seen
            if counts and (picture.score or 0.0) >= min_score:
                outcomes.append(picture.chosen == picture.proposed)
        if not outcomes:
            return None
        return Audit(sum(outcomes), len(outcomes), *proportion(sum(outcomes), len(outcomes)))

    def audit_sample(self) -> set[str]:
        """The random sample of `audit`, with the pictures that were skipped.

        Returns
        -------
        set of str
            Ids of pictures.
        """
        query = f"SELECT content FROM picture WHERE pile = 'sure' AND draw < ({GAP})"
        return {content.hex() for (content,) in self._all(query)}

    def _sample(self, count: int) -> list[bytes]:
        """Undecided pictures of the sure pile, in a random order."""
        query = f"{UNDECIDED.format(by='draw')} AND pile = 'sure' ORDER BY draw LIMIT ?"
        return [content for content, _ in self._all(query, (count,))]

    def _uncertain(self, count: int) -> list[bytes]:
        """Undecided pictures of the other piles, the most useful first."""
        undecided = UNDECIDED.format(by="doubt")
        query = f"{undecided} AND pile IN ('unsure', 'none') ORDER BY doubt DESC LIMIT ?"
        rows = self._all(query, (max(active_learning.CANDIDATES, count),))
        if not rows:
            return []
        contents, uncertainties = zip(*rows, strict=True)
        vectors = self.vectors([content.hex() for content in contents])
        reviewed_rows = self._all(
            "SELECT DISTINCT content FROM decision JOIN picture USING (content) "
            "WHERE embedding IS NOT NULL"
        )
        reviewed = self.vectors([content.hex() for (content,) in reviewed_rows])
        order = active_learning.order(
            np.array(uncertainties, dtype=np.float32), vectors, reviewed, count
        )
        return [contents[i] for i in order]

    # the file

    def _fact(self, name: str) -> Any:
        row = self._one("SELECT value FROM fact WHERE name = ?", (name,))
        if row is None:
            raise StoreError(f"{self.path}: nothing was proposed yet: unseen label {self.root}.")
        return json.loads(row[0])

    def _arrays(self, column: str, dtype: str, ids: Sequence[str]) -> Floats:
        rows = [np.frombuffer(blob, dtype=dtype) for (blob,) in self._rows(column, ids)]
        if not rows:
            row = self._one(f"SELECT {column} FROM picture WHERE {column} IS NOT NULL LIMIT 1")
            width = len(np.frombuffer(row[0], dtype=dtype)) if row else 0
            return np.zeros((0, width), dtype=np.float32)
        # Scores are of all answers, or of those that there were before more came behind them.
        array = np.zeros((len(rows), max(map(len, rows))), dtype=np.float32)
        for values, row in zip(array, rows, strict=True):
            values[: len(row)] = row
        return array

    def _rows(self, columns: str, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """Columns of pictures that could be read. StoreError for any other."""
        rows: dict[bytes, tuple[Any, ...]] = {}
        contents = [content_of(id) for id in ids]
        for start in range(0, len(contents), ROWS_PER_QUERY):
            chunk = contents[start : start + ROWS_PER_QUERY]
            placeholders = ",".join("?" * len(chunk))
            query = (
                f"SELECT content, {columns} FROM picture "
                f"WHERE content IN ({placeholders}) AND embedding IS NOT NULL"
            )
            rows.update((row[0], tuple(row[1:])) for row in self._all(query, chunk))
        missing = next((id for id, c in zip(ids, contents, strict=True) if c not in rows), None)
        if missing is not None:
            raise StoreError(
                f"{self.path}: the picture {missing} does not exist, or cannot be read."
            )
        return [rows[content] for content in contents]

    def _all(self, query: str, values: Sequence[Any] = ()) -> list[Any]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    def _one(self, query: str, values: Sequence[Any] = ()) -> Any:
        with self._lock:
            return self._database.execute(query, values).fetchone()


SELECT = f"SELECT {COLUMNS} FROM picture LEFT JOIN verdict USING (content)"
DECIDED = f"SELECT {COLUMNS} FROM verdict CROSS JOIN picture USING (content)"  # in this order
PAGE = f"ORDER BY first LIMIT {ROWS_PER_QUERY}"
# The index is named, as SQLite would rather read a whole pile and sort it.
UNDECIDED = (
    "SELECT content, doubt FROM picture INDEXED BY picture_{by} "
    "WHERE content NOT IN (SELECT content FROM decision)"
)
# The first of the random order that was not reviewed; behind all of it, where all were.
GAP = """coalesce((
    SELECT draw FROM picture INDEXED BY picture_draw
    WHERE pile = 'sure' AND content NOT IN (SELECT content FROM decision) ORDER BY draw LIMIT 1
), x'ffffffffffffffffffffffffffffffffff')"""
BEFORE_GAP = f"{SELECT} WHERE pile = 'sure' AND draw < {GAP}".replace(
    "FROM picture LEFT", "FROM picture INDEXED BY picture_draw LEFT"
)
LABEL_EXISTS = "SELECT 1 FROM label WHERE name = ?"
