"""An index → labelled pictures: the labels of a review, or of the folders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from unseen.datasets import labelling_file
from unseen.datasets.annotation import Annotation
from unseen.datasets.content import content_digest
from unseen.errors import SourceError


def annotations_of(root: Path, files: Iterable[tuple[Path, str]]) -> list[Annotation]:
    """The pictures of the index of a folder: with the labels that people gave in the review of the
    folder, or else of the folders that they lie in. Copies are one picture.

    `files`: each with the digest of its content, as of `Index.files`. Raises SourceError where no
    picture has a label.
    """
    labelling = labelling_file.labelling_of(root)
    reviewed = (
        {} if labelling is None else {p.id: p.label for p in labelling_file.reviewed(labelling)}
    )
    annotations: dict[str, Annotation] = {}
    for path, content in files:
        labels = _of_folder(path, root)
        if reviewed:
            labels = (reviewed[content],) if content in reviewed else ()
        known = annotations.get(content, Annotation(path, ()))
        merged = tuple(dict.fromkeys([*known.labels, *labels]))
        annotations[content] = replace(known, labels=merged)
    if reviewed:  # a person decided about a content, and the file may have another by now
        annotations = {c: a for c, a in annotations.items() if not a.labels or _has(a.path, c)}
    if not any(annotation.labels for annotation in annotations.values()):
        raise SourceError(
            f"{root}: its index has {len(annotations)} pictures, and none of them has a "
            "label: nobody has reviewed one (unseen label), and none lies in a folder of its own."
        )
    return [*annotations.values()]


def _of_folder(path: Path, root: Path) -> Iterable[str]:
    """The label that its first folder below the index's stands for, as of `read_annotations`."""
    inside = path.relative_to(root).parts if path.is_relative_to(root) else ()
    return (" ".join(inside[0].replace("_", " ").split()),) if len(inside) > 1 else ()


def _has(path: Path, content: str) -> bool:
    return content_digest(path) == content
