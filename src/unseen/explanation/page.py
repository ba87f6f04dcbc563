"""Explanations as a page to look at, and as files beside it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from unseen.explanation.explanation import Explanation
from unseen.pages import Card, explanations

QUALITY = 85  # of a JPEG; a map is smooth
COARSE = (
    "A region comes from a map as coarse as the patches of the net: use it to crop, to blur and to "
    "pre-label, not as a measured outline."
)


NOTE = (
    "Red speaks for the label, blue against it. Where there are lines, the net did not look. Read "
    "the sentence beside a map before you believe it."
)


def write_page(path: Path, title: str, explained: Iterable[Explanation], note: str = NOTE) -> None:
    """Write a page of explanations, whole or not at all.

    Parameters
    ----------
    path : Path
        The file.
    title, note : str
        What stands above.
    explained : iterable of Explanation
        Taken one after another; their pictures are not kept.
    """
    explanations(path, title, map(card, explained), note=note)


def card(explanation: Explanation) -> Card:
    """An explanation as the page shows it.

    Parameters
    ----------
    explanation : Explanation
        With its picture, or an error.

    Returns
    -------
    Card
    """
    if explanation.error is not None or explanation.picture is None:
        return Card(explanation.source, error=explanation.error or "its picture is not at hand.")
    return Card(
        explanation.source,
        explanation.label or "",
        explanation.against,
        explanation.probability or 0.0,
        explanation.sentence,
        explanation.alt_text,
        _jpeg(explanation.to_image()),
        _jpeg(explanation.picture),
        lines(explanation),
        [(word.word, word.score) for word in explanation.words],
        [(concept.concept, concept.weight) for concept in explanation.concepts],
        [(f"{n.label}: {n.name}", n.share) for n in explanation.neighbours],
    )


def lines(explanation: Explanation) -> list[str]:
    """What is to be said beside the sentence of trust, a sentence each.

    Parameters
    ----------
    explanation : Explanation
        Of a picture that could be read.

    Returns
    -------
    list of str
    """
    result = []
    change = explanation.counterfactual
    if change is not None:
        result.append(
            f"Without {change.cells} of its places ({change.share:.0%}) the answer is "
            f"{change.label}, {change.probability:.0%}."
        )
    shown = () if explanation.scores is None else explanation.notes
    return [*result, *shown]


def coco(explained: Sequence[Explanation]) -> dict[str, Any]:
    """The boxes of the labels' regions as a COCO data set.

    Parameters
    ----------
    explained : sequence of Explanation
        Pictures without a map have no boxes.

    Returns
    -------
    dict
        Plain data for JSON: https://cocodataset.org/#format-data.
    """
    labels = sorted({e.label for e in explained if e.label is not None})
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, explanation in enumerate(explained, 1):
        if explanation.geometry is None or explanation.label is None:
            continue
        width, height = explanation.geometry.size
        images.append(
            {"id": number, "file_name": explanation.source, "width": width, "height": height}
        )
        for box in explanation.boxes():
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": labels.index(explanation.label) + 1,
                    "bbox": list(box),
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": i, "name": name} for i, name in enumerate(labels, 1)]
    return {
        "info": {"description": COARSE},
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }


def mask_image(explanation: Explanation) -> Image.Image:
    """The label's region in white on black, in the pixels of the original.

    Parameters
    ----------
    explanation : Explanation
        With a map; all is black where nothing speaks for the label.

    Returns
    -------
    PIL.Image.Image
        Of the mode "L".

    Raises
    ------
    ValueError
        If there is no map.
    """
    if explanation.geometry is None or explanation.scores is None:
        raise ValueError(explanation.sentence)
    region = explanation.mask()
    if region is None:
        return Image.new("L", explanation.geometry.size, 0)
    return Image.fromarray(region).convert("L")


def _jpeg(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.convert("RGB").save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
