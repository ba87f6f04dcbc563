"""`IndexView`: an index as one model sees it. All that is read of embeddings is read here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unseen.classifier import Classifier, load
from unseen.encoder import Encoded, Encoder
from unseen.errors import ImageError, StoreError
from unseen.index import approximate as graph
from unseen.index import clustering, projection, query, search
from unseen.index import matrix as derived
from unseen.index.hits import KEEP, Cluster, Content, Hit
from unseen.index.matrix import Matrix, vector_of
from unseen.index.model_rows import ModelRow
from unseen.index.parquet import write_parquet
from unseen.index.projection import Projection
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelsLike
from unseen.load_options import LoadOptions
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict_encoded
from unseen.prediction.prediction import Prediction

if TYPE_CHECKING:
    from unseen.index.index import Index

ROWS = 4096  # rows that are classified at once
LARGE = 3_000_000  # pictures from which exact search takes more than about 0.2 s on two cores
VARIABLES = 500  # of one SQL statement: SQLite has a limit

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]  # done, total


class IndexView:
    """An index as one model sees it: the embeddings of one row of `Index.models()`.

    `Index.view` makes it. Nothing here writes to the index, and only words, pictures that are not
    in the index, and labels need the model: it is loaded when the first of these comes.

    Parameters
    ----------
    index : Index
        The open index.
    row : ModelRow
        Whose embeddings.
    options : LoadOptions
        What loads the model.
    classifier : Classifier, optional
        The model, where it is loaded already.

    Examples
    --------
    >>> index = unseen.Index("photos")                                 # doctest: +SKIP
    >>> view = index.view()                                            # doctest: +SKIP
    >>> view.search("a photo of a cat", top=5)                         # doctest: +SKIP
    """

    def __init__(
        self,
        index: Index,
        row: ModelRow,
        options: LoadOptions,
        classifier: Classifier | None = None,
    ) -> None:
        self.index = index
        self.row = row
        self.options = options
        self._classifier = classifier

    def __repr__(self) -> str:
        pictures = f"{self.row.pictures} pictures"
        return f"IndexView({str(self.index.root)!r}, model={str(self.row)!r}, {pictures})"

    def __reduce__(self) -> tuple[Any, ...]:
        """By path and row: another process opens the index anew, and loads the model if it must."""
        return IndexView, (self.index, self.row, self.options)

    @property
    def classifier(self) -> Classifier:
        """The model of this view, loaded when it is first needed.

        Raises
        ------
        ModelError
            When it cannot be loaded.
        StoreError
            When the model of that name has changed since it encoded the pictures.
        """
        if self._classifier is None:
            classifier = load(self.options)
            if classifier.model.fingerprint != self.row.fingerprint:
                raise StoreError(
                    f"{self.options.model} has changed since it encoded {self.index.root}; encode "
                    f"the pictures again: unseen index {self.index.root} -m {self.options.model}"
                )
            self._classifier = classifier
        return self._classifier

    @property
    def encoder(self) -> Encoder:
        """The encoder of `classifier`."""
        return self.classifier.encoder

    @property
    def _database(self) -> sqlite3.Connection:
        return self.index.database

    # vectors

    def matrix(self) -> Matrix:
        """All embeddings, as one memory-mapped array.

        Returns
        -------
        Matrix
            `ids` (n,) int64 of the pictures, `vectors` (n, d) float16 of length 1.

        Raises
        ------
        StoreError
            When there are no embeddings.
        """
        matrix = derived.matrix(self._database, self.index.folder, self.row.id)
        if not len(matrix):
            raise StoreError(
                f"{self.index.root}: {self.row} has encoded no pictures here yet: "
                f"unseen index {self.index.root} -m {self.row.name}"
            )
        return matrix

    def vector(self, picture: int) -> Floats | None:
        """The embedding (d,) float32 of a picture, by `Hit.id`; None where there is none."""
        row = self._database.execute(
            "SELECT embedding FROM picture WHERE id = ? AND model = ? AND embedding IS NOT NULL",
            (picture, self.row.id),
        ).fetchone()
        return None if row is None else vector_of(row[0])

    def hit(self, picture: int) -> Hit | None:
        """A picture, by `Hit.id`, with the cosine 1 to itself; None where its files are gone."""
        hits = self._hits(np.array([picture], dtype=np.int64), np.ones(1, dtype=np.float32))
        return hits[0] if hits else None

    def page(self, offset: int, limit: int) -> tuple[int, list[Hit]]:
        """Some of the pictures, in the order in which they were added.

        Parameters
        ----------
        offset, limit : int
            The first picture, and how many at most.

        Returns
        -------
        total : int
            Pictures with an embedding.
        hits : list of Hit
            Fewer than `limit` at the end, and where all files of a picture are missing.
        """
        ids = self.matrix().ids
        page = np.array(ids[offset : offset + limit])
        return len(ids), self._hits(page, np.ones(len(page), dtype=np.float32))

    # search

    def query_vector(self, queries: Sequence[Any], without: Sequence[Any] = ()) -> Floats:
        """One query of several: those to resemble, less those not to.

        Parameters
        ----------
        queries, without : sequence
            Words (`str`), pictures (a `Path`, or what `Encoder.encode_images` takes), or vectors of
            length 1; each may stand in a pair with its weight, such as ``(0.5, "snow")``.

        Returns
        -------
        ndarray of shape (d,), float32
            Of length 1.

        Raises
        ------
        LabelError
            When nothing is left after the subtraction.
        """
        return query.combine(self._weighted(queries), self._weighted(without))

    def _weighted(self, terms: Sequence[Any]) -> Floats:
        rows = np.zeros((len(terms), self.row.dimension), dtype=np.float32)
        for row, term in zip(rows, terms, strict=True):
            weight, item = term if isinstance(term, tuple) else (1.0, term)
            row[:] = weight * self._vector_of(item)
        return rows

    def _vector_of(self, item: Any) -> Floats:
        """The vector of words, of a picture, or of a vector, which is taken as it is."""
        if isinstance(item, np.ndarray) and item.ndim == 1:
            return np.asarray(item, dtype=np.float32)
        if isinstance(item, str):
            return np.asarray(self.encoder.encode_texts([item])[0], dtype=np.float32)
        return np.asarray(self.encoder.encode_images([item])[0], dtype=np.float32)

    def search(self, item: Any, *, top: int = 50, approximate: bool | None = None) -> list[Hit]:
        """The pictures nearest to a query, best first.

        Parameters
        ----------
        item : ndarray of shape (d,), str, Path or picture
            A vector of length 1, words (`str`), or a picture (a `Path`, or what
            `Encoder.encode_images` takes); several of them are joined by `query_vector`.
        top : int
            How many pictures at most. One with several files is one picture.
        approximate : bool, optional
            Search by a graph of neighbours (the extra `ann`) instead of comparing every vector.
            None: from `LARGE` pictures on, where that extra is installed.

        Returns
        -------
        list of Hit
            Only pictures whose file is there.

        Raises
        ------
        StoreError
            When the index has no embeddings of this model.
        """
        vector, matrix = self._vector_of(item), self.matrix()
        if approximate is None:
            approximate = (
                len(matrix) >= LARGE and find_spec("usearch") is not None and self.index.writable
            )
        wanted = top
        while True:
            count = min(wanted, len(matrix))
            if approximate:
                indices, cosines = graph.nearest(
                    matrix, self.index.folder, self.row.id, vector, count
                )
            else:
                indices, cosines = search.nearest(matrix, vector, count)
            hits = self._hits(matrix.ids[indices], cosines)
            if len(hits) >= top or wanted >= len(matrix):
                return hits[:top]
            wanted *= 4  # the files of some are missing

    def _hits(self, ids: NDArray[np.int64], cosines: Floats) -> list[Hit]:
        rows = {}
        for start in range(0, len(ids), VARIABLES):
            chunk = [int(i) for i in ids[start : start + VARIABLES]]
            marks = ",".join("?" * len(chunk))
            for row in self._database.execute(
                "SELECT id, json_group_array(path), width, height, taken FROM picture "
                f"JOIN file USING (content) WHERE id IN ({marks}) AND missing IS NULL GROUP BY id",
                chunk,
            ):
                rows[row[0]] = row
        return [
            Hit(i, tuple(sorted(json.loads(rows[i][1]))), float(cosine), *rows[i][2:])
            for i, cosine in zip(ids.tolist(), cosines, strict=True)
            if i in rows
        ]

    # rows

    def encoded(self, *, below: str = "") -> Iterator[Encoded]:
        """What `Encoder.stream_images` gives for the files that are there; none is opened.

        Parameters
        ----------
        below : str
            Only files whose name in the index begins so.

        Yields
        ------
        Encoded
            In the order of the paths.
        """
        files = self._database.execute(
            "SELECT path, embedding, error FROM file JOIN picture USING (content) "
            "WHERE missing IS NULL AND model = ? AND substr(path, 1, ?) = ? ORDER BY path",
            (self.row.id, len(below), below),
        )
        for path, vector, error in files:
            if error is not None:
                yield Encoded(path, None, ImageError(error))
            else:
                yield Encoded(path, vector_of(vector))

    def contents(self, *, below: str = "") -> Iterator[Content]:
        """Each picture that is there once, with all its paths that begin with `below`."""
        rows = self._database.execute(
            "SELECT content, json_group_array(path), width, height, embedding, error "
            "FROM file JOIN picture USING (content) "
            "WHERE missing IS NULL AND model = ? AND substr(path, 1, ?) = ? GROUP BY content",
            (self.row.id, len(below), below),
        )
        for content, paths, width, height, vector, error in rows:
            embedding = None if vector is None else vector_of(vector)
            names = tuple(sorted(json.loads(paths)))
            yield Content(content, names, width, height, embedding, error)

    def classify(
        self, labels: CompiledLabels, decision: Decision, *, below: str = ""
    ) -> Iterator[Prediction]:
        """A prediction for each file that is there; no file is opened.

        Parameters
        ----------
        labels : CompiledLabels
            Compiled by this view's model (`view.classifier.compile`).
        decision : Decision
            How scores become labels (`Classifier.decision`).
        below : str
            Only files whose name in the index begins so.

        Yields
        ------
        Prediction
            In the order of the paths; with an error for a picture that could not be read.
        """
        stream = self.encoded(below=below)
        while batch := list(islice(stream, ROWS)):
            yield from predict_encoded(batch, labels, decision)

    # groups

    def duplicates(
        self, threshold: float = 0.95, *, keep: str = "best", progress: Progress | None = None
    ) -> list[list[Hit]]:
        """Groups of pictures that are the same, or nearly.

        Parameters
        ----------
        threshold : float
            Least cosine of each picture to the first of its group.
        keep : {"best", "oldest"}
            Which picture is the first: that with the most pixels, or that which was taken first
            (those without a time come last). Of equal ones it is the first path.
        progress : callable, optional
            Called with the pictures done, and how many there are.

        Returns
        -------
        list of list of Hit
            Files that are the same to the byte are one hit, and a group even without others.

        Raises
        ------
        StoreError
            For another `keep`, and when the index has no embeddings of this model.
        """
        if keep not in KEEP:
            raise StoreError(f"unknown keep {keep!r}; choose one of: {', '.join(KEEP)}.")
        matrix = self.matrix()
        hits = self._hits(matrix.ids, np.ones(len(matrix), dtype=np.float32))
        if not hits:
            return []
        index_of = {int(i): index for index, i in enumerate(matrix.ids)}
        hit_at = {index_of[hit.id]: hit for hit in hits}
        best_first = sorted(
            hit_at, key=lambda index: (KEEP[keep](hit_at[index]), hit_at[index].paths)
        )
        order = np.array(best_first, dtype=np.int64)
        groups = clustering.duplicates(matrix, order, threshold, progress=progress)
        grouped = {int(index) for group in groups for index in group}
        single = [hit_at[index] for index in best_first if index not in grouped]
        return [
            *([hit_at[int(index)] for index in group] for group in groups),
            *([hit] for hit in single if len(hit.paths) > 1),
        ]

    def similar(
        self, threshold: float = 0.8, *, progress: Progress | None = None
    ) -> list[list[Hit]]:
        """Groups of pictures that are alike: as `duplicates`, less strictly."""
        return self.duplicates(threshold, progress=progress)

    def clusters(
        self, k: int | None = None, *, names: LabelsLike | CompiledLabels | None = None
    ) -> list[Cluster]:
        """Clusters of similar pictures.

        Parameters
        ----------
        k : int, optional
            How many. None: as many as are well apart.
        names : labels, optional
            The labels that clusters are named with, as `Classifier.compile` takes them.

        Returns
        -------
        list of Cluster
            The largest first.
        """
        matrix = self.matrix()
        cluster_of, centres = clustering.clusters(matrix, k)
        titles: Sequence[Sequence[str]] = [()] * len(centres)
        if names is not None:
            compiled = self.classifier.compile(names)
            words = [label.name for label in compiled.labels]
            titles = clustering.names(centres, words, compiled.matrix)
        clusters = []
        for number, (centre, title) in enumerate(zip(centres, titles, strict=True)):
            members = np.flatnonzero(cluster_of == number)
            cosines = np.asarray(matrix.vectors[members], dtype=np.float32) @ centre
            nearest_first = np.argsort(-cosines, kind="stable")
            hits = self._hits(matrix.ids[members[nearest_first]], cosines[nearest_first])
            clusters.append(Cluster(tuple(hits), centre, tuple(title)))
        return [cluster for cluster in clusters if cluster.pictures]

    def projection(self, *, seed: int = 0) -> Projection:
        """The pictures in the plane, similar ones together: `projection.project`."""
        return projection.project(self.matrix(), seed=seed)

    # files

    def export(self, path: Path) -> int:
        """Write this model's rows to a .parquet file, as `Index.export` does → how many rows."""
        return write_parquet(self._database, path, self.row.id)
