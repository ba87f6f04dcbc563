"""Explains pictures with a classifier's encoder: rows once, then any label by a dot product."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

import numpy as np

from unseen.encoder import Encoder
from unseen.errors import LabelError, ModelError, UnseenError
from unseen.explanation.concepts import concepts
from unseen.explanation.counterfactual import counterfactual
from unseen.explanation.explanation import (
    AUTO,
    DROP,
    METHODS,
    NONE,
    PARTS,
    Explanation,
)
from unseen.explanation.masking import Masking, drop_rows
from unseen.explanation.neighbours import Examples, neighbours, of_adapter
from unseen.explanation.parts import OpenedPicture, PartsEncoder, PictureParts
from unseen.explanation.trust import (
    RANDOM,
    Curve,
    Record,
    curve,
    masked_embeddings,
    record,
    remembered,
)
from unseen.explanation.words import words
from unseen.labels.compile import compile_labels
from unseen.labels.compiled import CompiledLabels
from unseen.labels.label_set import LabelSet
from unseen.labels.templates import fill
from unseen.load_options import PRECISIONS
from unseen.models.reference_outputs import picture_files
from unseen.prediction import everyday_words, score
from unseen.prediction.open_set import embeddings_of_nothing
from unseen.sources.expand import expand

if TYPE_CHECKING:
    from unseen.types import Floats, Progress, Sources

FEW_LABELS = 5  # with fewer, the contrast is the mean of everyday concepts
CONTRAST_CONCEPTS = 64  # of those concepts, evenly chosen: ten do as well as eighty
RECORD_PICTURES = 20  # at most, that choose the method of a checkpoint
RECORD_SECONDS, LEAST_PICTURES = (
    20.0,
    4,
)  # after which it is chosen; pictures, where there are so many
WORDS, CONCEPTS, COUNTERFACTUAL = "words", "concepts", "counterfactual"
EXTRAS = (WORDS, CONCEPTS, COUNTERFACTUAL)  # what costs more than the map


@dataclass(frozen=True, eq=False)
class Contrast:
    """What a label is explained by: the direction of its vector from that of its rivals.

    Parameters
    ----------
    label, against : int, int or None
        Rows of the labels; `against` is None for the mean of the rivals.
    direction : float32 array (d,)
        (label − rival) · scale: the product with an embedding is a difference of logits.
    rival : float32 array (d,)
        The vector that is taken off.
    """

    label: int
    against: int | None
    direction: Floats
    rival: Floats


class Explainer:
    """Explains the predictions of an encoder. It holds the networks: keep it.

    Parameters
    ----------
    encoder : Encoder
        Whose predictions are explained.

    Raises
    ------
    ModelError
        If its image net cannot be explained by place, in one line.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.parts_encoder = PartsEncoder(encoder)
        self._record: Record | None = None

    @cached_property
    def masking(self) -> Masking:
        """Encodes pictures without some of their places."""
        return Masking(self.encoder, self.parts_encoder.grid)

    def warm_up(self) -> None:
        """Loads and compiles what an explanation needs, and encodes the concepts."""
        picture = self.parts_encoder.open(picture_files()[0])
        assert isinstance(picture, OpenedPicture)
        compiled = compile_labels(self.encoder, self._own_labels)
        self.explain_opened(picture, compiled, extras=(CONCEPTS,))

    def contrast(
        self,
        compiled: CompiledLabels,
        embedding: Floats,
        for_: str | None = None,
        against: str | None = None,
    ) -> Contrast:
        """What is explained of a picture.

        Parameters
        ----------
        compiled : CompiledLabels
            The labels.
        embedding : float32 array (d,)
            Of the picture.
        for_ : str, optional
            The label; by default the best that is not background.
        against : str, optional
            Another label; by default the mean of all of them, or of everyday concepts where they
            are fewer than five.

        Returns
        -------
        Contrast

        Raises
        ------
        LabelError
            If one of them is not among the labels, or both are the same.
        """
        label = _place(compiled, for_)
        if label is None:
            similar = compiled.similarities(embedding[None])[0].copy()
            if not compiled.background_mask.all():
                similar[compiled.background_mask] = -np.inf
            label = int(np.argmax(similar))
        rival_label = _place(compiled, against)
        if rival_label == label:
            raise LabelError(
                f"{compiled.labels[label].name!r} cannot be explained against itself; name another "
                "label, or leave against out."
            )
        if rival_label is not None:
            rival = compiled.matrix[rival_label]
        else:
            rival = self._rival_mean(compiled)
        direction = (compiled.matrix[label] - rival) * np.float32(compiled.score.scale)
        return Contrast(label, rival_label, direction, rival)

    def check_labels(self, compiled: CompiledLabels, for_: str | None, against: str | None) -> None:
        """LabelError where one of them is not among the labels."""
        _place(compiled, for_)
        _place(compiled, against)

    def _rival_mean(self, compiled: CompiledLabels) -> Floats:
        few = len(compiled.labels) < FEW_LABELS
        if few and compiled.adapted is None and not self.encoder.model.labels:
            return self._concept_mean
        return np.asarray(compiled.matrix.mean(0), dtype=np.float32)

    @cached_property
    def _concept_mean(self) -> Floats:
        template = self.encoder.model.template
        texts = [fill(template, name) for name in _some_concepts()]
        return np.asarray(self.encoder.encode_texts(texts).mean(0), dtype=np.float32)

    # which method

    def record(
        self,
        compiled: CompiledLabels,
        open_pictures: Callable[[], Sequence[OpenedPicture]] = tuple,
        progress: Progress | None = None,
    ) -> Record:
        """Which method explains this checkpoint: measured once, and remembered.

        Parameters
        ----------
        compiled : CompiledLabels
            Labels, of which each picture's best is explained.
        open_pictures : callable
            Gives pictures of the collection, of which up to 18 are used beside two that ship with
            the package, as many as 20 seconds allow; called where there is no record yet.
        progress : callable, optional
            Called with the pictures done, and how many there are.

        Returns
        -------
        Record
        """

        def measure() -> list[Mapping[str, Curve]]:
            bundled = [self.parts_encoder.open(content) for content in picture_files()]
            pictures = [p for p in bundled if isinstance(p, OpenedPicture)]
            pictures += open_pictures()[: RECORD_PICTURES - len(pictures)]
            rows: list[Mapping[str, Curve]] = []
            end = time.monotonic() + RECORD_SECONDS
            for number, picture in enumerate(pictures):
                if len(rows) >= LEAST_PICTURES and time.monotonic() > end:
                    break
                if progress is not None:
                    progress(number, len(pictures))
                curves = self._curves(compiled, picture, number)
                if curves:
                    rows.append(curves)
            return rows

        self._record = record(self.encoder.model.fingerprint, measure)
        return self._record

    def own_record(self) -> Record:
        """`record` where there is no collection: of the pictures that ship with the package, and of
        the labels of the model, or else everyday concepts.

        Returns
        -------
        Record
        """
        return self.record(compile_labels(self.encoder, self._own_labels))

    @property
    def _own_labels(self) -> LabelSet:
        return LabelSet.from_data([*(self.encoder.model.labels or _some_concepts())])

    def _curves(
        self, compiled: CompiledLabels, picture: OpenedPicture, seed: int
    ) -> Mapping[str, Curve]:
        """Deletion and insertion of each method, and of a random map, on a picture's best label;
        empty where nothing speaks for it."""
        (parts,) = self.parts_encoder.parts([picture])
        contrast = self.contrast(compiled, parts.embedding)
        curves = {}
        for method in (PARTS, DROP, RANDOM) if self.masking.has_tokens else (PARTS, RANDOM):
            if method == RANDOM:
                scores = np.random.default_rng(seed).random(picture.geometry.cells, np.float32)
            else:
                (scores,) = self.rows(picture, parts, method).scores(contrast.direction)
            result = curve(self.masking, picture, scores, parts.embedding, contrast.direction)
            if result is not None:
                curves[method] = result
        return curves

    def rows_of(self, picture: OpenedPicture, method: str) -> PictureParts:
        """The rows of a picture by a method, from its pixels; by ``parts`` where that is ``none``.

        Parameters
        ----------
        picture : OpenedPicture
            The picture.
        method : str
            ``parts``, ``drop`` or ``none``.

        Returns
        -------
        PictureParts

        Raises
        ------
        ModelError
            As `rows`.
        """
        (parts,) = self.parts_encoder.parts([picture])
        return parts if method == NONE else self.rows(picture, parts, method)

    def rows(self, picture: OpenedPicture, parts: PictureParts, method: str) -> PictureParts:
        """The rows of a picture by a method.

        Parameters
        ----------
        picture : OpenedPicture
            The picture.
        parts : PictureParts
            Its rows by ``parts``.
        method : str
            ``parts`` or ``drop``.

        Returns
        -------
        PictureParts

        Raises
        ------
        ModelError
            If the image net has no tokens to drop.
        """
        if method == PARTS:
            return parts
        if not self.masking.has_tokens:
            raise ModelError(
                f"{self.encoder.model.name}: its image net has no tokens to drop; choose the "
                "method parts or auto."
            )
        rows = drop_rows(self.masking, picture, parts.embedding)
        return replace(parts, rows=rows, exact=False)

    # explanations

    def explain_many(
        self,
        sources: Sources,
        compiled: CompiledLabels,
        for_: str | None = None,
        against: str | None = None,
        *,
        method: str = AUTO,
        extras: Sequence[str] = EXTRAS,
        examples: Examples | None = None,
        mean_picture: Floats | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Explanation]:
        """An explanation of each picture, in order.

        Parameters
        ----------
        sources : Sources
            Any source or sources.
        compiled : CompiledLabels
            The labels.
        for_, against : str, optional
            As of `contrast`.
        method : str
            ``auto``, ``parts`` or ``drop``.
        extras : sequence of str
            Of ``words``, ``concepts`` and ``counterfactual``.
        examples : Examples, optional
            Labelled pictures that neighbours are taken from.
        mean_picture : float32 array (d,), optional
            The mean of a collection, for concepts; by default that of pictures of nothing and of
            two that ship with the package.
        progress : callable, optional
            As of `record`.

        Yields
        ------
        Explanation
            With an error for a picture that cannot be read.

        Raises
        ------
        LabelError, ModelError
            If a label is not among them, or the method is unknown or not for this model.
        """
        _check_method(method)
        self.check_labels(compiled, for_, against)
        items = expand(sources)
        if method == AUTO:
            first = list(islice(items, RECORD_PICTURES))

            def open_pictures() -> list[OpenedPicture]:
                pictures = [self.parts_encoder.open(item.content) for item in first]
                return [p for p in pictures if isinstance(p, OpenedPicture)]

            method = self.record(compiled, open_pictures, progress).method
            items = chain(first, items)
        for item in items:
            picture = self.parts_encoder.open(item.content)
            if isinstance(picture, UnseenError):
                yield Explanation(item.name, error=str(picture), meta=item.meta)
                continue
            explanation = self.explain_opened(
                picture,
                compiled,
                for_,
                against,
                method=method,
                extras=extras,
                examples=examples,
                mean_picture=mean_picture,
            )
            yield replace(explanation, source=item.name, meta=item.meta)

    def explain_opened(
        self,
        picture: OpenedPicture,
        compiled: CompiledLabels,
        for_: str | None = None,
        against: str | None = None,
        *,
        method: str = PARTS,
        extras: Sequence[str] = EXTRAS,
        examples: Examples | None = None,
        mean_picture: Floats | None = None,
        rows: PictureParts | None = None,
    ) -> Explanation:
        """The explanation of a picture that was read.

        Parameters
        ----------
        picture : OpenedPicture
            What `PartsEncoder.open` gave.
        compiled, for_, against, extras, examples, mean_picture
            As of `explain_many`.
        method : str
            ``parts``, ``drop``, or ``none``: no map.
        rows : PictureParts, optional
            The picture's rows by this method, where they are known.

        Returns
        -------
        Explanation
            Its `source` is empty.
        """
        parts = rows or self.rows_of(picture, method)
        contrast = self.contrast(compiled, parts.embedding, for_, against)
        explanation = self.from_rows(parts, compiled, contrast, method=method)
        explanation = replace(explanation, picture=picture.image)
        if method != NONE:
            explanation = self._checked(
                explanation, picture, parts.embedding, compiled, contrast, extras
            )
        return replace(
            explanation,
            **self._more(parts.embedding, compiled, contrast, extras, mean_picture),
            neighbours=of_adapter(parts.embedding, compiled)
            if examples is None
            else neighbours(parts.embedding, examples),
        )

    def from_rows(
        self,
        parts: PictureParts,
        compiled: CompiledLabels,
        contrast: Contrast,
        *,
        method: str = PARTS,
    ) -> Explanation:
        """The map of a label from rows that are known: no network runs.

        Parameters
        ----------
        parts : PictureParts
            The rows of a picture, such as an index keeps.
        compiled : CompiledLabels
            The labels.
        contrast : Contrast
            What `contrast` gave.
        method : str
            By which method the rows were made; ``none``: no map.

        Returns
        -------
        Explanation
            Without trust, which needs the picture.
        """
        label = compiled.labels[contrast.label].name
        against = None if contrast.against is None else compiled.labels[contrast.against].name
        (probabilities,) = _probabilities(parts.embedding[None], compiled)
        explanation = Explanation(
            "",
            label,
            against,
            float(probabilities[contrast.label]),
            method,
            geometry=parts.geometry,
            notes=self._notes(parts, compiled, method),
        )
        if method == NONE:
            return explanation
        (scores,) = parts.scores(contrast.direction)
        total = float(parts.embedding @ contrast.direction)
        coverage = float(scores.sum()) / total if total > 0 else None
        return replace(explanation, exact=parts.exact, scores=scores, coverage=coverage)

    def _notes(self, parts: PictureParts, compiled: CompiledLabels, method: str) -> tuple[str, ...]:
        notes = []
        if method == NONE:
            notes.append("This model cannot be explained by place: no map of it earned trust.")
        elif method == PARTS and not parts.exact:
            notes.append("The map is the first order of a net whose places do not add up.")
        caution = None if method == NONE else self._caution(method)
        if caution is not None:
            notes.append(caution)
        precision = PRECISIONS[self.encoder.options.precision][0]
        if precision in ("int8", "auto"):
            notes.append(f"The {precision} net is explained through its fp32 original.")
        if compiled.adapted is not None and compiled.adapted.cache is not None:
            notes.append("The examples of the adapter count in the answer, and not in the map.")
        cropped = parts.geometry.cropped
        if cropped > 0.005:
            notes.append(f"The net did not see {cropped:.0%} of the picture (hatched).")
        return tuple(notes)

    def _caution(self, method: str) -> str | None:
        """What maps of a method do not say on this model, where that was measured: now, or before
        (a method may be named, and rows come from an index)."""
        if self._record is None:
            self._record = remembered(self.encoder.model.fingerprint)
        return None if self._record is None else self._record.caution(method)

    def _checked(
        self,
        explanation: Explanation,
        picture: OpenedPicture,
        embedding: Floats,
        compiled: CompiledLabels,
        contrast: Contrast,
        extras: Sequence[str],
    ) -> Explanation:
        """With the figures of trust, and the counterfactual."""
        scores = explanation.scores
        assert scores is not None
        masked = masked_embeddings(self.masking, picture, scores)
        without, only = _probabilities(masked, compiled)[:, contrast.label]
        explanation = replace(explanation, without=float(without), only=float(only))
        names = [label.name for label in compiled.labels]

        def answers(embeddings: Floats) -> list[tuple[str, float]]:
            rows = _probabilities(embeddings, compiled)
            return [(names[int(row.argmax())], float(row.max())) for row in rows]

        is_answer = answers(embedding[None])[0][0] == explanation.label
        if COUNTERFACTUAL not in extras or not is_answer:
            return explanation
        change = counterfactual(self.masking, picture, scores, names[contrast.label], answers)
        return replace(explanation, counterfactual=change)

    def _more(
        self,
        embedding: Floats,
        compiled: CompiledLabels,
        contrast: Contrast,
        extras: Sequence[str],
        mean_picture: Floats | None,
    ) -> dict[str, Any]:
        """Words and concepts: of a model that encodes any text."""
        more: dict[str, Any] = {}
        if self.encoder.model.labels:
            return more
        prompts = compiled.prompts[contrast.label]
        if WORDS in extras and prompts:
            more["words"] = words(self.encoder, prompts[0], embedding, contrast.rival)
        if CONCEPTS in extras:
            mean = self._mean_picture if mean_picture is None else mean_picture
            more["concepts"], more["concept_fit"] = concepts(
                embedding, mean, self._vocabulary, everyday_words.concepts()
            )
        return more

    @cached_property
    def _vocabulary(self) -> Floats:
        template = self.encoder.model.template
        names = everyday_words.concepts()
        return self.encoder.encode_texts([fill(template, name) for name in names])

    @cached_property
    def _mean_picture(self) -> Floats:
        pictures = self.encoder.encode_images([*picture_files()])
        rows = np.concatenate([embeddings_of_nothing(self.encoder), pictures])
        return np.asarray(rows.mean(0), dtype=np.float32)


def _probabilities(embeddings: Floats, compiled: CompiledLabels) -> Floats:
    """(n, d) → (n, k): of every label, background too."""
    return score.single_label(compiled.similarities(embeddings), compiled.score)


def _some_concepts() -> Sequence[str]:
    names = everyday_words.concepts()
    return names[:: max(1, len(names) // CONTRAST_CONCEPTS)]


def _place(compiled: CompiledLabels, name: str | None) -> int | None:
    """The row of a label; None for None. LabelError for a name that is not among them."""
    if name is None:
        return None
    names = [label.name for label in compiled.labels]
    if name not in names:
        some = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise LabelError(f"{name!r} is not among the labels; choose one of: {some}.")
    return names.index(name)


def _check_method(method: str) -> None:
    if method not in METHODS:
        raise ModelError(f"unknown method {method!r}; choose one of: {', '.join(METHODS)}.")
