"""What the model looked at: maps of a picture's labels, by the model that proposed them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unseen.annotation.training_set import teacher_of
from unseen.errors import LabelError, ModelError
from unseen.labels.compiled import CompiledLabels
from unseen.web.explaining import Explaining, ExplainOptions, body
from unseen.web.problems import Problem

CACHE_BYTES = 32 * 1024 * 1024


class Explanations:
    """Explains pictures of a labelling. For one thread; the model is loaded when first asked.

    Parameters
    ----------
    manifest : mapping
        `Labelling.manifest`: which model made the proposals, and how.
    labels : CompiledLabels, optional
        `Labelling.label_set`: with which labels.
    """

    def __init__(self, manifest: Mapping[str, Any], labels: CompiledLabels | None) -> None:
        self._manifest = manifest
        self._labels = labels
        self._loaded: tuple[Explaining, CompiledLabels, str] | None = None

    def of(self, content: bytes, name: str, label: str | None) -> dict[str, Any]:
        """Why a picture has a label, and the maps of all labels.

        Parameters
        ----------
        content : bytes
            Of the file.
        name : str
            What it is called.
        label : str, optional
            The label of the sentence; by default the best.

        Returns
        -------
        dict
            Plain data for JSON, as `POST /v1/explain` answers it.

        Raises
        ------
        Problem
            409: the model is not here any more, or cannot be explained.
        UnseenError
            The picture cannot be read.
        """
        if self._loaded is None:
            self._loaded = self._load()
        explaining, labels, method = self._loaded
        options = ExplainOptions(label, extras=(), all_labels=True)
        try:
            explained = explaining.explained(content, name, labels, options, method)
        except LabelError as error:  # one that was added in the review
            raise Problem(409, str(error), code="cannot_be_explained") from None
        return body(explained, labels, picture_map="none")

    def _load(self) -> tuple[Explaining, CompiledLabels, str]:
        if self._labels is None:
            raise Problem(
                409,
                "these proposals were made by an earlier version: run `unseen label` again.",
                code="cannot_be_explained",
            )
        try:
            classifier = teacher_of(self._manifest, {})
            explainer = classifier.explainer()
        except ModelError as error:
            raise Problem(409, str(error), code="cannot_be_explained") from None
        labels = self._labels.for_model(classifier.model)
        return Explaining(explainer, CACHE_BYTES), labels, explainer.own_record().method
