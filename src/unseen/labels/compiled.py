"""A label set encoded for one model: a matrix and its facts, in memory and in one file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.encoder import Encoder, Progress
from unseen.errors import LabelError
from unseen.labels.label_set import Label, LabelSet, fill
from unseen.models.model import Model, Score
from unseen.system.safetensors_file import Kind

KIND = Kind("unseen-labels-1", "compiled label set")

# What a picture shows when none of the labels is meant; the mean of them is the neutral ground
# that multi-label mode of a softmax family sets each label against.
NEUTRAL = ("something", "a thing", "an object", "a scene", "a picture")

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Cache:
    """Example pictures that have a say of their own (Zhang et al. 2022, arXiv:2207.09519).

    A label's say is alpha times the mean of exp(-beta · (1 - cosine)) over its examples, less the
    mean of that over all labels with examples, which then stand level with those that have none.
    Examples of labels that are not in the set have places behind its end, and count in that mean.
    """

    support: Rows  # (m, d), rows of length 1
    owners: NDArray[np.int32]  # (m,) the place of each one's label, ascending
    alpha: float
    beta: float

    def say(self, cosines: Rows, k: int) -> Rows:
        """(n, m) cosines to the examples → (n, k), to be added to those of the labels."""
        there, first, count = np.unique(self.owners, return_index=True, return_counts=True)
        near = np.exp(-np.float32(self.beta) * (1 - cosines))
        each = np.add.reduceat(near, first, axis=1) / count.astype(np.float32)
        each -= each.mean(1, keepdims=True)
        said = np.zeros((len(cosines), k), dtype=np.float32)
        inside = there < k
        said[:, there[inside]] = np.float32(self.alpha) * each[:, inside]
        return said


@dataclass(frozen=True, eq=False)
class Adapted:
    """What an adapter changed beside rows of the matrix: see unseen.prediction.adapter."""

    adapter: str  # which
    score: Score  # in place of the model's
    cache: Cache | None = None


@dataclass(frozen=True, eq=False)
class CompiledLabels:
    """`matrix` float32 (k, d): a row of length 1 a label; `neutral` (m, d): the neutral prompts.

    Tied to the model whose fingerprint it carries: any other refuses it. Where it is `adapted`,
    rows have any length: `similarities` and `rule` are right in both cases.
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

    @property
    def compared(self) -> Rows:
        """(k + m, d): all that a picture is multiplied with: the matrix, and m examples."""
        if self.adapted is None or self.adapted.cache is None:
            return self.matrix
        return np.vstack([self.matrix, self.adapted.cache.support])

    def similar(self, products: Rows) -> Rows:
        """(n, k + m) products with `compared` → (n, k): cosines, or what an adapter made of them.

        Either way the logits are scale · this + bias, of `rule`.
        """
        if self.adapted is None or self.adapted.cache is None:
            return products
        k = len(self.labels)
        return products[:, :k] + self.adapted.cache.say(products[:, k:], k)

    def similarities(self, embeddings: Rows) -> Rows:
        """(n, d) → (n, k), as `similar`."""
        return self.similar(np.asarray(embeddings @ self.compared.T, dtype=np.float32))

    def rule(self, score: Score) -> Score:
        """How these become probabilities: `score`, the model's own, unless it is adapted."""
        return score if self.adapted is None else self.adapted.score

    def check(self, model: Model) -> None:
        """LabelError unless it was compiled for exactly this model."""
        if self.fingerprint != model.fingerprint:
            raise LabelError(
                f"the label set {self.name!r} was compiled for {self.model} "
                f"({self.fingerprint[:12]}), and the model in use is {model.name} "
                f"({model.fingerprint[:12]}); compile it again: unseen labels compile … "
                f"-m {model.name}"
            )

    def save(self, path: str | Path) -> None:
        """One safetensors file, written whole or not at all."""
        KIND.write(path, self.to_bytes())

    def to_bytes(self) -> bytes:
        """What `save` writes."""
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
        if self.adapted is not None:
            cache = self.adapted.cache
            facts["adapted"] = {"adapter": self.adapted.adapter, **asdict(self.adapted.score)}
            if cache is not None:
                facts["adapted"] |= {"alpha": cache.alpha, "beta": cache.beta}
                arrays |= {"support": cache.support, "owners": cache.owners}
        return KIND.to_bytes(arrays, facts)

    @classmethod
    def load(cls, path: str | Path) -> CompiledLabels:
        """LabelError when the file is missing, damaged, or something else."""
        return cls.from_bytes(KIND.read(path), str(path))

    @classmethod
    def from_bytes(cls, content: bytes, where: str) -> CompiledLabels:
        """What `to_bytes` gave; `where` it was, for the LabelError of what is damaged."""
        return KIND.from_bytes(content, where, cls._from_facts)

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
        )


def _adapted(facts: dict[str, Any], arrays: dict[str, Any]) -> Adapted:
    cache = None
    if "alpha" in facts:
        cache = Cache(arrays["support"], arrays["owners"], facts["alpha"], facts["beta"])
    score = Score(facts["rule"], facts["scale"], facts["bias"])
    return Adapted(facts["adapter"], score, cache)


def compile_labels(
    encoder: Encoder, label_set: LabelSet, *, progress: Progress | None = None
) -> CompiledLabels:
    """Encode every prompt once (or find it in the cache) and average them a label."""
    texts = texts_of(encoder.model, label_set)
    return assemble(encoder.model, label_set, encoder.encode_texts(texts, progress=progress))


def texts_of(model: Model, label_set: LabelSet) -> list[str]:
    """What has to be encoded for a label set: its prompts in order, then the neutral ones.

    Those are left out where a model knows its own labels alone.
    """
    prompts = label_set.prompts(model.template)
    neutral = () if model.labels else NEUTRAL
    return [*(p for own in prompts for p in own), *(fill(model.template, w) for w in neutral)]


def assemble(model: Model, label_set: LabelSet, rows: NDArray[np.float32]) -> CompiledLabels:
    """The embeddings (n, d) of `texts_of` → the compiled set."""
    prompts = label_set.prompts(model.template)
    sizes = [len(own) for own in prompts]
    return CompiledLabels(
        label_set.labels,
        tuple(prompts),
        _averaged(rows[: sum(sizes)], sizes),
        rows[sum(sizes) :],
        model.name,
        model.revision,
        model.fingerprint,
        label_set.name,
    )


def _averaged(rows: NDArray[np.float32], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Runs of `sizes` rows → their mean, normalised: (k, d)."""
    starts = np.cumsum([0, *sizes[:-1]])
    sums = np.add.reduceat(rows, starts, axis=0)
    return np.asarray(sums / np.linalg.norm(sums, axis=1, keepdims=True), dtype=np.float32)
