"""An adapter: what a few labelled pictures taught, as a small file that `load(adapter=…)` takes.

It holds a row for each of its labels, which takes the place of the row that the label's text would
have, and a scale and bias that make the products probabilities. One kind also holds its examples
(`Cache`). Another, which the pictures gave no reason to leave zero-shot, holds no row at all. One
learnt by discriminant analysis is for its own labels, and has a fallback for other label sets.
`unseen.adapt` makes them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import LabelError
from unseen.labels.compiled import Adapted, CompiledLabels
from unseen.labels.example_cache import Cache
from unseen.models.model import Model, Score
from unseen.system.safetensors_file import FileFormat
from unseen.types import Array, Floats

# Of the second kind are those with a fallback: 0.1.0 would not see it, and refuses them.
FORMATS = ("unseen-adapter-1", "unseen-adapter-2")
FILE_FORMAT = FileFormat(FORMATS[0], "adapter", "; make one with unseen adapt", FORMATS[1:])
ZERO_SHOT = "zero-shot"
FALLBACK = "fallback"  # in a file, and before the names of its arrays


@dataclass(frozen=True, eq=False)
class Replacement:
    """What takes the place of texts: fields as `Adapter` has them."""

    rows: Floats
    score: Score
    text_scale: float = 1.0
    cache: Cache | None = None

    def as_stored(self) -> Replacement:
        """With the numbers that half precision can hold."""
        cache = self.cache
        if cache is not None:
            cache = replace(cache, support=_as_float16(cache.support))
        return replace(self, rows=_as_float16(self.rows), cache=cache)

    def facts(self) -> dict[str, Any]:
        """All but the arrays, for the metadata of a file."""
        facts = {"score": self.score.facts(), "contrast": self.text_scale}
        return facts if self.cache is None else facts | {"cache": self.cache.facts()}

    def arrays(self) -> dict[str, Array]:
        """The arrays, under the names that they have in a file."""
        arrays: dict[str, Array] = {"rows": self.rows.astype(np.float16)}
        if self.cache is not None:
            arrays |= self.cache.arrays()
            arrays["support"] = self.cache.support.astype(np.float16)
        return arrays

    @classmethod
    def from_file(cls, facts: dict[str, Any], arrays: dict[str, Any]) -> Replacement:
        """What `facts` and `arrays` gave. KeyError where a part is missing."""
        cache = Cache.from_file(facts["cache"], arrays) if "cache" in facts else None
        return cls(arrays["rows"], Score(**facts["score"]), facts["contrast"], cache)

    def check(self, k: int) -> None:
        """ValueError where a part is invalid, or parts do not fit together and k labels."""
        if self.rows.ndim != 2 or len(self.rows) not in (0, k):
            raise ValueError(f"{k} labels and rows of shape {self.rows.shape}")
        scalars = np.array([self.score.scale, self.score.bias, self.text_scale])
        numbers = [self.rows.ravel(), scalars]
        if self.cache is not None:
            support, label_ids = self.cache.support, self.cache.label_ids
            if support.shape != (len(label_ids), self.rows.shape[1]) or not len(label_ids):
                raise ValueError(f"{len(label_ids)} examples of shape {support.shape}")
            if (np.diff(label_ids) < 0).any() or label_ids[0] < 0 or label_ids[-1] >= k:
                raise ValueError("its examples belong to labels that it does not have")
            numbers += [support.ravel(), np.array([self.cache.alpha, self.cache.beta])]
        if not all(np.isfinite(array).all() for array in numbers):
            raise ValueError("it contains NaN or infinity")
        if self.score.scale <= 0:
            raise ValueError(f"the scale is {self.score.scale:g}; it must be above 0")


@dataclass(frozen=True, eq=False)
class Adapter:
    """What a few labelled pictures taught, for one model: any other refuses it.

    The numbers are those that half precision can hold, in memory too, so that a file says the same
    as what was saved.

    Parameters
    ----------
    labels : tuple of str
        The k labels that were learnt.
    rows : float32 array (k, d)
        A row for each label, of any length; (0, d) where zero-shot was best.
    score : Score
        How cosines with `rows` become logits.
    method : str
        How it was learnt, or ``zero-shot``.
    model, revision, fingerprint : str
        The checkpoint that it was made for; `revision` is None for a folder.
    text_mean : float32 array (d,)
        The mean of the vectors of these labels' texts. The rows of other labels' texts lie around
        it. In a file it is called ``level``.
    text_scale : float
        How many times as far from `text_mean` they lie as they did: the scale of `score` is made
        for `rows`, which may be much longer. In a file it is called ``contrast``.
    cache : Cache, optional
        Example pictures that add to the scores.
    facts : dict
        What `unseen adapt` measured, plain data for JSON. ``example_digests`` are the pictures that
        it learnt from, as `datasets.content.content_digest` has them, sorted; files of 0.1.0 do not
        have it.
    fallback : Replacement, optional
        What is used for a set with labels that it does not know, where its rows hold among its own
        labels alone (method ``gda``).

    Examples
    --------
    >>> import numpy as np
    >>> import unseen
    >>> model = unseen.load().model
    >>> zeros = np.zeros((0, model.dimension)), np.zeros(model.dimension)
    >>> Adapter(("cat", "dog"), zeros[0], model.score, "zero-shot", model.name, None,
    ...         model.fingerprint, zeros[1])
    Adapter('zero-shot', 2 labels, 'builtin')
    """

    labels: tuple[str, ...]
    rows: Floats
    score: Score
    method: str
    model: str
    revision: str | None
    fingerprint: str
    text_mean: Floats
    text_scale: float = 1.0
    cache: Cache | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    fallback: Replacement | None = None

    def __post_init__(self) -> None:
        stored = self._own.as_stored()
        object.__setattr__(self, "rows", stored.rows)
        object.__setattr__(self, "cache", stored.cache)
        object.__setattr__(self, "text_mean", _as_float16(self.text_mean))
        if self.fallback is not None:
            object.__setattr__(self, "fallback", self.fallback.as_stored())

    def __repr__(self) -> str:
        return f"Adapter({self.method!r}, {len(self.labels)} labels, {self.model!r})"

    @property
    def _own(self) -> Replacement:
        """What is used for sets of its own labels."""
        return Replacement(self.rows, self.score, self.text_scale, self.cache)

    @cached_property
    def id(self) -> str:
        """A digest of its content: `facts`, with the date and the figures, do not count."""
        digest = hashlib.sha256(
            json.dumps([self.labels, self.score.facts(), self.text_scale]).encode()
        )
        for array in self._arrays().values():
            digest.update(array.tobytes())
        if self.cache is not None:
            digest.update(json.dumps([*self.cache.facts().values()]).encode())
        if self.fallback is not None:
            digest.update(json.dumps(self.fallback.facts()).encode())
        return digest.hexdigest()[:16]

    @property
    def held_out(self) -> dict[str, int] | None:
        """How good it was when it was made, on pictures that each answer was learnt without.

        Of how many `pictures` it was `right`, and zero-shot (`zero_shot`); None where none could be
        held out.
        """
        right = {row["method"]: row["right"] for row in self.facts.get("tried", ())}
        pictures = self.facts.get("held_out", 0)
        if not pictures or not {self.method, ZERO_SHOT} <= right.keys():
            return None
        return {"pictures": pictures, "right": right[self.method], "zero_shot": right[ZERO_SHOT]}

    def check(self, model: Model) -> None:
        """Raise unless it was made for exactly this model.

        Parameters
        ----------
        model : Model
            The model in use.

        Raises
        ------
        LabelError
            If it was made for another model.
        """
        if self.fingerprint != model.fingerprint:
            raise LabelError(
                f"the adapter was made for {self.model} ({self.fingerprint[:12]}), and the model "
                f"in use is {model.name} ({model.fingerprint[:12]}); make one for it: "
                f"unseen adapt … -m {model.name}"
            )

    def apply(self, compiled: CompiledLabels) -> CompiledLabels:
        """The set with the adapter's rows for the labels that it knows by name.

        Their prompts no longer count. Other labels compete by their texts. A set without any label
        that it knows is returned as it is, and so is every set by an adapter that is zero-shot. An
        adapter with a fallback uses that where the set has other labels.

        Parameters
        ----------
        compiled : CompiledLabels
            A label set of the same model.

        Returns
        -------
        CompiledLabels
            A new set; `compiled` does not change.

        Raises
        ------
        LabelError
            If the set was compiled for another model, or changed by another adapter.
        """
        if compiled.fingerprint != self.fingerprint:
            raise LabelError(
                f"the label set {compiled.name!r} was compiled for {compiled.model}, and the "
                f"adapter was made for {self.model}."
            )
        if compiled.adapted is not None and compiled.adapted.adapter != self.id:
            raise LabelError(
                f"the label set {compiled.name!r} was compiled with another adapter, or with "
                "examples of its labels; compile its labels anew, without them."
            )
        index = {name: i for i, name in enumerate(self.labels)}
        row_of = np.array([index.get(label.name, -1) for label in compiled.labels])
        strangers = bool((row_of < 0).any())
        replacement = self.fallback if strangers and self.fallback is not None else self._own
        if compiled.adapted is not None or row_of.max() < 0 or not len(replacement.rows):
            return compiled
        label_ids = np.flatnonzero(row_of >= 0)
        rows = row_of[label_ids]
        matrix = self._text(compiled.matrix, replacement)
        matrix[label_ids] = replacement.rows[rows]
        origin = (f"pictures, in the adapter {self.id}",)
        prompts = tuple(
            texts if row < 0 else origin
            for row, texts in zip(row_of, compiled.prompts, strict=True)
        )
        return replace(
            compiled,
            matrix=matrix,
            neutral=self._text(compiled.neutral, replacement),
            prompts=prompts,
            adapted=Adapted(self.id, self._cache_of(replacement, compiled, label_ids, rows)),
            stored_score=replacement.score,
        )

    def _text(self, rows: Floats, replacement: Replacement) -> Floats:
        """The rows of texts, as they compete with the rows of the adapter."""
        # The rows of an adapter may be longer than 1; so the distances between texts grow alike.
        scaled = self.text_mean + np.float32(replacement.text_scale) * (rows - self.text_mean)
        return np.asarray(scaled, dtype=np.float32)

    def _cache_of(
        self, replacement: Replacement, compiled: CompiledLabels, label_ids: Array, rows: Array
    ) -> Cache | None:
        """The examples, with the ids that their labels have in a set, or behind its end."""
        cache = replacement.cache
        if cache is None:
            return None
        # Labels that are not in the set keep their examples: the mean over labels needs them.
        id_of = len(compiled.labels) + np.arange(len(self.labels))
        id_of[rows] = label_ids
        ids = id_of[cache.label_ids]
        order = np.argsort(ids, kind="stable")
        ascending = np.asarray(ids[order], dtype=np.int32)
        return replace(cache, support=cache.support[order], label_ids=ascending)

    # files

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            A path that ends in ``.safetensors``.

        Raises
        ------
        LabelError
            If the path ends otherwise.
        """
        FILE_FORMAT.write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes.

        Returns
        -------
        bytes
            The content of a safetensors file.
        """
        facts = {
            "labels": self.labels,
            "method": self.method,
            "model": self.model,
            "revision": self.revision,
            "fingerprint": self.fingerprint,
            "facts": self.facts,
            **self._own.facts(),
        }
        if self.fallback is None:
            return FILE_FORMAT.to_bytes(self._arrays(), facts)
        facts[FALLBACK] = self.fallback.facts()
        return replace(FILE_FORMAT, format=FORMATS[1]).to_bytes(self._arrays(), facts)

    def _arrays(self) -> dict[str, Array]:
        own = self._own.arrays()
        level = self.text_mean.astype(np.float16)
        arrays = {"rows": own["rows"], "level": level, **own}  # in the order of 0.1.0: the id
        if self.fallback is not None:
            arrays |= {f"{FALLBACK}.{name}": a for name, a in self.fallback.arrays().items()}
        return arrays

    @classmethod
    def load(cls, path: str | Path) -> Adapter:
        """The adapter of a file.

        Parameters
        ----------
        path : str or Path
            What `save` wrote.

        Returns
        -------
        Adapter

        Raises
        ------
        LabelError
            If the file is missing, damaged, or something else.
        """
        return cls.from_bytes(FILE_FORMAT.read(path), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> Adapter:
        """The adapter that `to_bytes` gave.

        Parameters
        ----------
        content : bytes
            The content of a file.
        where : str
            Where it comes from, for the error.

        Returns
        -------
        Adapter

        Raises
        ------
        LabelError
            If the content is damaged, or something else.
        """
        return FILE_FORMAT.from_bytes(content, where, cls._from_parts)

    @classmethod
    def _from_parts(cls, facts: dict[str, Any], arrays: dict[str, Any]) -> Adapter:
        replacement, fallback = Replacement.from_file(facts, arrays), None
        if FALLBACK in facts:
            own = f"{FALLBACK}."
            parts = {n.removeprefix(own): a for n, a in arrays.items() if n.startswith(own)}
            fallback = Replacement.from_file(facts[FALLBACK], parts)
        adapter = cls(
            tuple(facts["labels"]),
            replacement.rows,
            replacement.score,
            facts["method"],
            facts["model"],
            facts["revision"],
            facts["fingerprint"],
            arrays["level"],
            replacement.text_scale,
            replacement.cache,
            facts["facts"],
            fallback,
        )
        adapter._check_parts()
        return adapter

    def _check_parts(self) -> None:
        """ValueError where a part is invalid, or parts do not fit together."""
        k = len(self.labels)
        if len(set(self.labels)) != k:
            raise ValueError("a label stands in it twice")
        for part in filter(None, (self._own, self.fallback)):
            part.check(k)
            if self.text_mean.shape != part.rows.shape[1:]:
                raise ValueError(
                    f"rows of shape {part.rows.shape} and a level of shape {self.text_mean.shape}"
                )
        if not np.isfinite(self.text_mean).all():
            raise ValueError("it contains NaN or infinity")


def _as_float16(rows: Array) -> Floats:
    """The numbers as a file holds them."""
    return np.asarray(rows).astype(np.float16).astype(np.float32)
