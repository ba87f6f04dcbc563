"""Why a model was wrong: a map for each of its worst mistakes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from PIL import Image

from unseen.classifier import Classifier
from unseen.errors import LabelError, UnseenError
from unseen.labels.compiled import CompiledLabels

if TYPE_CHECKING:
    from unseen.explanation.explanation import Explanation
    from unseen.index.encoding import StageProgress

SIDE = 480  # pixels of a drawing: some dozen are in a page
QUALITY = 80
STAGE = "mistakes"  # of the progress


def explain_mistakes(
    classifier: Classifier,
    compiled: CompiledLabels,
    mistakes: Sequence[dict[str, Any]],
    progress: StageProgress | None = None,
) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Why each picture was taken for what it is not: the label that was said, against the true one.

    Parameters
    ----------
    classifier : Classifier
        Whose mistakes they are.
    compiled : CompiledLabels
        Its labels.
    mistakes : sequence of dict
        `path`, `said` and `true`, as `Answers.mistakes` gives them.
    progress : callable, optional
        Called with ``"mistakes"``, how many are done, and of how many.

    Returns
    -------
    mistakes : list of dict
        With `why`: the sentence of trust and the notes, what the map shows in words, and what it
        is against.
    drawings : dict of str to bytes
        Path → a JPEG of the map on the picture; not where no map of the model earned trust.

    Raises
    ------
    ModelError
        The model cannot be explained by place.
    """
    explainer = classifier.explainer()
    method = explainer.own_record().method if mistakes else "none"
    explained, drawings = [], {}
    for number, mistake in enumerate(mistakes):
        if progress is not None:
            progress(STAGE, number, len(mistakes))
        label, true = mistake["said"], mistake["true"]
        against = true[0] if len(true) == 1 and true[0] != label else None
        picture = explainer.parts_encoder.open(mistake["path"])
        if isinstance(picture, UnseenError):
            explained.append(mistake)
            continue
        small = picture.image.copy()
        small.thumbnail((SIDE, SIDE), Image.Resampling.BICUBIC)
        try:
            explanation = explainer.explain_opened(
                replace(picture, image=small), compiled, label, against, method=method, extras=()
            )
        except LabelError:  # what was said is none of the labels: "unknown"
            explained.append(mistake)
            continue
        explanation = replace(explanation, source=mistake["path"])
        explained.append(mistake | {"why": _why(explanation)})
        if explanation.scores is not None:
            drawings[mistake["path"]] = _jpeg(explanation)
    return explained, drawings


def _why(explanation: Explanation) -> dict[str, Any]:
    return {
        "against": explanation.against,
        "method": explanation.method,
        "sentence": explanation.sentence,
        "notes": [] if explanation.scores is None else [*explanation.notes],
        "alt": explanation.alt_text,
    }


def _jpeg(explanation: Explanation) -> bytes:
    file = io.BytesIO()
    explanation.to_image().save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
