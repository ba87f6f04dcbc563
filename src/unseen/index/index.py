"""`unseen.Index`: the pictures of a folder, each encoded once; its life, and what is written."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unseen.classifier import Classifier
from unseen.encoder import Encoder
from unseen.errors import SourceError, StoreError
from unseen.images.tiling import check_tiling
from unseen.index import model_rows, pictures, schema
from unseen.index.collections import reading, rows
from unseen.index.collections.changes import Report
from unseen.index.collections.reading import key_of
from unseen.index.exchange.parquet import write_parquet
from unseen.index.info import Info
from unseen.index.location import ELSEWHERE, Location, bind, locate, root_of
from unseen.index.model_rows import ModelRow, not_encoded
from unseen.index.update import Progress, is_current, update
from unseen.index.vectors import parts, tiles
from unseen.index.vectors.parts import StoredRows
from unseen.index.vectors.tiles import StoredTiles
from unseen.index.view import IndexView
from unseen.load_options import LoadOptions
from unseen.sources.containers.container_file import resolve
from unseen.sources.expand import reopenable
from unseen.sources.files import image_names, videos_below
from unseen.sources.frame_names import is_video
from unseen.system.locks import locked
from unseen.system.printable import unescaped
from unseen.system.sqlite import transaction
from unseen.video.index_rows import has_videos

if TYPE_CHECKING:
    from unseen.explanation.explainer import Explainer
    from unseen.types import Metadata


class Index:
    """The pictures below a folder: their embeddings, sizes, times and errors, in one SQLite file.

    `update` encodes what is new; `view` answers, for one of the models that have encoded the
    pictures. Reading never changes the database, so that one on a read-only disk can be read.

    Parameters
    ----------
    folder : str or Path
        The folder of the pictures. Its index is in `folder`/.unseen, or below
        ``$UNSEEN_INDEX_HOME`` where that is set.
    create : bool
        Make it where there is none.
    file : str or Path, optional
        The database, where it is kept elsewhere.

    Raises
    ------
    StoreError
        When there is none to open, or it cannot be opened.
    SourceError
        When there is no such folder.

    Examples
    --------
    >>> with unseen.Index("photos") as index:                          # doctest: +SKIP
    ...     index.update(unseen.load("fast").encoder)
    ...     index.view().search("a photo of a cat")
    """

    def __init__(
        self, folder: str | Path, *, create: bool = True, file: str | Path | None = None
    ) -> None:
        self.root = Path(folder).expanduser().absolute()
        location = (
            locate(self.root)
            if file is None
            else Location(self.root, Path(file).expanduser().absolute())
        )
        self.file, self.folder = location.file, location.folder
        is_new = not self.file.is_file()
        if is_new:
            if not create:
                raise StoreError(
                    f"{self.root}: there is no index here; make one: unseen index {folder}"
                )
            if not self.root.is_dir():
                raise SourceError(f"{self.root}: there is no such folder.")
            try:
                self.folder.mkdir(parents=location.is_outside, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"{self.folder}: cannot be made: {error.strerror}; {ELSEWHERE}."
                ) from None
        self.database = schema.connect(self.file)
        if location.is_outside and self.writable and (is_new or root_of(self.file) != self.root):
            bind(self.database, self.root)

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the same file; a connection stays where it was made."""
        return _reopened, (self.root, self.file)

    def __repr__(self) -> str:
        return f"Index({str(self.root)!r})"

    def close(self) -> None:
        """Close the database; the index may be opened again."""
        self.database.close()

    def __enter__(self) -> Index:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def writable(self) -> bool:
        """Whether the database may be changed, and files be made beside it."""
        return all(os.access(path, os.W_OK) for path in (self.folder, self.file))

    # writing

    def update(
        self,
        encoder: Encoder,
        sources: Sequence[str | Path] = (),
        *,
        videos: bool = False,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Report:
        """Encode what is new or changed. One process at a time does this; another waits.

        Parameters
        ----------
        encoder : Encoder
            The model; its embeddings are kept beside those of others.
        sources : sequence of str or Path
            What to look at: files, folders, and whatever holds many pictures: archives, tables,
            documents, addresses. By default the folder of the index, and all such sources that it
            has looked at before.
        videos : bool
            Look at the videos in the folders, too: a row a frame that shows something new. Once an
            index has some, it is kept up to date in them.
        batch_size : int, optional
            Pictures that the network takes at once. None: as many as suit the model.
        progress : callable, optional
            Called with the new pictures done, and how many there are.

        Returns
        -------
        Report
            Counts. A picture that cannot be read is a row with an error, and is tried again when
            its file changes.

        Raises
        ------
        SourceError, StoreError, ModelError
            A source is not there; the database cannot be written; the model cannot be used.
        """
        paths, collections = self._given(sources)
        for path in paths:
            if not path.exists():
                raise SourceError(f"{path}: there is no such file or folder.")
        self._check_writable()
        try:
            with locked(self.folder / "update.lock", str(self.file)):
                return update(
                    self.database,
                    model_rows.add_row(self.database, encoder),
                    self.root,
                    _files(paths),
                    [path for path in paths if path.is_dir()],
                    encoder,
                    videos=self._videos(paths, given=videos),
                    collections=collections,
                    batch_size=batch_size,
                    progress=progress,
                )
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.file}: cannot be written: {error}.") from None

    def keep_parts(self, explainer: Explainer, progress: Progress | None = None) -> StoredRows:
        """Keep what each place of each picture adds to its embedding, where that is not kept yet.

        With it `IndexView.explain` answers for any label, and opens no picture.

        Parameters
        ----------
        explainer : Explainer
            Of the model that has encoded the pictures: `Classifier.explainer`.
        progress : callable, optional
            Called with the pictures done, and how many have no rows.

        Returns
        -------
        StoredRows
            How many pictures have rows, and their bytes.

        Raises
        ------
        StoreError
            This model has encoded no pictures here, or the database cannot be written.
        ModelError
            The model cannot be explained by place.
        """
        self._check_writable()
        row = self._row_of(explainer.encoder)
        if row is None:
            raise not_encoded(self.root, self.models(), explainer.encoder.model.name)
        with locked(self.folder / "update.lock", str(self.file)):
            return parts.keep(self.database, row.id, self.root, explainer, progress)

    def keep_tiles(
        self,
        encoder: Encoder,
        tiling: str = "auto",
        *,
        below: str = "",
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> StoredTiles:
        """Keep the embeddings of the tiles of each picture, where these are not kept yet.

        With them `IndexView.search` finds what is small in a picture, and says where.

        Parameters
        ----------
        encoder : Encoder
            The model, which has encoded the pictures: `update`.
        tiling : str
            ``auto``, ``2x2``, ``3x3`` or ``pyramid``. The tiles of another tiling are deleted.
        below : str
            Only files whose name in the index begins so.
        batch_size : int, optional
            Tiles that the network takes at once. None: as many as suit the model.
        progress : callable, optional
            Called with the pictures done, and how many have no tiles.

        Returns
        -------
        StoredTiles
            How many pictures have been divided, into how many tiles, and their bytes.

        Raises
        ------
        ImageError
            For another tiling.
        StoreError
            This model has encoded no pictures here, or the database cannot be written.
        """
        check_tiling(tiling)
        self._check_writable()
        row = self._row_of(encoder)
        if row is None:
            raise not_encoded(self.root, self.models(), encoder.model.name)
        with locked(self.folder / "update.lock", str(self.file)):
            return tiles.keep(
                self.database,
                row.id,
                self.root,
                encoder,
                tiling,
                below=below,
                batch_size=batch_size,
                progress=progress,
            )

    def is_current(self, encoder: Encoder, sources: Sequence[str | Path] = ()) -> bool:
        """Whether an update would find nothing to do: what a read-only index is good for.

        Parameters
        ----------
        encoder : Encoder
            The model.
        sources : sequence of str or Path
            Files or folders; by default the folder of the index.

        Returns
        -------
        bool
            No file is new, changed or gone for this model.
        """
        row = model_rows.find_row(self.database, model_rows.key_of(encoder))
        paths, _ = self._given(sources)
        scopes = [path for path in paths if path.is_dir()]
        if row is None:
            return False
        videos = self._videos(paths) or ()
        return is_current(self.database, row, self.root, _files(paths), scopes, videos)

    def _given(self, sources: Sequence[str | Path]) -> tuple[list[Path], list[str | Path]]:
        """The files and folders to look at, and the sources that hold many pictures: those that are
        given, and those below the folders, or wherever they are where nothing is given."""
        each = [reopenable(source) for source in sources]
        own = {key_of(one, self.root): one for one in each if reading.is_collection(one)}
        paths = [Path(one).absolute() for one in each if not reading.is_collection(one)]
        paths = paths if sources else [self.root]
        for key in rows.sources(self.database):
            source = reading.source_of(key, self.root)
            below = isinstance(source, Path) and any(source.is_relative_to(path) for path in paths)
            if not sources or below:
                own.setdefault(unescaped(key), source)
        return paths, [
            one if isinstance(one, str) else Path(os.path.abspath(one))  # noqa: PTH100 - as named
            for one in own.values()
        ]

    def _videos(self, paths: Sequence[Path], *, given: bool = False) -> list[Path] | None:
        """The videos to look at; None: none, as nobody asks for them and the index has none."""
        if given or has_videos(self.database):
            return [video for path in paths for video in videos_below(path)]
        return [path for path in paths if is_video(path) and path.is_file()] or None

    def prune(self) -> int:
        """Forget the files that are missing, and the pictures that no file has any more.

        Returns
        -------
        int
            How many files were forgotten.
        """
        self._check_writable()
        unused = "content NOT IN (SELECT content FROM file)"
        try:
            with transaction(self.database):
                deleted = self.database.execute("DELETE FROM file WHERE missing IS NOT NULL")
                self.database.execute(
                    "UPDATE model SET changes = changes + 1 "
                    f"WHERE id IN (SELECT model FROM picture WHERE {unused})"
                )
                self.database.execute(f"DELETE FROM picture WHERE {unused}")
            self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self.database.execute("VACUUM")
        except sqlite3.OperationalError as error:
            raise StoreError(f"{self.file}: cannot be written: {error}.") from None
        return deleted.rowcount

    def _check_writable(self) -> None:
        if not self.writable:
            raise StoreError(f"{self.file}: cannot be written: it is read-only; {ELSEWHERE}.")

    # reading

    def models(self) -> list[ModelRow]:
        """The models that have encoded the pictures.

        Returns
        -------
        list of ModelRow
            The latest last.
        """
        return model_rows.read_rows(self.database)

    def info(self) -> Info:
        """Counts and sizes.

        Returns
        -------
        Info
            Also as plain data: `Info.to_dict`.
        """
        files, missing = self.database.execute(
            "SELECT count(*), count(missing) FROM file"
        ).fetchone()
        files_of_it = {self.file, *self.folder.glob("*")}
        size = sum(path.stat().st_size for path in files_of_it if path.is_file())
        models = tuple(self.models())
        rows = {row.id: parts.stored_rows(self.database, row.id) for row in models}
        divided = {row.id: tiles.stored_tiles(self.database, row.id) for row in models}
        return Info(str(self.file), files, missing, size, models, rows, divided)

    def files(self) -> Iterator[tuple[Path, str]]:
        """The picture files that are there, as far as a model could read them.

        Yields
        ------
        path : Path
            Of the file.
        content : str
            32 hex digits of the SHA-256 of what was in it when it was looked at.
        """
        for name, content in pictures.files(self.database):
            yield self.root / name, content

    def has(self, encoder: Encoder) -> bool:
        """Whether just this model, with its precision and `exact`, has encoded pictures here.

        Parameters
        ----------
        encoder : Encoder
            The model.

        Returns
        -------
        bool
            False also where it has a row, and no pictures.
        """
        row = model_rows.find_row(self.database, model_rows.key_of(encoder))
        query = "SELECT 1 FROM picture WHERE model = ? LIMIT 1"
        return self.database.execute(query, (row,)).fetchone() is not None

    def view(
        self, model: str | Path | int | LoadOptions | Encoder | Classifier | None = None
    ) -> IndexView:
        """The index as one model sees it.

        Parameters
        ----------
        model : str, Path, int, LoadOptions, Encoder or Classifier, optional
            A model's name, the id of a row of `models`, what loads a model, or a loaded one: that
            one and no other. None: the only model there is, or the latest.

        Returns
        -------
        IndexView
            It loads the model when it needs it, and never for stored embeddings.

        Raises
        ------
        StoreError
            When no model, or not this one, has encoded the pictures.

        Examples
        --------
        >>> index.view()                                               # doctest: +SKIP
        IndexView('/home/me/photos', model='fast (int8)', 1200 pictures)
        """
        if isinstance(model, (Encoder, Classifier)):
            classifier = model if isinstance(model, Classifier) else Classifier(model)
            row = self._row_of(classifier.encoder)
            if row is None:
                raise not_encoded(self.root, self.models(), classifier.model.name)
            return IndexView(self, row, classifier.options, classifier)
        if isinstance(model, int):
            rows = [row for row in self.models() if row.id == model]
            if not rows:
                raise not_encoded(self.root, self.models(), f"row {model}")
            return IndexView(self, rows[0], model_rows.options_of(rows[0], {}))
        return self.view_with(_overrides(model))[0]

    def view_with(self, overrides: Mapping[str, Any]) -> tuple[IndexView, list[ModelRow]]:
        """The view of the model that options choose, and the others that they fit.

        Parameters
        ----------
        overrides : mapping
            Fields of `LoadOptions` that are not to be as recorded: model, revision, precision and
            exact choose a row of `models`; the others load its model.

        Returns
        -------
        view : IndexView
            Of the latest row that fits.
        others : list of ModelRow
            The other rows that fit.

        Raises
        ------
        StoreError
            When no such model has encoded the pictures.
        """
        rows = model_rows.select(self.models(), overrides)
        if not rows:
            raise not_encoded(self.root, self.models(), overrides.get("model", ""))
        row = model_rows.preferred(rows)
        view = IndexView(self, row, model_rows.options_of(row, overrides))
        return view, [other for other in rows if other != row]

    def _row_of(self, encoder: Encoder) -> ModelRow | None:
        row_id = model_rows.find_row(self.database, model_rows.key_of(encoder))
        return next((row for row in self.models() if row.id == row_id), None)

    def export(self, path: Path) -> int:
        """Write every file that is there, a row for each model, to a .parquet file.

        Columns: path, content (hex, the first half of the sha256), bytes, modified_ns, width,
        height, taken, model, revision, fingerprint, precision, embedding (list of float32) or
        error.

        Parameters
        ----------
        path : Path
            Of the file, written whole or not at all.

        Returns
        -------
        int
            How many rows.

        Raises
        ------
        MissingExtraError
            Without pyarrow (the extra `parquet`).
        """
        return write_parquet(self.database, path)

    def address(self, name: str) -> str | Path:
        """What opens a picture of the index: `open_image` takes it, and `unseen.classify`.

        Parameters
        ----------
        name : str
            As the index has it, such as one of `Hit.paths`.

        Returns
        -------
        str or Path
            An address as it is; else an absolute path, which may be one in an archive, a table or a
            document: `/photos/shard.tar!/a.jpg`.
        """
        return resolve(name, self.root)

    def metadata(self, name: str) -> Metadata:
        """What is known of a picture from the archive or table that it lies in.

        Parameters
        ----------
        name : str
            As the index has it.

        Returns
        -------
        mapping
            Such as the other columns of its row; empty for a file of a folder.
        """
        return rows.metadata(self.database, name) if rows.there(self.database) else {}

    def path(self, name: str) -> Path:
        """Where a file of the index is; `address` knows those that are no files, too.

        Parameters
        ----------
        name : str
            A path as the index has it, such as one of `Hit.paths`.

        Returns
        -------
        Path
            Absolute.
        """
        return self.root / name

    def name(self, path: str | Path) -> str:
        """What a file is called in the index.

        Parameters
        ----------
        path : str or Path
            Of the file.

        Returns
        -------
        str
            Relative to the folder of the index, with /, where it is below it; else absolute.
        """
        return key_of(Path(path), self.root)


def _overrides(model: str | Path | LoadOptions | None) -> dict[str, Any]:
    if isinstance(model, LoadOptions):
        return vars(model)
    return {} if model is None else {"model": str(model)}


def _reopened(root: Path, file: Path) -> Index:
    """The index that was pickled."""
    return Index(root, create=False, file=file)


def _files(paths: Iterable[Path]) -> Iterator[str]:
    for path in paths:
        if is_video(path) and path.is_file():
            continue  # its frames are rows
        try:
            yield from image_names(path)
        except SourceError:
            if path.is_dir():
                continue  # empty: what was in it is missing
            raise
