"""A picture without some of its places, encoded: what a map claims is held against that.

A transformer loses the tokens: nobody attends to them. A net without tokens gets the picture's own
blur there. Neither paints the places grey: grey is an object, too.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from unseen.encoder import Encoder
from unseen.explanation.parts import compiled
from unseen.models.inputs import PictureArrays
from unseen.models.towers import ARCHITECTURES
from unseen.types import Floats

BLUR = 1 / 16  # of the side: the deviation of the blur
BATCH = 16  # masked pictures that a net takes at once


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
