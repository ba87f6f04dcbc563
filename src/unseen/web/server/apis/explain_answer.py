"""An explanation as the body of an answer: maps as base64, and no names of other pictures."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np

from unseen.labels.compiled import CompiledLabels
from unseen.web.server.core.explain_service import Explained

MAP_SIDE = 256  # of the longer side: a map is smooth, of some hundred cells


def of(explained: Explained, compiled: CompiledLabels, *, picture_map: str) -> dict[str, Any]:
    """The fields `explanation`, `map` and `maps`.

    Parameters
    ----------
    explained : Explained
        What the service gave.
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
        "map": _map(explained, picture_map),
        "maps": _maps(explained, compiled),
    }


def _map(explained: Explained, kind: str) -> dict[str, Any] | None:
    explanation = explained.explanation
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
