"""Pictures and their overlapping tiles → embeddings; memory is bounded as without tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unseen.encoder import Encoded, Encoder, Picture, Tiles, map_ahead, read_pixels
from unseen.errors import ImageError, UnseenError, without_frames
from unseen.images.open import open_image, read_content, upright_size
from unseen.images.tiling import PixelBox, check_tiling, net_side, tile_boxes
from unseen.sources.expand import expand
from unseen.sources.item import Source, name_of
from unseen.system.cpu import usable
from unseen.system.digest import sha256

if TYPE_CHECKING:
    from PIL import Image

    from unseen.types import Floats, Sources

READERS = 8  # pictures whose tiles wait at once, at most: each may be some ten megabytes
JPEG = b"\xff\xd8"

View = Picture | UnseenError | None


def stream_tiles(
    encoder: Encoder,
    sources: Sources,
    tiling: str,
    *,
    batch_size: int | None = None,
    whole: bool = True,
) -> Iterator[Encoded]:
    """The embeddings of each picture and of its tiles, in order.

    Whole pictures and tiles go through the network in batches of the same bound as without tiles.
    Each tile is cached on disk by the content of its picture and its box.

    Parameters
    ----------
    encoder : Encoder
        Of the model.
    sources : Sources
        Any source or sources, as `unseen.sources.expand.expand` takes them.
    tiling : str
        ``auto``, ``2x2``, ``3x3`` or ``pyramid``.
    batch_size : int, optional
        Pictures and tiles that the network takes at once. None: as many as suit the model.
    whole : bool
        Encode the whole pictures, too; else `Encoded.embedding` is None.

    Returns
    -------
    iterator of Encoded
        With `tiles`, or with an error for a picture that cannot be read.

    Raises
    ------
    ImageError
        For another tiling.
    """
    check_tiling(tiling)
    reader = TileReader(encoder, tiling, whole, encoder.can_cache())
    return _stream(encoder, reader, sources, batch_size)


@dataclass(frozen=True)
class TiledPicture:
    """A picture that was read.

    Parameters
    ----------
    source : Source
        The picture.
    boxes : tuple of PixelBox
        Of its tiles.
    views : sequence of Picture, UnseenError or None
        The whole, or None where it is not to be encoded; then the tiles. Or the error alone.
    """

    source: Source
    boxes: tuple[PixelBox, ...]
    views: Sequence[View]


@dataclass(frozen=True)
class TileReader:
    """Opens pictures and cuts them; its fields are the arguments of `stream_tiles`."""

    encoder: Encoder
    tiling: str
    whole: bool
    cached: bool

    def __call__(self, source: Source) -> TiledPicture:
        """A picture and its tiles: the embedding of each where it is cached, else its pixels.

        Tiles are cut from the picture as it is, decoded in full. The whole of it is what the
        network takes without tiles.
        """
        try:
            boxes, views = self._read(source)
            return TiledPicture(source, boxes, views)
        except UnseenError as error:
            return TiledPicture(source, (), [without_frames(error)])
        except MemoryError:
            name = name_of(source.content, 0)
        too_large = ImageError(f"{name}: not enough memory to cut it into tiles.")
        return TiledPicture(source, (), [too_large])

    def _read(self, source: Source) -> tuple[tuple[PixelBox, ...], Sequence[View]]:
        content = read_content(source.content, limits=self.encoder.limits)
        digest = sha256([content]) if content is not None and self.cached else None
        if content is not None and digest is not None:
            complete = self._all_cached(content, digest)
            if complete is not None:
                return complete
        image = open_image(source.content, limits=self.encoder.limits, content=content)
        boxes = tile_boxes(image.size, self.tiling, net_side(self.encoder.model.preprocess))
        views: list[View] = [self._whole(image, content, digest) if self.whole else None]
        views += (self._tile(image, box, digest) for box in boxes)
        return boxes, views

    def _all_cached(
        self, content: bytes | memoryview, digest: bytes
    ) -> tuple[tuple[PixelBox, ...], Sequence[View]] | None:
        """The embeddings of the whole and of all tiles, where nothing needs to be decoded."""
        whole = self.encoder.cached(digest) if self.whole else None
        if self.whole and whole is None:
            return None
        try:
            size = upright_size(content, self.encoder.limits)
        except UnseenError:
            return None  # opening it says what is wrong
        boxes = tile_boxes(size, self.tiling, net_side(self.encoder.model.preprocess))
        views = [self.encoder.cached(tile_key(digest, box)) for box in boxes]
        return None if None in views else (boxes, [whole, *views])

    def _whole(
        self, image: Image.Image, content: bytes | memoryview | None, digest: bytes | None
    ) -> Picture:
        cached = None if digest is None else self.encoder.cached(digest)
        if cached is not None:
            return cached
        preprocess = self.encoder.model.preprocess
        if content is None or self.encoder.exact or bytes(content[:2]) != JPEG:
            return Picture(preprocess(image), content=digest)
        # Without tiles a JPEG is decoded at a fraction of its size: the same pixels here.
        pixels = read_pixels(content, preprocess, limits=self.encoder.limits, content=content)
        if isinstance(pixels, UnseenError):
            raise pixels
        return Picture(pixels, content=digest)

    def _tile(self, image: Image.Image, box: PixelBox, digest: bytes | None) -> Picture:
        key = None if digest is None else tile_key(digest, box)
        cached = None if key is None else self.encoder.cached(key)
        return cached or Picture(self.encoder.model.preprocess(image.crop(box)), content=key)


def tile_key(digest: bytes, box: PixelBox) -> bytes:
    """What the embedding of a tile is cached under: its picture's SHA-256, and its box."""
    return sha256([digest, f"tile {box}".encode()])


def _stream(
    encoder: Encoder, reader: TileReader, sources: Sources, batch_size: int | None
) -> Iterator[Encoded]:
    workers = min(usable(), READERS)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="unseen-tiles")

    def views() -> Iterator[tuple[TiledPicture, View]]:
        for picture in map_ahead(pool, reader, expand(sources), workers + 1):
            for view in picture.views:
                yield picture, view

    rows: list[Floats | UnseenError | None] = []
    try:
        for picture, row in encoder.stream(views(), lambda view: view, batch_size=batch_size):
            rows.append(row)
            if len(rows) == len(picture.views):
                yield _encoded(picture, rows, encoder.model.dimension)
                rows = []
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _encoded(
    picture: TiledPicture, rows: Sequence[Floats | UnseenError | None], dimension: int
) -> Encoded:
    source, (whole, *rest) = picture.source, rows
    if isinstance(whole, UnseenError):
        return Encoded(source.name, None, whole, source.meta)
    embeddings = np.array(rest, dtype=np.float32).reshape(len(rest), dimension)
    return Encoded(source.name, whole, None, source.meta, Tiles(picture.boxes, embeddings))
