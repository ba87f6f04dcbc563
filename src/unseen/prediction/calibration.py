"""What was learnt of a label set from pictures: how its scores are put right, and when to say yes.

Made by `unseen.calibrate`, kept as a JSON file beside the label set, tied to one model, to its
labels and to their prompts: anything else is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.score import sigmoid, softmax, softmax64
from unseen.system.cache import write_atomically

FORMAT = "unseen-calibration-1"
SUFFIX = ".calibration.json"

Rows = NDArray[np.float32]
Exact = NDArray[np.float64]


@dataclass(frozen=True)
class ConformalPredictor:
    """A conformal predictor: `score` of a label at most `reach` → it is in the set."""

    coverage: float
    method: str  # of `METHODS`
    reach: float


@dataclass(frozen=True)
class Calibration:
    """One label a picture: softmax(logits / temperature + prior). Several: sigmoid(logit /
    temperature + shift), and a threshold a label."""

    model: str
    fingerprint: str
    labels: tuple[str, ...]
    words_sha256: str
    multi_label: bool
    pictures: int
    temperature: float = 1.0
    shift: float = 0.0
    prior: dict[str, float] | None = None  # added to the logit of each label
    thresholds: dict[str, float] | None = None
    wanted: str | None = None  # what the thresholds are for: f1, or precision 0.9
    likely: ConformalPredictor | None = None

    def misfit(self, compiled: CompiledLabels, *, multi_label: bool) -> str | None:
        """Why it cannot be used with these labels in this mode; None when it can."""
        if self.fingerprint != compiled.fingerprint:
            return f"it was made for the model {self.model}, and the one in use is {compiled.model}"
        if self.words_sha256 != words_sha256(compiled):
            return "it was made for other labels, prompts or background labels"
        if self.multi_label != multi_label:
            mode = "several labels" if self.multi_label else "one label"
            return f"it was made for {mode} a picture"
        return None

    def check(self, compiled: CompiledLabels, *, multi_label: bool) -> None:
        """LabelError unless it was made for just these labels, this model and this mode."""
        reason = self.misfit(compiled, multi_label=multi_label)
        if reason is not None:
            raise LabelError(
                f"the calibration does not fit the labels {compiled.name!r}: {reason}; "
                "make it again: unseen calibrate …"
            )

    def single(self, logits: Rows) -> Rows:
        """(n, k) logits → probabilities that sum to 1, of every family."""
        prior = 0.0 if self.prior is None else np.array([self.prior[la] for la in self.labels])
        return softmax(np.asarray(logits / self.temperature + prior, dtype=np.float32))

    def several(self, logits: Rows) -> Rows:
        """(n, k) logits of `score.multi_label_logits` → probabilities, each by itself."""
        return sigmoid(np.asarray(logits / self.temperature + self.shift, dtype=np.float32))

    # files

    def save(self, path: str | Path) -> None:
        """One JSON file, written whole or not at all."""
        content = json.dumps(self.to_data(), ensure_ascii=False, indent=1)
        write_atomically(Path(path), content.encode("utf-8", "backslashreplace"))

    def to_data(self) -> dict[str, Any]:
        """What the file holds."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """LabelError when the file is missing, damaged, or something else."""
        try:
            data = json.loads(Path(path).read_text("utf-8"))
        except FileNotFoundError:
            raise LabelError(f"{path}: there is no such calibration.") from None
        except (OSError, ValueError) as error:
            raise LabelError(f"{path}: this calibration cannot be read: {error}.") from None
        return cls.from_data(data, str(path))

    @classmethod
    def from_data(cls, data: Any, where: str) -> Calibration:
        """What `to_data` gave; `where` it was, for the LabelError of what is damaged."""
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise LabelError(f"{where}: this is no calibration; unseen calibrate makes one.")
        try:
            facts = {key: value for key, value in data.items() if key != "format"}
            facts["labels"] = tuple(facts["labels"])
            if facts.get("likely") is not None:
                facts["likely"] = ConformalPredictor(**facts["likely"])
            made = cls(**facts)
            prior, thresholds = made.prior or {}, made.thresholds or {}
            numbers = [made.temperature, made.shift, *prior.values(), *thresholds.values()]
            if not np.isfinite(np.array(numbers, dtype=float)).all() or made.temperature <= 0:
                raise ValueError("a number in it is none")
            if made.prior is not None and set(made.prior) != set(made.labels):
                raise ValueError("the prior is not of its labels")
            if made.likely is not None and made.likely.method not in METHODS:
                raise ValueError(f"{made.likely.method!r} is no method")
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LabelError(f"{where}: this calibration is damaged: {error}.") from None
        return made


def beside(labels: str | Path) -> Path:
    """Where the calibration of a label file lies: labels.txt → labels.calibration.json."""
    path = Path(labels)
    return path.with_name(path.stem + SUFFIX)


def words_sha256(compiled: CompiledLabels) -> str:
    """Of the labels and their prompts, not of the matrix, whose last bits may differ."""
    words = [
        [label.name, prompts, label.background]
        for label, prompts in zip(compiled.labels, compiled.prompts, strict=True)
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


# conformal sets


def plain(logits: Rows, labels: CompiledLabels) -> Exact:
    """(n, k) logits → probabilities of the answers, with nothing learnt, as precise as can be.

    Sets are made of these, so that every labelled picture may measure them: a temperature that was
    learnt from the same pictures would have seen their labels.
    """
    return labels.of_answers(softmax64(logits))


def lac(p: Exact) -> Exact:
    """Least ambiguous sets (Sadinle, Lei & Wasserman 2019): what a label lacks to certainty."""
    return 1 - p


def aps(p: Exact) -> Exact:
    """Adaptive sets (Romano, Sesia & Candès 2020), not randomised: the mass down to the label."""
    order = np.argsort(-p, axis=1, kind="stable")
    mass = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, mass, axis=1)
    return scores


METHODS = {"lac": lac, "aps": aps}  # probabilities → how strange each label would be


def prediction_sets(
    p: Exact, names: Sequence[str], predictor: ConformalPredictor
) -> list[tuple[str, ...]]:
    """(n, answers) of `plain` → the set of each picture, best first; never empty."""
    within = METHODS[predictor.method](p) <= predictor.reach
    within[np.arange(len(p)), p.argmax(1)] = True  # an empty set helps nobody, and covers nothing
    order = np.argsort(-p, axis=1, kind="stable")
    return [
        tuple(names[i] for i in row[inside[row]]) for row, inside in zip(order, within, strict=True)
    ]
