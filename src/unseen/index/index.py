"""`unseen.Index`: a collection of pictures, looked at once and asked for ever."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from unseen.encoder import Encoded, Encoder
from unseen.errors import ImageError, SourceError, StoreError
from unseen.index import approximate as graph
from unseen.index import clustering, schema, search
from unseen.index import matrix as derived
from unseen.index.location import FILE, FOLDER
from unseen.index.matrix import Matrix, vector_of
from unseen.index.parquet import write_parquet
from unseen.index.update import Progress, Report, key_of, update
from unseen.labels.compiled import CompiledLabels
from unseen.prediction import score
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict_encoded
from unseen.prediction.prediction import Prediction
from unseen.sources.files import image_files
from unseen.system.sqlite import transaction

ROWS = 4096  # rows that are classified at once
LARGE = 3_000_000  # pictures from which exact search takes more than about 0.2 s on two cores

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Hit:
    """One picture that a search found: every place where it lies, and how near it is.

    `id` is that of its row in the table `picture`.
    """

    id: int
    paths: tuple[str, ...]
    cosine: float
    width: int | None
    height: int | None
    taken: str | None


@dataclass(frozen=True)
class Info:
    """What an index holds."""

    path: str
    files: int
    missing: int
    bytes: int  # of the database and of what is derived from it
    models: tuple[Mapping[str, Any], ...]  # name, revision, precision, dimension, pictures, errors


@dataclass(frozen=True)
class Content:
    """One picture of an index, wherever it lies: its embedding (d,), or the error in its place."""

    id: bytes  # the first 16 bytes of the sha256 of its file
    paths: tuple[str, ...]
    width: int | None
    height: int | None
    embedding: Floats | None
    error: str | None


class Index:
    """The pictures below a folder: their embeddings, sizes, times and errors, in one SQLite file.

    >>> index = Index("photos")                                        # doctest: +SKIP
    >>> encoder = unseen.load("fast").encoder                          # doctest: +SKIP
    >>> index.update(encoder)                                          # doctest: +SKIP
    >>> index.search(encoder, encoder.encode_texts(["a cat"])[0])      # doctest: +SKIP
    """

    def __init__(self, folder: str | Path, *, create: bool = True) -> None:
        """The index of `folder`, in `folder`/.unseen. StoreError where there is none to open."""
        self.root = Path(folder).expanduser().absolute()
        place = self.root / FOLDER
        if not (place / FILE).is_file():
            if not create:
                raise StoreError(f"{self.root}: there is no index here; `unseen index {folder}`.")
            if not self.root.is_dir():
                raise SourceError(f"{self.root}: there is no such folder.")
            try:
                place.mkdir(exist_ok=True)
            except OSError as error:
                raise StoreError(f"{place}: cannot be made: {error.strerror}.") from None
        self._place = place
        self._database = schema.connect(place / FILE)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the same file; a connection stays where it was made."""
        return _reopened, (self.root,)

    def __repr__(self) -> str:
        return f"Index({str(self.root)!r})"

    def close(self) -> None:
        """Closes the database; the index may be opened again."""
        self._database.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # filling

    def update(
        self,
        encoder: Encoder,
        sources: Sequence[str | Path] = (),
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Look at what is new or changed below `sources`, by default below the index's folder.

        Only one process at a time does this; another waits. Raises SourceError, StoreError and
        ModelError; a broken picture is a row with an error, tried again when its file changes.
        """
        folders = [Path(s).absolute() for s in sources] or [self.root]
        for folder in folders:
            if not folder.exists():
                raise SourceError(f"{folder}: there is no such file or folder.")
        with FileLock(self._place / "update.lock"):
            try:
                return update(
                    self._database,
                    self._model(encoder),
                    self.root,
                    _files(folders),
                    [folder for folder in folders if folder.is_dir()],
                    encoder,
                    batch_size=batch_size,
                    progress=progress,
                )
            except sqlite3.OperationalError as error:
                raise StoreError(f"{self._place / FILE}: cannot be written: {error}.") from None

    def prune(self) -> int:
        """Forget the files that are missing, and the pictures that no file shows any more."""
        gone = "content NOT IN (SELECT content FROM file)"
        with transaction(self._database):
            forgotten = self._database.execute("DELETE FROM file WHERE missing IS NOT NULL")
            self._database.execute(
                "UPDATE model SET changes = changes + 1 "
                f"WHERE id IN (SELECT model FROM picture WHERE {gone})"
            )
            self._database.execute(f"DELETE FROM picture WHERE {gone}")
        self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._database.execute("VACUUM")
        return forgotten.rowcount

    def _model(self, encoder: Encoder) -> int:
        """The row of what an encoder makes; made when it is new."""
        model = encoder.model
        preprocess = f"{model.preprocess}{' exact' if encoder.exact else ''}"
        key = (model.fingerprint, preprocess, encoder.precision)
        self._database.execute(
            "INSERT OR IGNORE INTO model (name, revision, fingerprint, preprocess, precision, "
            "dimension) VALUES (?, ?, ?, ?, ?, ?)",
            (model.name, model.revision, *key, model.dimension),
        )
        (found,) = self._database.execute(
            "SELECT id FROM model WHERE fingerprint = ? AND preprocess = ? AND precision = ?", key
        ).fetchone()
        return int(found)

    # asking

    def models(self) -> list[dict[str, Any]]:
        """What has looked at the pictures, the latest last: name, revision, fingerprint, precision,
        dimension, pictures, errors."""
        rows = self._database.execute(
            "SELECT model.id, name, revision, fingerprint, precision, dimension, "
            "count(picture.id) - count(error), count(error) FROM model "
            "LEFT JOIN picture ON picture.model = model.id GROUP BY model.id ORDER BY model.id"
        )
        names = ("id", "name", "revision", "fingerprint", "precision", "dimension")
        return [dict(zip((*names, "pictures", "errors"), row, strict=True)) for row in rows]

    def info(self) -> Info:
        """Counts and sizes."""
        files, missing = self._database.execute(
            "SELECT count(*), count(missing) FROM file"
        ).fetchone()
        size = sum(path.stat().st_size for path in self._place.iterdir() if path.is_file())
        return Info(str(self._place / FILE), files, missing, size, tuple(self.models()))

    def matrix(self, encoder: Encoder) -> Matrix:
        """The embeddings of an encoder's model; StoreError when it has looked at nothing here."""
        found = derived.matrix(self._database, self._place, self._model(encoder))
        if not len(found):
            raise StoreError(
                f"{self.root}: {encoder.model.name} has not looked at these pictures yet: "
                f"`unseen index {self.root} -m {encoder.model.name}`."
            )
        return found

    def search(
        self,
        encoder: Encoder,
        query: Floats,
        *,
        top: int = 50,
        approximate: bool | None = None,
    ) -> list[Hit]:
        """The pictures nearest to a query (d,) of length 1 (`encoder.encode_texts(…)[0]`, or a sum
        of such), best first. A picture that lies in several places is one hit.

        `approximate`: by a graph of neighbours (the extra `ann`) instead of looking at every
        vector; None: from `LARGE` pictures on, where that extra is installed.
        """
        matrix = self.matrix(encoder)
        if approximate is None:
            approximate = len(matrix) >= LARGE and find_spec("usearch") is not None
        wanted = top
        while True:
            count = min(wanted, len(matrix))
            if approximate:
                model = self._model(encoder)
                places, cosines = graph.nearest(matrix, self._place, model, query, count)
            else:
                places, cosines = search.nearest(matrix, query, count)
            hits = self._hits(matrix.ids[places], cosines)
            if len(hits) >= top or wanted >= len(matrix):
                return hits[:top]
            wanted *= 4  # some of those are missing

    def _hits(self, ids: NDArray[np.int64], cosines: Floats) -> list[Hit]:
        found = {}
        for start in range(0, len(ids), 500):
            some = [int(i) for i in ids[start : start + 500]]
            marks = ",".join("?" * len(some))
            for row in self._database.execute(
                "SELECT id, json_group_array(path), width, height, taken FROM picture "
                f"JOIN file USING (content) WHERE id IN ({marks}) AND missing IS NULL GROUP BY id",
                some,
            ):
                found[row[0]] = row
        return [
            Hit(i, tuple(sorted(_json(found[i][1]))), float(cosine), *found[i][2:])
            for i, cosine in zip(ids.tolist(), cosines, strict=True)
            if i in found
        ]

    def vector(self, encoder: Encoder, picture: int) -> Floats | None:
        """The embedding (d,) of a picture, by the id of its row; None where there is none."""
        row = self._database.execute(
            "SELECT embedding FROM picture WHERE id = ? AND model = ? AND embedding IS NOT NULL",
            (picture, self._model(encoder)),
        ).fetchone()
        return None if row is None else vector_of(row[0])

    def hit(self, picture: int) -> Hit | None:
        """A picture by the id of its row, with the cosine 1 to itself; None where it is gone."""
        found = self._hits(np.array([picture], dtype=np.int64), np.ones(1, dtype=np.float32))
        return found[0] if found else None

    def page(self, encoder: Encoder, offset: int, limit: int) -> tuple[int, list[Hit]]:
        """How many pictures there are, and some of them, in the order in which they were added.

        Those whose files are all missing are left out of these, so there may be fewer.
        """
        every = self.matrix(encoder).ids
        ids = np.array(every[offset : offset + limit])
        return len(every), self._hits(ids, np.ones(len(ids), dtype=np.float32))

    def has(self, encoder: Encoder) -> bool:
        """Whether an encoder's model, just so, has looked at pictures here."""
        query = "SELECT 1 FROM picture WHERE model = ? LIMIT 1"
        return self._database.execute(query, (self._model(encoder),)).fetchone() is not None

    def classify(
        self, encoder: Encoder, labels: CompiledLabels, decision: Decision, *, below: str = ""
    ) -> Iterator[Prediction]:
        """A prediction for each file that is there, in the order of their paths; no file is
        opened. A picture that could not be read is a prediction with an error.

        `below`: only files whose path in the index begins with it.
        """
        stream = self.encoded(encoder, below=below)
        while batch := list(islice(stream, ROWS)):
            yield from predict_encoded(batch, labels, decision)

    def encoded(self, encoder: Encoder, *, below: str = "") -> Iterator[Encoded]:
        """What `Encoder.stream_images` would give for the files that are there, in the order of
        their paths; no file is opened."""
        files = self._database.execute(
            "SELECT path, embedding, error FROM file JOIN picture USING (content) "
            "WHERE missing IS NULL AND model = ? AND substr(path, 1, ?) = ? ORDER BY path",
            (self._model(encoder), len(below), below),
        )
        for path, vector, error in files:
            if error is not None:
                yield Encoded(path, None, ImageError(error))
            else:
                yield Encoded(path, vector_of(vector))

    def contents(self, encoder: Encoder, *, below: str = "") -> Iterator[Content]:
        """Each picture that is there, once, with all its paths that begin with `below`."""
        rows = self._database.execute(
            "SELECT content, json_group_array(path), width, height, embedding, error "
            "FROM file JOIN picture USING (content) "
            "WHERE missing IS NULL AND model = ? AND substr(path, 1, ?) = ? GROUP BY content",
            (self._model(encoder), len(below), below),
        )
        for content, paths, width, height, vector, error in rows:
            embedding = None if vector is None else vector_of(vector)
            yield Content(content, tuple(sorted(_json(paths))), width, height, embedding, error)

    def best(self, encoder: Encoder, labels: CompiledLabels) -> tuple[NDArray[np.int64], Floats]:
        """Of every picture in the matrix: the most probable label's place, and its probability."""
        first, largest = [], []
        for products in search.products(self.matrix(encoder), labels.compared):
            probabilities = score.single_label(labels.similar(products), labels.score)
            first.append(probabilities.argmax(1))
            largest.append(probabilities.max(1))
        return np.concatenate(first), np.concatenate(largest)

    def export(self, path: Path) -> int:
        """Every file that is there, a row for each model: to a .parquet file → how many rows.

        Columns: path, content (hex, the first half of the sha256), bytes, modified_ns, width,
        height, taken, model, revision, fingerprint, precision, embedding (list of float32) or
        error. MissingExtraError.
        """
        return write_parquet(self._database, path)

    def duplicates(
        self,
        encoder: Encoder,
        threshold: float,
        *,
        keep: str = "best",
        progress: Progress | None = None,
    ) -> list[list[Hit]]:
        """Groups of pictures that are nearly the same: cosine at least `threshold` to the first.

        `keep`: which is the first: the "best" has the most pixels, the "oldest" was taken first
        (those without a time come last); of equal ones the first path. A picture with copies,
        which are the same to the byte, is a group as well.
        """
        if keep not in KEEP:
            raise StoreError(f"{keep!r} says not which to keep; {', '.join(KEEP)} do.")
        matrix = self.matrix(encoder)
        hits = self._hits(matrix.ids, np.ones(len(matrix), dtype=np.float32))
        if not hits:
            return []
        row_of = {int(i): row for row, i in enumerate(matrix.ids)}
        by_row = {row_of[hit.id]: hit for hit in hits}
        best = sorted(by_row, key=lambda row: (KEEP[keep](by_row[row]), by_row[row].paths))
        order = np.array(best, dtype=np.int64)
        found = clustering.duplicates(matrix, order, threshold, progress=progress)
        grouped = {int(row) for group in found for row in group}
        alone = [by_row[int(r)] for r in order if int(r) not in grouped]
        return [
            *([by_row[int(row)] for row in group] for group in found),
            *([hit] for hit in alone if len(hit.paths) > 1),
        ]

    def clusters(self, encoder: Encoder, k: int | None = None) -> tuple[list[list[Hit]], Floats]:
        """Clusters of pictures, the largest first, each by nearness to its centre → their pictures,
        and the centres (k, d). `k` None: as many as are well apart."""
        matrix = self.matrix(encoder)
        cluster, centres = clustering.clusters(matrix, k)
        found = []
        for index, centre in enumerate(centres):
            rows = np.flatnonzero(cluster == index)
            cosines = np.asarray(matrix.vectors[rows], dtype=np.float32) @ centre
            by_nearness = np.argsort(-cosines, kind="stable")
            found.append(self._hits(matrix.ids[rows[by_nearness]], cosines[by_nearness]))
        kept = [index for index, hits in enumerate(found) if hits]
        return [found[index] for index in kept], centres[kept]

    def path(self, name: str) -> Path:
        """Where a file of the index lies."""
        return self.root / name

    def name(self, path: str | Path) -> str:
        """What a file is called in the index."""
        return key_of(Path(path), self.root)


# Which of a group comes first: the one with the least of this.
KEEP: dict[str, Callable[[Hit], Any]] = {
    "best": lambda hit: -(hit.width or 0) * (hit.height or 0),
    "oldest": lambda hit: (hit.taken is None, hit.taken),
}


def _reopened(root: Path) -> Index:
    """What was pickled."""
    return Index(root, create=False)


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        try:
            yield from image_files(folder)
        except SourceError:
            if folder.is_dir():
                continue  # empty: what was in it is missing
            raise


def _json(text: str) -> list[str]:
    found: list[str] = json.loads(text)
    return found
