"""Labelled pictures → embeddings, each picture once; from an index where there is one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.datasets.annotation import Annotation
from unseen.datasets.content import content_digest
from unseen.encoder import Encoded, Encoder
from unseen.index.index import Index
from unseen.index.location import find
from unseen.index.stored import covers, refresh
from unseen.types import Floats
from unseen.video.classification import clip_embedding

StageProgress = Callable[[str, int, int], None]  # pictures, prompts or folds; done, of how many


@dataclass(frozen=True)
class EncodedPictures:
    """Embeddings of pictures, in the order in which they were given.

    Parameters
    ----------
    embeddings : float32 array (n, d)
        Rows of length 1; zeros where a picture could not be read.
    errors : dict of int to str
        Row → why the picture could not be read.
    index : Path, optional
        The folder of the index that the embeddings come from; None: from the pictures themselves.
    """

    embeddings: Floats
    errors: dict[int, str]
    index: Path | None = None

    @property
    def readable(self) -> NDArray[np.intp]:
        """The rows of the pictures that could be read."""
        rows = np.arange(len(self.embeddings))
        return rows[~np.isin(rows, [*self.errors])]


def encode_annotations(
    encoder: Encoder,
    annotations: Sequence[Annotation],
    source: Any = None,
    *,
    use_index: bool = True,
    batch_size: int | None = None,
    progress: StageProgress | None = None,
) -> EncodedPictures:
    """Encode annotated pictures.

    Parameters
    ----------
    encoder : Encoder
        Of the model.
    annotations : sequence of Annotation
        The pictures, n of them.
    source : str, Path, or anything else
        What the annotations were read from. The index that is looked for is that of this folder,
        or of the folder of this file.
    use_index : bool
        Take embeddings from an index in which this model has looked at pictures. Files that are new
        or changed there are encoded, and kept in the index.
    batch_size : int, optional
        Pictures that the network takes at once.
    progress : callable, optional
        Called with ``"pictures"``, how many are done, and of how many.

    Returns
    -------
    EncodedPictures
        A row for each picture; those that cannot be read are in its `errors`.
    """
    pictures: dict[int, Encoded] = {}
    root = None
    if use_index and isinstance(source, (str, Path)):
        root, pictures = _from_index(encoder, annotations, Path(source), progress)
    rest = [row for row in range(len(annotations)) if row not in pictures]
    videos = [row for row in rest if annotations[row].is_video]
    rest = [row for row in rest if not annotations[row].is_video] + videos
    stream = chain(
        encoder.stream_images(
            (annotations[row].source for row in rest[: len(rest) - len(videos)]),
            batch_size=batch_size,
        ),
        (clip_embedding(encoder, annotations[row].path, batch_size=batch_size) for row in videos),
    )
    for done, (row, encoded) in enumerate(zip(rest, stream, strict=True), 1):
        pictures[row] = encoded
        if progress is not None:
            progress("pictures", done, len(rest))
    embeddings = np.zeros((len(annotations), encoder.model.dimension), dtype=np.float32)
    errors = {}
    for row in range(len(annotations)):
        encoded = pictures[row]
        if encoded.embedding is None:
            errors[row] = str(encoded.error)
        else:
            embeddings[row] = encoded.embedding
    return EncodedPictures(embeddings, errors, root)


def content_digests(
    encoder: Encoder, annotations: Sequence[Annotation], index: Path | None = None
) -> list[str | None]:
    """What annotated pictures are known by, wherever they lie: as `datasets.content` has it.

    Parameters
    ----------
    encoder : Encoder
        Of the model.
    annotations : sequence of Annotation
        The pictures.
    index : Path, optional
        The folder of the index that their embeddings came from; no file that it has is opened.

    Returns
    -------
    list of str or None
        One for each picture.
    """
    known: dict[str, str] = {}
    names: list[str] = [""] * len(annotations)
    if index is not None:
        with Index(index, create=False) as opened:
            names = [opened.name(annotation.path) for annotation in annotations]
            contents = opened.view(encoder).contents()
            known = {path: content.id.hex() for content in contents for path in content.paths}
    return [
        known.get(name) or content_digest(annotation.source.content)
        for name, annotation in zip(names, annotations, strict=True)
    ]


def _from_index(
    encoder: Encoder,
    annotations: Sequence[Annotation],
    source: Path,
    progress: StageProgress | None,
) -> tuple[Path | None, dict[int, Encoded]]:
    """The folder of the index, and the rows of the pictures that it has."""
    folder = source if source.is_dir() else source.parent
    root = find(folder)
    if root is None:
        return None, {}
    # Of a table only the files that it names are looked at, not all that lie beside it.
    files = [annotation.path for annotation in annotations if annotation.path.is_file()]
    if not files:
        return None, {}
    scope = [folder] if source.is_dir() else files
    with Index(root, create=False) as index:
        if not covers(index, encoder, scope):
            return None, {}
        refresh(
            index,
            encoder,
            scope,
            progress=None if progress is None else lambda *done: progress("pictures", *done),
        )
        by_name = {encoded.name: encoded for encoded in index.view(encoder).encoded()}
        names = [index.name(annotation.path) for annotation in annotations]
    return root, {row: by_name[name] for row, name in enumerate(names) if name in by_name}
