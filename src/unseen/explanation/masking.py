"""A picture without some of its places, encoded: what a map claims is held against that.

A transformer loses the tokens: nobody attends to them. A net without tokens gets the picture's own
blur there. Neither paints the places grey: grey is an object, too.

What is lost with each window of places is a map of its own (`drop_rows`): slower than the parts,
and another definition. Every label is answered by the same rows, as the loss is a vector.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from unseen.encoder import Encoder
from unseen.explanation.parts import OpenedPicture, compiled
from unseen.models.inputs import PictureArrays
from unseen.models.towers import ARCHITECTURES
from unseen.types import Floats

BLUR = 1 / 16  # of the side: the deviation of the blur
BATCH = 16  # masked pictures that a net takes at once
# Sides of a grid up to this many cells → (side of a window, stride).
WINDOWS = ((8, 2, 1), (23, 3, 2))
LARGE_WINDOW = (4, 3)


class Masking:
    """Encodes a picture without some of its places.

    Parameters
    ----------
    encoder : Encoder
        Whose image net encodes.
    grid : (int, int)
        Rows and columns of places of one view.
    """

    def __init__(self, encoder: Encoder, grid: tuple[int, int]) -> None:
        self._encoder = encoder
        self._grid = grid
        architecture = ARCHITECTURES[encoder.model.image_tower.kind]
        self.has_tokens = architecture.masked is not None
        self._network = compiled(encoder, "masked" if self.has_tokens else "image")

    def embeddings(self, pixels: PictureArrays, visible: NDArray[np.bool_]) -> Floats:
        """The embeddings of a picture of which only some places are visible.

        Parameters
        ----------
        pixels : ndarray or tuple of ndarray
            As of `OpenedPicture`.
        visible : bool array (m, cells)
            Which cells are there, m times.

        Returns
        -------
        float32 array (m, d)
        """
        encode = self._without_tokens if self.has_tokens else self._with_blur
        starts = range(0, len(visible), BATCH)
        return np.concatenate([encode(pixels, visible[i : i + BATCH]) for i in starts])

    @cached_property
    def _tokens(self) -> int:
        """How many the net has, a class token among them."""
        count = self._encoder.model.masked_network().inputs[-1].shape[1]
        assert count is not None
        return count

    def _without_tokens(self, pixels: PictureArrays, masks: NDArray[np.bool_]) -> Floats:
        inputs = self._encoder.model.image_inputs([pixels] * len(masks))
        mask = np.ones((len(masks), self._tokens), dtype=np.int64)
        mask[:, self._tokens - masks.shape[1] :] = masks  # a class token comes first
        return self._network(*inputs, mask)

    def _with_blur(self, pixels: PictureArrays, masks: NDArray[np.bool_]) -> Floats:
        assert isinstance(pixels, np.ndarray)
        views = pixels if pixels.ndim == 4 else pixels[None]
        side = max(views.shape[1:3])
        blurred = np.stack([_blurred(view, side * BLUR) for view in views])
        pictures = []
        for mask in masks:
            cells = mask.reshape(len(views), *self._grid)
            shown = np.stack([_enlarged(c, views.shape[1:3]) for c in cells])
            picture = np.where(shown[..., None], views, blurred)
            pictures.append(picture if pixels.ndim == 4 else picture[0])
        return self._network(*self._encoder.model.image_inputs(pictures))


def _blurred(view: NDArray[np.uint8], deviation: float) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(view).filter(ImageFilter.GaussianBlur(deviation)))


def _enlarged(cells: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.bool_]:
    """Cells (rows, columns) → pixels (height, width)."""
    (rows, columns), (height, width) = cells.shape, size
    y = np.arange(height) * rows // height
    x = np.arange(width) * columns // width
    return np.asarray(cells[y[:, None], x[None, :]])


def windows(grid: tuple[int, int]) -> NDArray[np.bool_]:
    """Overlapping square windows that cover a grid.

    Parameters
    ----------
    grid : (int, int)
        Rows and columns.

    Returns
    -------
    bool array (windows, rows · columns)
        Which cells each window covers.

    Examples
    --------
    >>> windows((8, 8)).shape
    (49, 64)
    >>> int(windows((14, 14)).sum(0).min())
    1
    """
    rows, columns = grid
    side, stride = next(
        ((side, stride) for most, side, stride in WINDOWS if max(grid) <= most), LARGE_WINDOW
    )
    covers = []
    for top in _starts(rows, side, stride):
        for left in _starts(columns, side, stride):
            cover = np.zeros(grid, dtype=bool)
            cover[top : top + side, left : left + side] = True
            covers.append(cover.ravel())
    return np.stack(covers)


def _starts(size: int, side: int, stride: int) -> list[int]:
    """Where windows begin along a side; the last ends where the side does."""
    last = max(0, size - side)
    return sorted({*range(0, last, stride), last})


def drop_rows(masking: Masking, picture: OpenedPicture, embedding: Floats) -> Floats:
    """What goes with each place, as rows that answer any label.

    Parameters
    ----------
    masking : Masking
        Encodes the picture without its windows.
    picture : OpenedPicture
        The picture; of one view.
    embedding : float32 array (d,)
        Of the whole picture.

    Returns
    -------
    float32 array (cells, d)
    """
    gone = windows(picture.geometry.grid)
    lost = embedding - masking.embeddings(picture.pixels, ~gone)  # (windows, d)
    share = gone / gone.sum(1, keepdims=True)  # of a window's loss, to each of its cells
    weights = share / gone.sum(0)  # windows overlap
    return np.asarray(weights.T.astype(np.float32) @ lost)
