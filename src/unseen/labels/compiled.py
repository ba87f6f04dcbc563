"""A label set encoded for one model: a matrix and its facts, in memory and in one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import LabelError
from unseen.labels.example_cache import Cache
from unseen.labels.label_set import UNKNOWN, Label
from unseen.models.model import Model, Score
from unseen.system.safetensors_file import FileFormat
from unseen.types import Floats

FILE_FORMAT = FileFormat("unseen-labels-1", "compiled label set")


@dataclass(frozen=True, eq=False)
class Adapted:
    """What an adapter changed beside rows of the matrix and the score: see `Adapter`."""

    adapter: str  # which
    cache: Cache | None = None


@dataclass(frozen=True, eq=False)
class CompiledLabels:
    """A label set encoded for one model, and the score that gives its matrix a meaning.

    It is tied to the model whose fingerprint it carries: any other model refuses it.

    Attributes
    ----------
    labels : tuple of Label
        k labels, background labels among them.
    prompts : tuple of tuple of str
        The prompts behind each row of the matrix.
    matrix : float32 array (k, d)
        A row of length 1 for each label; of any length where the set is `adapted`.
    neutral : float32 array (m, d)
        The vectors of neutral prompts, which multi-label mode compares with; may be empty.
    model, revision, fingerprint : str
        The checkpoint that encoded it; `revision` is None for a folder.
    name : str
        The name of the set in messages.
    adapted : Adapted, optional
        What an adapter changed.
    stored_score : Score, optional
        What `score` gives. None where a file of 0.1.0 does not have it, until `for_model` fills it
        in.

    Examples
    --------
    >>> import unseen
    >>> classifier = unseen.load()
    >>> labels = classifier.compile(["cat", "dog"], background=["something else"])
    >>> labels.answers
    ('cat', 'dog', 'unknown')
    """

    labels: tuple[Label, ...]
    prompts: tuple[tuple[str, ...], ...]
    matrix: NDArray[np.float32]
    neutral: NDArray[np.float32]
    model: str
    revision: str | None
    fingerprint: str
    name: str = "labels"
    adapted: Adapted | None = None
    stored_score: Score | None = None

    @classmethod
    def of_vectors(
        cls,
        labels: Sequence[Label],
        vectors: Floats,
        model: Model,
        *,
        prompts: Sequence[tuple[str, ...]] | None = None,
        neutral: Floats | None = None,
        name: str = "labels",
    ) -> CompiledLabels:
        """A compiled set of vectors that are already known.

        Parameters
        ----------
        labels : sequence of Label
            k labels.
        vectors : float32 array (k, d)
            A row of length 1 for each label, as the text network of `model` gives it.
        model : Model
            The model that made the vectors; it gives the set its score.
        prompts : sequence of tuples of str, optional
            The prompts that each vector stands for; by default those of the labels.
        neutral : float32 array (m, d), optional
            The vectors of neutral prompts, which multi-label mode needs; by default none.
        name : str
            The name of the set in messages.

        Returns
        -------
        CompiledLabels

        Raises
        ------
        LabelError
            If the number of vectors, or their width, does not fit the labels and the model.
        """
        if vectors.shape != (len(labels), model.dimension):
            raise LabelError(
                f"the vectors have the shape {vectors.shape}; {len(labels)} labels of "
                f"{model.name} need ({len(labels)}, {model.dimension})."
            )
        return cls(
            tuple(labels),
            tuple(label.prompts for label in labels) if prompts is None else tuple(prompts),
            vectors,
            vectors[:0] if neutral is None else neutral,
            model.name,
            model.revision,
            model.fingerprint,
            name,
            stored_score=model.score,
        )

    # what may be said of a picture

    @cached_property
    def background_mask(self) -> NDArray[np.bool_]:
        """(k,): which labels are background."""
        return np.array([label.background for label in self.labels], dtype=bool)

    @property
    def competitors(self) -> int:
        """How many prompts each label is set against in multi-label mode: those of background
        labels, or the neutral ones where there are none."""
        return int(self.background_mask.sum()) or len(self.neutral)

    @cached_property
    def answers(self) -> tuple[str, ...]:
        """What may be said of a picture: the labels that are not background, and then `unknown`
        where there are background labels. LabelError where a label has that name."""
        names = tuple(label.name for label in self.labels if not label.background)
        if len(names) == len(self.labels):
            return names
        if UNKNOWN in names:
            raise LabelError(
                f"with background labels, {UNKNOWN!r} is the name of their answer: rename that "
                "label."
            )
        return (*names, UNKNOWN)

    def of_answers(self, probabilities: NDArray[Any]) -> NDArray[Any]:
        """The probabilities of the answers: those of background labels are added up.

        Parameters
        ----------
        probabilities : array (n, k)
            Of the labels.

        Returns
        -------
        array (n, number of answers)
        """
        return self._per_answer(probabilities, np.sum)

    def cosines_of_answers(self, cosines: Floats) -> Floats:
        """The cosines behind the answers: of background labels, the largest.

        Parameters
        ----------
        cosines : float32 array (n, k)
            Of the labels.

        Returns
        -------
        float32 array (n, number of answers)
        """
        return self._per_answer(cosines, np.max)

    def _per_answer(
        self, values: NDArray[Any], joined: Callable[..., NDArray[Any]]
    ) -> NDArray[Any]:
        background = self.background_mask
        if not background.any():
            return values
        unknown = joined(values[:, background], axis=1, keepdims=True)
        return np.hstack([values[:, ~background], unknown])

    # how pictures are compared with them

    @property
    def score(self) -> Score:
        """How `similarities` become logits and probabilities: the model's rule, or that of the
        adapter that was applied. LabelError for a file of 0.1.0 that no model has opened."""
        if self.stored_score is None:
            raise LabelError(
                f"the label set {self.name!r} is from a file of unseen 0.1.0, which does not hold "
                f"the score of its model {self.model}: pass it through Classifier.compile, or "
                "compile the labels again."
            )
        return self.stored_score

    def __repr__(self) -> str:
        adapted = "" if self.adapted is None else ", adapted"
        return f"CompiledLabels({self.name!r}, {len(self.labels)} labels, {self.model!r}{adapted})"

    @property
    def compared(self) -> Floats:
        """(k + m, d): all that a picture is multiplied with: the matrix, and m examples."""
        if self.adapted is None or self.adapted.cache is None:
            return self.matrix
        return np.vstack([self.matrix, self.adapted.cache.support])

    def similar(self, products: Floats) -> Floats:
        """Products with `compared` → cosines, or what an adapter makes of them.

        Either way the logits are scale · this + bias, of `score`.

        Parameters
        ----------
        products : float32 array (n, k + m)
            Embeddings times the rows of `compared`.

        Returns
        -------
        float32 array (n, k)
        """
        if self.adapted is None or self.adapted.cache is None:
            return products
        k = len(self.labels)
        return products[:, :k] + self.adapted.cache.logits(products[:, k:], k)

    def similarities(self, embeddings: Floats) -> Floats:
        """How similar pictures are to the labels, as `similar` says.

        Parameters
        ----------
        embeddings : float32 array (n, d)
            Rows of length 1.

        Returns
        -------
        float32 array (n, k)
        """
        return self.similar(np.asarray(embeddings @ self.compared.T, dtype=np.float32))

    def for_model(self, model: Model) -> CompiledLabels:
        """The set, with the model's score where a file of 0.1.0 has none.

        Parameters
        ----------
        model : Model
            The model in use.

        Returns
        -------
        CompiledLabels

        Raises
        ------
        LabelError
            Unless the set was compiled for exactly this model.
        """
        if self.fingerprint != model.fingerprint:
            raise LabelError(
                f"the label set {self.name!r} was compiled for {self.model} "
                f"({self.fingerprint[:12]}), and the model in use is {model.name} "
                f"({model.fingerprint[:12]}); compile it again: unseen labels compile … "
                f"-m {model.name}"
            )
        return self if self.stored_score else replace(self, stored_score=model.score)

    # files

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            Replaced where it exists.
        """
        FILE_FORMAT.write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes.

        Returns
        -------
        bytes
        """
        facts: dict[str, Any] = {
            "labels": [
                {"name": la.name, "threshold": la.threshold, "background": la.background}
                for la in self.labels
            ],
            "prompts": self.prompts,
            "model": self.model,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "name": self.name,
        }
        arrays: dict[str, NDArray[Any]] = {"matrix": self.matrix, "neutral": self.neutral}
        if self.adapted is not None:  # as 0.1.0 wrote it: the score is beside the adapter's name
            facts["adapted"] = {"adapter": self.adapted.adapter, **self.score.facts()}
            if self.adapted.cache is not None:
                facts["adapted"] |= self.adapted.cache.facts()
                arrays |= self.adapted.cache.arrays()
        elif self.stored_score is not None:
            facts["score"] = self.stored_score.facts()
        return FILE_FORMAT.to_bytes(arrays, facts)

    @classmethod
    def load(cls, path: str | Path) -> CompiledLabels:
        """A set that `save` wrote.

        Parameters
        ----------
        path : str or Path
            A .safetensors file.

        Returns
        -------
        CompiledLabels

        Raises
        ------
        LabelError
            If the file is missing, damaged, or something else.
        """
        return cls.from_bytes(FILE_FORMAT.read(path), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> CompiledLabels:
        """The set that `to_bytes` gave.

        Parameters
        ----------
        content : bytes
            The content of a file.
        where : str
            Its name, for messages.

        Returns
        -------
        CompiledLabels

        Raises
        ------
        LabelError
            If the content is damaged, or something else.
        """
        return FILE_FORMAT.from_bytes(content, where, cls._from_facts)

    @classmethod
    def _from_facts(cls, facts: dict[str, Any], arrays: dict[str, Any]) -> CompiledLabels:
        matrix = arrays["matrix"]
        prompts = tuple(tuple(p) for p in facts["prompts"])
        labels = tuple(
            Label(la["name"], own, la["threshold"], la["background"])
            for la, own in zip(facts["labels"], prompts, strict=True)
        )
        if matrix.shape[0] != len(labels) or matrix.ndim != 2:
            raise ValueError(f"{len(labels)} labels and a matrix of shape {matrix.shape}")
        return cls(
            labels,
            prompts,
            matrix,
            arrays["neutral"],
            facts["model"],
            facts["revision"],
            facts["fingerprint"],
            facts["name"],
            None if facts.get("adapted") is None else _adapted(facts["adapted"], arrays),
            _score(facts),
        )


def _adapted(facts: dict[str, Any], arrays: dict[str, Any]) -> Adapted:
    cache = Cache.from_file(facts, arrays) if "alpha" in facts else None
    return Adapted(facts["adapter"], cache)


def _score(facts: dict[str, Any]) -> Score | None:
    """That of the adapter, or else of the model, which files of 0.1.0 do not hold."""
    stored = facts.get("adapted") or facts.get("score")
    names = [field.name for field in fields(Score)]
    return None if stored is None else Score(**{n: stored[n] for n in names if n in stored})
