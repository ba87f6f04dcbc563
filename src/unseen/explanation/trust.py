"""How far a map is to be believed: places are taken away, and the net is asked again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unseen.explanation.explanation import DROP, NONE, PARTS
from unseen.explanation.geometry import Geometry
from unseen.explanation.masking import Masking
from unseen.explanation.parts import OpenedPicture
from unseen.system import cache
from unseen.types import Floats

MARKED = 0.1  # of the places: what the sentence takes away
SHARES = (1 / 16, 1 / 8, 1 / 4, 3 / 8, 1 / 2)  # of the places: deletion and insertion
# A method is drawn where insertion less deletion is so much above that of random maps: what is left
# of a picture with holes in it depends on the net, and random maps show how much (about -0.3 on the
# drawn shapes, -0.6 on photographs of the built-in model). A gap below 0 alone does not speak
# against a map: the built-in model's is -0.2, and yet it shows the right one of four places for
# .70. It says that the map is no measure of how much, and notes tell that (`Record.caution`).
LEAST_GAP = 0.1
RANDOM = "random"
# Pictures: of fewer it is not remembered that no method is drawn. One picture's gap has a deviation
# of 0.4 (built-in, photographs), so four refuse a map that earns 0.4 in 5 % of draws, six in 2 %.
SURE = 6
VERSION = 1  # of the record
FILE = "method.json"


def order(geometry: Geometry, scores: Floats) -> NDArray[np.int64]:
    """The cells in the picture, by what the map says there, the most first.

    Parameters
    ----------
    geometry : Geometry
        Where the cells lie.
    scores : float32 array (cells,)
        What each says.

    Returns
    -------
    int array
        Cells in the padding are not among them.
    """
    values = np.where(geometry.inside, geometry.at_cells(scores), -np.inf)
    return np.asarray(np.argsort(-values, kind="stable")[: int(geometry.inside.sum())])


def marked(geometry: Geometry, scores: Floats) -> NDArray[np.int64]:
    """The tenth of the cells of which the map says most; one at least."""
    cells = order(geometry, scores)
    return cells[: max(1, round(MARKED * len(cells)))]


def masked_embeddings(masking: Masking, picture: OpenedPicture, scores: Floats) -> Floats:
    """The embeddings of a picture without its marked tenth, and with only it.

    Parameters
    ----------
    masking : Masking
        Encodes them.
    picture : OpenedPicture
        The picture.
    scores : float32 array (cells,)
        What each place says.

    Returns
    -------
    float32 array (2, d)
    """
    only = np.zeros(picture.geometry.cells, dtype=bool)
    only[marked(picture.geometry, scores)] = True
    if only.all():  # one cell is all there is
        only = only & False
    return masking.embeddings(picture.pixels, np.stack([~only, only]))


@dataclass(frozen=True)
class Curve:
    """Of one map: the share of the contrast that is left, the mean of several amounts.

    `deletion`: without the places of which the map says most; `insertion`: with only them.
    """

    deletion: float
    insertion: float

    @property
    def gap(self) -> float:
        """Insertion less deletion: of a map that knows nothing, what random maps have."""
        return self.insertion - self.deletion


def curve(
    masking: Masking,
    picture: OpenedPicture,
    scores: Floats,
    embedding: Floats,
    direction: Floats,
) -> Curve | None:
    """Deletion and insertion of a map (Petsiuk et al. 2018, arXiv:1806.07421, by places).

    Parameters
    ----------
    masking : Masking
        Encodes the picture without some of its places.
    picture : OpenedPicture
        The picture.
    scores : float32 array (cells,)
        What each place says.
    embedding : float32 array (d,)
        Of the whole picture.
    direction : float32 array (d,)
        The contrast: a label's vector less that of its rivals.

    Returns
    -------
    Curve or None
        None where nothing speaks for the label, as there is no share of nothing.
    """
    contrast = float(embedding @ direction)
    if contrast <= 0:
        return None
    cells = order(picture.geometry, scores)
    visible = np.ones((2 * len(SHARES), picture.geometry.cells), dtype=bool)
    for row, share in enumerate(SHARES):
        top = cells[: max(1, round(share * len(cells)))]
        visible[row, top] = False
        visible[len(SHARES) + row] = False
        visible[len(SHARES) + row, top] = True
    shares = masking.embeddings(picture.pixels, visible) @ direction / contrast
    return Curve(float(shares[: len(SHARES)].mean()), float(shares[len(SHARES) :].mean()))


@dataclass(frozen=True)
class Record:
    """Which method explains a checkpoint: the one with the larger mean gap, if that is enough
    above the gap of random maps.

    Parameters
    ----------
    method : str
        ``parts``, ``drop``, or ``none`` where neither earns trust.
    gaps : mapping of str to float
        The mean gap of each method, and of random maps.
    pictures : int
        On how many pictures it was measured.
    """

    method: str
    gaps: Mapping[str, float]
    pictures: int

    def caution(self, method: str) -> str | None:
        """What a map of a method does not say, a sentence with the figures.

        Parameters
        ----------
        method : str
            ``parts`` or ``drop``.

        Returns
        -------
        str or None
            None where the places that it marks hold more of the answer than the rest does, and
            where it was not measured.
        """
        gap, control = self.gaps.get(method), self.gaps.get(RANDOM)
        if gap is None or control is None:
            return None
        figures = f"(insertion less deletion {gap:.2f}; of random maps {control:.2f})"
        if gap - control < LEAST_GAP:
            return (
                f"Maps by {method} did not earn trust on this model {figures}: do not rely on it."
            )
        if gap <= 0:
            return (
                "The map shows where, not how much: with this model, the places that are marked "
                f"hold less of the answer than the rest {figures}."
            )
        return None


def record(key: str, measure: Callable[[], Sequence[Mapping[str, Curve]]]) -> Record:
    """The record of a checkpoint: measured once, and kept in the cache.

    Parameters
    ----------
    key : str
        The fingerprint of the checkpoint.
    measure : callable
        Gives the curves of each picture, by method; called where there is no record yet. That no
        method earns trust is remembered of six pictures or more.

    Returns
    -------
    Record
    """

    def make(folder: Path) -> None:
        measured = _chosen(measure())
        if measured.method == NONE and measured.pictures < SURE:
            raise _Unsure(measured)
        (folder / FILE).write_text(json.dumps(asdict(measured)), "utf-8")

    try:
        folder = cache.intact_folder(_folder_key(key), make)
    except _Unsure as unsure:
        return unsure.record
    return _read(folder)


def remembered(key: str) -> Record | None:
    """The record of a checkpoint, where one was kept; nothing is measured."""
    folder = cache.kept_folder(_folder_key(key))
    return None if folder is None else _read(folder)


def _folder_key(key: str) -> str:
    return f"{key}-explained-v{VERSION}"


def _read(folder: Path) -> Record:
    return Record(**json.loads((folder / FILE).read_text("utf-8")))


def _chosen(curves: Sequence[Mapping[str, Curve]]) -> Record:
    if not curves:
        return Record(NONE, {}, 0)
    names = [name for name in (PARTS, DROP, RANDOM) if name in curves[0]]
    gaps = {name: float(np.mean([row[name].gap for row in curves])) for name in names}
    best = max((name for name in names if name != RANDOM), key=gaps.__getitem__)
    method = best if gaps[best] - gaps[RANDOM] >= LEAST_GAP else NONE
    return Record(method, gaps, len(curves))


class _Unsure(Exception):  # noqa: N818 - it is no error
    """Few pictures speak against both methods: that is not remembered."""

    def __init__(self, record: Record) -> None:
        self.record = record
