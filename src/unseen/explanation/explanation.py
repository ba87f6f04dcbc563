"""Why a picture has a label, as data: a map with a figure of trust, words, concepts, neighbours."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.explanation.geometry import Geometry

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL import Image

    from unseen.types import Floats, Metadata

PARTS, DROP, NONE = "parts", "drop", "none"
AUTO = "auto"
METHODS = (AUTO, PARTS, DROP)
LITTLE = 0.25  # of the contrast: what a map accounts for that is not to be relied on


@dataclass(frozen=True)
class Word:
    """A word of a prompt, and what it adds to the contrast, in cosine."""

    word: str
    score: float


@dataclass(frozen=True)
class Concept:
    """A word of the general vocabulary, and its weight in the picture."""

    concept: str
    weight: float


@dataclass(frozen=True)
class Neighbour:
    """A labelled picture that is near, its cosine, and its share of what the neighbours say."""

    name: str
    label: str
    cosine: float
    share: float


@dataclass(frozen=True)
class Counterfactual:
    """The fewest places, in the order of the map, without which the answer is another.

    Parameters
    ----------
    cells : int
        How many.
    share : float
        Of the places in the picture.
    label : str
        The answer without them, as the net gives it.
    probability : float
        Of that answer.
    """

    cells: int
    share: float
    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Explanation:
    """Why a picture has a label, and how far to believe it.

    Parameters
    ----------
    source : str
        The name of the picture.
    label : str, optional
        What is explained; None after an error.
    against : str, optional
        What it is explained against; None: the mean of the labels.
    probability : float, optional
        Of the label, for the whole picture.
    method : str
        ``parts``, ``drop``, or ``none`` where no map of the model earned trust.
    exact : bool
        Whether the places add up to the embedding exactly.
    scores : float32 array (cells,), optional
        What each place adds to the label's logit over the contrast.
    geometry : Geometry, optional
        Where the places lie in the original.
    coverage : float, optional
        The share of the contrast that the places account for; None where there is none.
    without, only : float, optional
        The label's probability without the marked tenth of the places, and with only it.
    words : tuple of Word
        What the words of the prompt carry.
    concepts : tuple of Concept
        The words of a general vocabulary that make up the picture.
    concept_fit : float, optional
        The cosine of these to the picture; concepts below 0.3 are not given.
    neighbours : tuple of Neighbour
        The nearest labelled pictures, where an index or an adapter has some.
    counterfactual : Counterfactual, optional
        The fewest places without which the answer is another.
    notes : tuple of str
        What else is to be known, a sentence each.
    error : str, optional
        Why the picture could not be read.
    meta : mapping
        The metadata of the source.
    picture : PIL.Image.Image, optional
        The picture, at most 1,024 pixels a side; `to_image` draws on it.
    """

    source: str
    label: str | None = None
    against: str | None = None
    probability: float | None = None
    method: str = NONE
    exact: bool = False
    scores: Floats | None = None
    geometry: Geometry | None = None
    coverage: float | None = None
    without: float | None = None
    only: float | None = None
    words: tuple[Word, ...] = ()
    concepts: tuple[Concept, ...] = ()
    concept_fit: float | None = None
    neighbours: tuple[Neighbour, ...] = ()
    counterfactual: Counterfactual | None = None
    notes: tuple[str, ...] = ()
    error: str | None = None
    meta: Metadata = field(default_factory=dict)
    picture: Image.Image | None = field(default=None, repr=False)

    @property
    def ok(self) -> bool:
        """Whether the picture could be read."""
        return self.error is None

    @cached_property
    def map(self) -> Floats | None:
        """What each pixel of the original says: float32 (height, width), positive for the label and
        negative against it, in logits a place; 0 where the net did not look. None without a map."""
        if self.scores is None or self.geometry is None:
            return None
        return self.geometry.map(self.scores)

    @property
    def cropped(self) -> float:
        """The share of the picture's area that the net did not see."""
        return 0.0 if self.geometry is None else self.geometry.cropped

    @property
    def sentence(self) -> str:
        """How far to believe the map, in one or two sentences."""
        if self.error is not None:
            return self.error
        if self.scores is None:
            return f"{self.label}: there is no map of it. {' '.join(self.notes)}".strip()
        parts = []
        if None not in (self.probability, self.without, self.only):
            parts.append(
                f"Without the marked tenth: {self.label} {self.probability:.0%} → "
                f"{self.without:.0%}; with only it: {self.only:.0%}."
            )
        rival = "the others" if self.against is None else self.against
        if self.coverage is not None:
            parts.append(
                f"The map accounts for {self.coverage:.0%} of what speaks for {self.label} rather "
                f"than {rival}{'' if self.coverage >= LITTLE else ': do not rely on it'}."
            )
        else:
            parts.append(f"Nothing speaks for {self.label} rather than {rival}.")
        return " ".join(parts)

    def mask(self) -> NDArray[np.bool_] | None:
        """The label's region: where the map is above Otsu's threshold. Coarse.

        Returns
        -------
        bool array (height, width) or None
            In pixels of the original; None without a map, or where nothing speaks for the label.
        """
        from unseen.explanation.regions import mask  # noqa: PLC0415 - only where it is wanted

        if self.scores is None or self.geometry is None:
            return None
        return mask(self.geometry.map(self.scores))

    def boxes(self) -> list[tuple[int, int, int, int]]:
        """The boxes of the regions of `mask`, the largest first. Coarse.

        Returns
        -------
        list of (x, y, width, height)
            In pixels of the original, as COCO has them.
        """
        from unseen.explanation.regions import boxes  # noqa: PLC0415

        region = self.mask()
        return [] if region is None else boxes(region)

    def to_image(self) -> Image.Image:
        """The picture in grey with the map on it, and a scale.

        Red speaks for the label, blue against it; where the net did not look there are lines.

        Returns
        -------
        PIL.Image.Image
            RGB, at most 1,024 pixels a side, and the scale below.

        Raises
        ------
        ValueError
            If the picture could not be read.
        """
        from unseen.explanation.drawing import draw  # noqa: PLC0415

        if self.picture is None:
            raise ValueError(self.error or f"{self.source}: its picture is not at hand.")
        return draw(self.picture, self.geometry, self.scores)

    @property
    def alt_text(self) -> str:
        """What the drawing shows, for those who do not see it."""
        if self.scores is None or self.geometry is None:
            return f"{self.source}, without a map."
        x, y = self.geometry.centres[int(np.argmax(self.scores))]
        across = "left" if x < self.geometry.size[0] / 3 else "middle"
        across = "right" if x > self.geometry.size[0] * 2 / 3 else across
        down = "top" if y < self.geometry.size[1] / 3 else "middle"
        down = "bottom" if y > self.geometry.size[1] * 2 / 3 else down
        place = across if down == across else f"{down} {across}"
        return f"Map of {self.source}: most speaks for {self.label} at the {place}."

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON.

        Returns
        -------
        dict
            `grid` has the scores of each view, row after row; `boxes` where the views lie in
            pixels of the original (left, top, right, bottom), and `size` its width and height.
        """
        if self.error is not None:
            return {"source": self.source, "error": self.error, **_meta(self.meta)}
        plain: dict[str, Any] = {
            "source": self.source,
            "label": self.label,
            "against": self.against,
            "probability": self.probability,
            "method": self.method,
            "exact": self.exact,
            "sentence": self.sentence,
            "coverage": self.coverage,
            "without": self.without,
            "only": self.only,
            "cropped": self.cropped,
            "words": [{"word": w.word, "score": w.score} for w in self.words],
            "concepts": [{"concept": c.concept, "weight": c.weight} for c in self.concepts],
            "concept_fit": self.concept_fit,
            "neighbours": [dict(vars(n)) for n in self.neighbours],
            "counterfactual": None if self.counterfactual is None else vars(self.counterfactual),
            "notes": list(self.notes),
            **_meta(self.meta),
        }
        if self.geometry is not None:
            plain["size"] = list(self.geometry.size)
            plain["boxes"] = [list(box) for box in self.geometry.boxes]
        if self.scores is not None and self.geometry is not None:
            views = self.scores.reshape(len(self.geometry.boxes), *self.geometry.grid)
            plain["grid"] = [[[round(float(v), 6) for v in row] for row in view] for view in views]
        return plain

    def __repr__(self) -> str:
        if self.error is not None:
            return f"Explanation({self.source!r}, error={self.error!r})"
        rival = "" if self.against is None else f", against={self.against!r}"
        return f"Explanation({self.source!r}, {self.label!r}{rival}, method={self.method!r})"

    def _repr_html_(self) -> str:
        """The drawing, the sentence and the notes, as a notebook shows them."""
        from unseen.pages.html import data_uri  # noqa: PLC0415
        from unseen.pages.notebook import text  # noqa: PLC0415

        if self.picture is None:
            return f"<p>{text(self.sentence)}</p>"
        file = io.BytesIO()
        self.to_image().save(file, "PNG")
        caption = self.sentence if self.scores is None else " ".join([self.sentence, *self.notes])
        return (
            f'<figure><img style="max-width:100%" alt="{text(self.alt_text)}" '
            f'src="{data_uri(file.getvalue())}"><figcaption>{text(caption)}</figcaption>'
            "</figure>"
        )


def _meta(meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"meta": dict(meta)} if meta else {}
