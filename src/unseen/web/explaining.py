"""Explanations for pages: rows of the last pictures stay, and maps are given as base64."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.errors import UnseenError
from unseen.explanation.explainer import CONCEPTS, WORDS, Explainer
from unseen.explanation.explanation import AUTO, NONE, Explanation
from unseen.system.digest import sha256
from unseen.system.lru import ByteLRU

if TYPE_CHECKING:
    from unseen.explanation.parts import OpenedPicture, PictureParts
    from unseen.labels.compiled import CompiledLabels
    from unseen.types import Floats

MOST_WORDS = 16  # of a prompt: each is left out once, which is a text to encode
MAP_SIDE = 256  # of the longer side: a map is smooth, of some hundred cells


@dataclass(frozen=True)
class ExplainOptions:
    """What of a picture is explained.

    Parameters
    ----------
    for_, against : str, optional
        As of `Explainer.contrast`.
    method : str
        ``auto``, ``parts`` or ``drop``.
    extras : sequence of str
        Of ``words``, ``concepts`` and ``counterfactual``.
    all_labels : bool
        Whether the maps of all labels are wanted.
    """

    for_: str | None = None
    against: str | None = None
    method: str = AUTO
    extras: Sequence[str] = (WORDS, CONCEPTS)
    all_labels: bool = False


@dataclass(frozen=True)
class Explained:
    """An explanation, and the maps of all labels as (labels, cells) where they were wanted."""

    explanation: Explanation
    maps: Floats | None
    warnings: tuple[str, ...] = ()


class Explaining:
    """Explains pictures that come as bytes. For one thread.

    Parameters
    ----------
    explainer : Explainer
        Whose networks are used.
    cache_bytes : int
        Of the rows and pictures that stay.
    on_look : callable, optional
        Called with whether a picture's rows were there.
    """

    def __init__(
        self,
        explainer: Explainer,
        cache_bytes: int,
        on_look: Callable[[bool], None] | None = None,
    ) -> None:
        self.explainer = explainer
        self._rows: ByteLRU[tuple[bytes, str], tuple[OpenedPicture, PictureParts]] = ByteLRU(
            cache_bytes, _bytes_of, keep_last=True
        )
        self._on_look = on_look

    def explained(
        self,
        content: bytes | memoryview,
        name: str,
        compiled: CompiledLabels,
        options: ExplainOptions,
        method: str,
    ) -> Explained:
        """Why a picture has its label.

        Parameters
        ----------
        content : bytes or memoryview
            Of the file.
        name : str
            What it is called.
        compiled : CompiledLabels
            The labels.
        options : ExplainOptions
            What is explained.
        method : str
            ``parts``, ``drop`` or ``none``: `options.method`, chosen.

        Returns
        -------
        Explained

        Raises
        ------
        UnseenError
            The picture cannot be read, or a label is not among the labels.
        """
        opened, rows = self._opened(content, method)
        contrast = self.explainer.contrast(compiled, rows.embedding, options.for_, options.against)
        extras, warnings = list(options.extras), []
        prompts = compiled.prompts[contrast.label]
        if WORDS in extras and prompts and len(prompts[0].split()) > MOST_WORDS:
            extras.remove(WORDS)
            warnings.append(f"The prompt has more than {MOST_WORDS} words: they are not weighed.")
        explanation = self.explainer.explain_opened(
            opened,
            compiled,
            options.for_,
            options.against,
            method=method,
            extras=extras,
            rows=rows,
        )
        maps = None
        if options.all_labels and method != NONE:
            directions = (compiled.matrix - contrast.rival) * np.float32(compiled.score.scale)
            maps = rows.scores(directions)
        return Explained(replace(explanation, source=name), maps, tuple(warnings))

    def _opened(
        self, content: bytes | memoryview, method: str
    ) -> tuple[OpenedPicture, PictureParts]:
        """A picture and its rows, of the last ones without a network. UnseenError."""
        key = sha256([content]), method
        known = self._rows.get(key)
        if self._on_look is not None:
            self._on_look(known is not None)
        if known is not None:
            return known
        opened = self.explainer.parts_encoder.open(content)
        if isinstance(opened, UnseenError):
            raise opened
        entry = opened, self.explainer.rows_of(opened, method)
        self._rows.put(key, entry)
        return entry


def body(explained: Explained, compiled: CompiledLabels, *, picture_map: str) -> dict[str, Any]:
    """The fields `explanation`, `map` and `maps`; no names of other pictures.

    Parameters
    ----------
    explained : Explained
        What `Explaining.explained` gave.
    compiled : CompiledLabels
        Its labels.
    picture_map : str
        ``float16``, ``png`` or ``none``.

    Returns
    -------
    dict
        Plain data for JSON.
    """
    explanation = explained.explanation
    fields = {k: v for k, v in explanation.to_dict().items() if k != "neighbours"}
    return {
        "explanation": fields | {"alt": explanation.alt_text},
        "map": _map(explanation, picture_map),
        "maps": _maps(explained, compiled),
    }


def _map(explanation: Explanation, kind: str) -> dict[str, Any] | None:
    geometry, scores = explanation.geometry, explanation.scores
    if kind == "none" or geometry is None or scores is None:
        return None
    if kind == "png":
        drawn = explanation.to_image()
        file = io.BytesIO()
        drawn.save(file, "PNG")
        return _numbers("png", drawn.size, file.getvalue())
    scale = min(1.0, MAP_SIDE / max(geometry.size))
    width, height = (max(1, round(side * scale)) for side in geometry.size)
    values = geometry.map(scores, (width, height))
    return _numbers("float16", (width, height), values.astype("<f2").tobytes())


def _numbers(kind: str, size: tuple[int, int], content: bytes) -> dict[str, Any]:
    data = base64.b64encode(content).decode("ascii")
    return {"format": kind, "width": size[0], "height": size[1], "data": data}


def _maps(explained: Explained, compiled: CompiledLabels) -> dict[str, Any] | None:
    geometry = explained.explanation.geometry
    if explained.maps is None or geometry is None:
        return None
    rows, columns = geometry.grid
    numbers = np.clip(explained.maps, -65504, 65504).astype("<f2")
    return {
        "labels": [label.name for label in compiled.labels],
        "rows": rows,
        "columns": columns,
        "data": base64.b64encode(numbers.tobytes()).decode("ascii"),
    }


def _bytes_of(entry: tuple[OpenedPicture, PictureParts]) -> int:
    opened, rows = entry
    pixels = opened.pixels if isinstance(opened.pixels, tuple) else (opened.pixels,)
    image = 3 * opened.image.width * opened.image.height
    return rows.rows.nbytes + image + sum(array.nbytes for array in pixels)
