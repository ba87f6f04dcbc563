"""`IndexView`: an index as one model sees it. All that is read of embeddings is read here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.classifier import Classifier, load
from unseen.encoder import Encoded, Encoder
from unseen.errors import StoreError
from unseen.images.tiling import AUTO
from unseen.index import groups, pictures
from unseen.index.exchange.parquet import write_parquet
from unseen.index.hits import Cluster, Content, Hit, Hits
from unseen.index.model_rows import ModelRow
from unseen.index.vectors import approximate as graph
from unseen.index.vectors import clustering, parts, projection, query, search, tiles
from unseen.index.vectors import matrix as derived
from unseen.index.vectors.matrix import Matrix
from unseen.index.vectors.projection import Projection
from unseen.labels.compiled import CompiledLabels
from unseen.load_options import LoadOptions
from unseen.prediction.decision import Decision
from unseen.prediction.predict import predict_encoded
from unseen.prediction.prediction import Prediction
from unseen.types import LabelsLike

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from unseen.explanation.explanation import Explanation
    from unseen.index.index import Index
    from unseen.types import Floats, Progress

ROWS = 4096  # rows that are classified at once
LARGE = 3_000_000  # pictures from which exact search takes more than about 0.2 s on two cores


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
        matrix = derived.matrix(self.index.database, self.index.folder, self.row.id)
        if not len(matrix):
            raise StoreError(
                f"{self.index.root}: {self.row} has encoded no pictures here yet: "
                f"unseen index {self.index.root} -m {self.row.name}"
            )
        return matrix

    def vector(self, picture: int) -> Floats | None:
        """The stored embedding of a picture.

        Parameters
        ----------
        picture : int
            Id of the picture: `Hit.id`.

        Returns
        -------
        ndarray of shape (d,), float32, or None
            Of length 1; None where this model has no embedding of it.
        """
        return pictures.vector(self.index.database, self.row.id, picture)

    def hit(self, picture: int) -> Hit | None:
        """A picture with all its files.

        Parameters
        ----------
        picture : int
            Id of the picture: `Hit.id`.

        Returns
        -------
        Hit or None
            With the cosine 1, that to itself; None where its files are gone.
        """
        hits = self._hits(np.array([picture], dtype=np.int64), np.ones(1, dtype=np.float32))
        return hits[0] if hits else None

    def page(self, offset: int, limit: int) -> tuple[int, Hits]:
        """Some of the pictures, in the order in which they were added.

        Parameters
        ----------
        offset, limit : int
            The first picture, and how many at most.

        Returns
        -------
        total : int
            Pictures with an embedding.
        hits : Hits
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
        return query.combine(self._vectors(queries), self._vectors(without))

    def _vectors(self, terms: Sequence[Any]) -> Floats:
        return query.vectors_of(terms, self.row.dimension, lambda: self.encoder)

    def search(
        self,
        item: Any,
        *,
        top: int = 50,
        approximate: bool | None = None,
        tiles: str | None = None,
    ) -> Hits:
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
        tiles : str, optional
            Look in the tiles that the index keeps, too (`Index.keep_tiles`); every vector is
            compared. ``auto``: whatever tiles these are; else those of this tiling.

        Returns
        -------
        Hits
            A list of `Hit`, which a notebook draws; only pictures whose file is there. A picture is
            one hit, whatever its tiles.

        Raises
        ------
        StoreError
            When the index has no embeddings of this model, or no such tiles.

        Examples
        --------
        >>> index.view().search("a photo of a cat", top=2)             # doctest: +SKIP
        [Hit('cats/1.jpg', cosine=0.312), Hit('cats/7.jpg', cosine=0.309)]
        """
        vector, matrix = query.vector_of(item, lambda: self.encoder), self.matrix()
        if tiles is not None:
            return self._search_tiles(vector, matrix, top, tiles)
        if approximate is None:
            approximate = (
                len(matrix) >= LARGE and find_spec("usearch") is not None and self.index.writable
            )
        requested = top
        while True:
            count = min(requested, len(matrix))
            if approximate:
                indices, cosines = graph.nearest(
                    matrix, self.index.folder, self.row.id, vector, count
                )
            else:
                indices, cosines = search.nearest(matrix, vector, count)
            hits = self._hits(matrix.ids[indices], cosines)
            if len(hits) >= top or requested >= len(matrix):
                return hits[:top]
            requested *= 4  # the files of some are missing

    def has_tiles(self, tiling: str, below: str = "") -> bool:
        """Whether the index keeps such tiles, of every picture or where it can add what is missing.

        Parameters
        ----------
        tiling : str
            ``auto``, ``2x2``, ``3x3`` or ``pyramid``.
        below : str
            Only files whose name in the index begins so.

        Returns
        -------
        bool
        """
        database, row = self.index.database, self.row.id
        stored = tiles.stored_tiles(database, row)
        if not stored.pictures or stored.tiling != tiling:
            return False
        return self.index.writable or not tiles.missing(database, row, below)

    def _search_tiles(self, vector: Floats, matrix: Matrix, top: int, tiling: str) -> Hits:
        index, row = self.index, self.row
        stored = tiles.stored_tiles(index.database, row.id)
        if not stored.pictures or tiling not in (AUTO, stored.tiling):
            present = f"only {stored.tiling} tiles" if stored.pictures else "no tiles"
            raise StoreError(
                f"{index.root}: this index keeps {present} of {row.name}; make them: "
                f"unseen index {index.root} -m {row.name} --tiles {tiling}"
            )
        own = derived.matrix(index.database, index.folder, row.id, tiles.TABLE)
        requested = top
        while True:
            matches = tiles.nearest(index.database, matrix, own, vector, requested)
            ids = np.array([match.picture for match in matches], dtype=np.int64)
            cosines = np.array([match.cosine for match in matches], dtype=np.float32)
            hits = self._hits(ids, cosines)
            if len(hits) >= top or requested >= len(matrix):
                boxes = {match.picture: match.tile for match in matches}
                placed = (replace(hit, tile=boxes[hit.id]) for hit in hits[:top])
                return Hits(placed, hits.root)
            requested *= 4  # the files of some are missing

    def _hits(self, ids: NDArray[np.int64], cosines: Floats) -> Hits:
        return pictures.hits(self.index.database, self.index.root, ids, cosines)

    # rows

    def encoded(self, *, below: str = "", tiles: bool = False) -> Iterator[Encoded]:
        """What `Encoder.stream_images` gives for the files that are there; none is opened.

        Parameters
        ----------
        below : str
            Only files whose name in the index begins so.
        tiles : bool
            With the tiles of each, where the index keeps them.

        Yields
        ------
        Encoded
            In the order of the paths.
        """
        return pictures.encoded(self.index.database, self.row.id, below, tiles=tiles)

    def contents(self, *, below: str = "") -> Iterator[Content]:
        """Each picture that is there, once.

        Parameters
        ----------
        below : str
            Only files whose name in the index begins so.

        Yields
        ------
        Content
            With all its paths that begin with `below`.
        """
        return pictures.contents(self.index.database, self.row.id, below)

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

    def explain(
        self,
        labels: LabelsLike | CompiledLabels | None = None,
        for_: str | None = None,
        against: str | None = None,
        *,
        below: str = "",
    ) -> Iterator[Explanation]:
        """Why each file has its label, from rows that the index keeps; no file is opened.

        Parameters
        ----------
        labels : LabelsLike or CompiledLabels, optional
            As `Classifier.compile` takes them.
        for_ : str, optional
            The label that is explained; by default the best of each picture.
        against : str, optional
            Another label that it is set against; by default the mean of the labels.
        below : str
            Only files whose name in the index begins so.

        Yields
        ------
        Explanation
            In the order of the paths, without the two figures of trust, which need the picture;
            with an error for a picture that could not be read, or has no rows.

        Raises
        ------
        LabelError
            If a label is not among them.
        """
        compiled, explainer = self.classifier.compile(labels), self.classifier.explainer()
        stored = parts.stored(self.index.database, self.row.id, below)
        command = f"unseen index {self.index.root} -m {self.row.name} --explainable"
        return parts.explanations(stored, explainer, compiled, for_, against, command)

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
        list of Hits
            Files that are the same to the byte are one hit, and a group even without others.

        Raises
        ------
        StoreError
            For another `keep`, and when the index has no embeddings of this model.
        """
        if keep not in groups.KEEP:
            raise StoreError(f"unknown keep {keep!r}; choose one of: {', '.join(groups.KEEP)}.")
        matrix = self.matrix()
        hits = self._hits(matrix.ids, np.ones(len(matrix), dtype=np.float32))
        if not hits:
            return []
        return groups.duplicates(matrix, hits, threshold, keep, progress)

    def similar(
        self, threshold: float = 0.8, *, progress: Progress | None = None
    ) -> list[list[Hit]]:
        """Groups of pictures that are alike: `duplicates`, less strictly, the most pixels first.

        Parameters
        ----------
        threshold : float
            Least cosine of each picture to the first of its group.
        progress : callable, optional
            Called with the pictures done, and how many there are.

        Returns
        -------
        list of Hits
            As of `duplicates`.
        """
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
            hits = self._hits(*groups.members_of(matrix, cluster_of, number, centre))
            clusters.append(Cluster(tuple(hits), centre, tuple(title)))
        return [cluster for cluster in clusters if cluster.pictures]

    def projection(self, *, seed: int = 0) -> Projection:
        """The pictures in the plane, similar ones together.

        Parameters
        ----------
        seed : int
            Seed of t-SNE; the same seed gives the same positions.

        Returns
        -------
        Projection
            A position for each picture; by t-SNE with the extra `learn`, else by PCA.
        """
        return projection.project(self.matrix(), seed=seed)

    # files

    def export(self, path: Path) -> int:
        """Write this model's rows to a .parquet file, in the columns of `Index.export`.

        Parameters
        ----------
        path : Path
            Of the file, written whole or not at all.

        Returns
        -------
        int
            How many rows.
        """
        return write_parquet(self.index.database, path, self.row.id)
