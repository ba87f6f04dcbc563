"""The whole of a picture and its tiles: one logit for each label, and the view that says most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from unseen.prediction.score import log_sum_exp

if TYPE_CHECKING:
    from unseen.encoder import Tiles
    from unseen.images.tiling import PixelBox
    from unseen.types import Floats, Indices


@dataclass(frozen=True, eq=False)
class Views:
    """The m views of n pictures: of each the whole, and then its tiles.

    Parameters
    ----------
    embeddings : float32 array (m, d)
        Rows of length 1.
    wholes : int array (n,)
        The row of the whole of each picture.
    boxes : sequence of PixelBox or None
        Of each view; None for a whole.
    """

    embeddings: Floats
    wholes: Indices
    boxes: Sequence[PixelBox | None]

    @classmethod
    def of(cls, embeddings: Floats, tiles: Sequence[Tiles | None]) -> Views:
        """The views of pictures whose wholes and tiles are encoded.

        Parameters
        ----------
        embeddings : float32 array (n, d)
            Of the whole pictures.
        tiles : sequence of Tiles or None
            Of each picture.

        Returns
        -------
        Views
        """
        rows: list[Floats] = []
        boxes: list[PixelBox | None] = []
        wholes = []
        for whole, own in zip(embeddings, tiles, strict=True):
            wholes.append(len(boxes))
            rows.append(whole[None])
            boxes.append(None)
            if own is not None:
                rows.append(own.embeddings)
                boxes += own.boxes
        return cls(np.concatenate(rows), np.array(wholes, dtype=np.int64), boxes)

    def best(self, logits: Floats) -> Indices:
        """The view that speaks most for each label: the whole where a tile says no more.

        Parameters
        ----------
        logits : float32 array (m, k)
            Of each view and label.

        Returns
        -------
        int array (n, k)
            Rows of the views.
        """
        return np.array([start + logits[start:end].argmax(0) for start, end in self._spans()])

    def pooled(self, logits: Floats) -> Floats:
        """The log of the mean over the views of exp(logit), for each label.

        That is the likelihood of a label of which nobody knows in which view it is. A label that
        one of m views shows loses log m to one that all of them show, so that more tiles make few
        more false alarms; docs/tiles.md has what else was tried.

        Parameters
        ----------
        logits : float32 array (m, k)
            Of each view and label.

        Returns
        -------
        float32 array (n, k)
        """
        pooled = [
            log_sum_exp(logits[start:end].T) - np.log(end - start) for start, end in self._spans()
        ]
        return np.array(pooled, dtype=np.float32)

    def _spans(self) -> list[tuple[int, int]]:
        """The first row of each picture, and that of the next."""
        starts = self.wholes.tolist()
        return list(zip(starts, [*starts[1:], len(self.boxes)], strict=True))
