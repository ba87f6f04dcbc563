"""A calibration: what pictures taught about the scores of a label set, and its thresholds.

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

from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.score import sigmoid, softmax, softmax64
from unseen.system.cache import write_atomically
from unseen.system.regular_file import read_text
from unseen.types import Doubles, Floats

FORMAT = "unseen-calibration-1"
SUFFIX = ".calibration.json"
_KEYS = {"threshold_goal": "wanted"}  # of the file, where they differ: those of 0.1.0 stay


@dataclass(frozen=True)
class ConformalPredictor:
    """A conformal predictor: `score` of a label at most `reach` → it is in the set."""

    coverage: float
    method: str  # of `METHODS`
    reach: float


@dataclass(frozen=True)
class Calibration:
    """What was learnt of a label set from pictures; `unseen calibrate` makes it.

    One label a picture: probabilities are softmax(logits / temperature + prior). Several labels:
    sigmoid(logit / temperature + shift), and a yes from the label's threshold on.

    Parameters
    ----------
    model, fingerprint : str
        The model that it was made for.
    labels : tuple of str
        The labels, those of background too.
    words_sha256 : str
        Of the labels and their prompts: other words are refused.
    multi_label : bool
        Whether each label is a yes or no of its own.
    pictures : int
        How many it was learnt from.
    temperature, shift : float
        As above.
    prior : dict of str to float, optional
        What is added to the logit of each label.
    thresholds : dict of str to float, optional
        Of each label, in multi-label mode.
    threshold_goal : str, optional
        What the thresholds are for: ``f1``, or ``precision 0.9``.
    likely : ConformalPredictor, optional
        Gives the sets of likely labels.
    example_digests : tuple of str
        The pictures that it was learnt from, as `datasets.content.content_digest` has them, sorted;
        empty where that is not known, as in files of 0.1.0.

    Examples
    --------
    >>> Calibration("builtin", "8e59", ("cat", "dog"), "1f", False, 100, temperature=1.25)
    Calibration('builtin', 2 labels, 100 pictures, temperature=1.25)
    """

    model: str
    fingerprint: str
    labels: tuple[str, ...]
    words_sha256: str
    multi_label: bool
    pictures: int
    temperature: float = 1.0
    shift: float = 0.0
    prior: dict[str, float] | None = None
    thresholds: dict[str, float] | None = None
    threshold_goal: str | None = None
    likely: ConformalPredictor | None = None
    example_digests: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = [f"{len(self.labels)} labels", f"{self.pictures} pictures"]
        parts.append(f"temperature={self.temperature:.4g}")
        parts += ["multi_label=True"] if self.multi_label else []
        parts += ["with a prior"] if self.prior is not None else []
        parts += [f"coverage={self.likely.coverage:g}"] if self.likely is not None else []
        return f"Calibration({self.model!r}, {', '.join(parts)})"

    def misfit(self, compiled: CompiledLabels, *, multi_label: bool) -> str | None:
        """Why it cannot be used with these labels in this mode.

        Parameters
        ----------
        compiled : CompiledLabels
            The labels to be used with it.
        multi_label : bool
            The mode to be used with it.

        Returns
        -------
        str or None
            The reason; None when it can be used.
        """
        if self.fingerprint != compiled.fingerprint:
            return f"it was made for the model {self.model}, and the one in use is {compiled.model}"
        if self.words_sha256 != words_sha256(compiled):
            return "it was made for other labels, prompts or background labels"
        if self.multi_label != multi_label:
            mode = "several labels" if self.multi_label else "one label"
            return f"it was made for {mode} a picture"
        return None

    def check(self, compiled: CompiledLabels, *, multi_label: bool) -> None:
        """Raise unless it was made for just these labels, this model and this mode.

        Parameters
        ----------
        compiled : CompiledLabels
            The labels to be used with it.
        multi_label : bool
            The mode to be used with it.

        Raises
        ------
        LabelError
            If it was made for something else; says for what.
        """
        reason = self.misfit(compiled, multi_label=multi_label)
        if reason is not None:
            raise LabelError(
                f"the calibration does not fit the labels {compiled.name!r}: {reason}; "
                "make it again: unseen calibrate …"
            )

    def single_label(self, logits: Floats) -> Floats:
        """Probabilities of labels that compete.

        Parameters
        ----------
        logits : float32 array (n, k)
            Of every label, those of background too; of a family of any rule.

        Returns
        -------
        float32 array (n, k)
            Rows that sum to 1.
        """
        prior = 0.0 if self.prior is None else np.array([self.prior[la] for la in self.labels])
        # Temperature scaling (Guo et al. 2017, arXiv:1706.04599), and a log prior of the labels.
        return softmax(np.asarray(logits / self.temperature + prior, dtype=np.float32))

    def multiple_labels(self, logits: Floats) -> Floats:
        """Probabilities of labels of which each is a yes or no of its own.

        Parameters
        ----------
        logits : float32 array (n, k)
            Those of `score.multi_label_logits`.

        Returns
        -------
        float32 array (n, k)
            Each from 0 to 1.
        """
        # Platt scaling (Platt 1999): a slope and an offset in front of the sigmoid.
        return sigmoid(np.asarray(logits / self.temperature + self.shift, dtype=np.float32))

    # files

    def save(self, path: str | Path) -> None:
        """Write one JSON file, whole or not at all.

        Parameters
        ----------
        path : str or Path
            Usually what `beside` gives for the label file, where `classify` looks for it.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        content = json.dumps(self.to_data(), ensure_ascii=False, indent=1)
        write_atomically(Path(path), content.encode("utf-8", "backslashreplace"))

    def to_data(self) -> dict[str, Any]:
        """What the file holds.

        Returns
        -------
        dict
            Plain data for JSON.
        """
        facts = {_KEYS.get(name, name): value for name, value in asdict(self).items()}
        return {"format": FORMAT, **facts}

    @classmethod
    def load(cls, path: str | Path) -> Calibration:
        """The calibration of a file.

        Parameters
        ----------
        path : str or Path
            What `save` wrote.

        Returns
        -------
        Calibration

        Raises
        ------
        LabelError
            If the file is missing, damaged, or something else.
        """
        try:
            data = json.loads(read_text(path))
        except FileNotFoundError:
            raise LabelError(f"{path}: there is no such calibration.") from None
        except (OSError, ValueError, RecursionError) as error:
            raise LabelError(f"{path}: this calibration cannot be read: {error}.") from None
        return cls.from_data(data, str(path))

    @classmethod
    def from_data(cls, data: Any, where: str) -> Calibration:
        """The calibration that `to_data` gave.

        Parameters
        ----------
        data : dict
            Plain data, from a file or a request.
        where : str
            Where it comes from, for the error.

        Returns
        -------
        Calibration

        Raises
        ------
        LabelError
            If the data is damaged, or something else.
        """
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise LabelError(f"{where}: this is not a calibration; make one with unseen calibrate.")
        try:
            facts: dict[str, Any] = {key: data[key] for key in data if key != "format"}
            for name, key in _KEYS.items():
                if key in facts:
                    facts[name] = facts.pop(key)
            facts["labels"] = tuple(facts["labels"])
            facts["example_digests"] = tuple(map(str, facts.get("example_digests", ())))
            if facts.get("likely") is not None:
                facts["likely"] = ConformalPredictor(**facts["likely"])
            calibration = cls(**facts)
            calibration._check_numbers()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LabelError(f"{where}: this calibration is damaged: {error}.") from None
        return calibration

    def _check_numbers(self) -> None:
        """ValueError where a part is invalid."""
        prior, thresholds = self.prior or {}, self.thresholds or {}
        numbers = [self.temperature, self.shift, *prior.values(), *thresholds.values()]
        if not np.isfinite(np.array(numbers, dtype=float)).all():
            raise ValueError("it contains NaN or infinity")
        if self.temperature <= 0:
            raise ValueError(f"the temperature is {self.temperature:g}; it must be above 0")
        if self.prior is not None and set(self.prior) != set(self.labels):
            raise ValueError("the prior's labels differ from the calibration's")
        if self.likely is not None and self.likely.method not in METHODS:
            raise ValueError(
                f"unknown method {self.likely.method!r}; choose one of: {', '.join(METHODS)}"
            )


def beside(labels: str | Path) -> Path:
    """The path of the calibration of a label file: labels.txt → labels.calibration.json."""
    path = Path(labels)
    return path.with_name(path.stem + SUFFIX)


def words_sha256(compiled: CompiledLabels) -> str:
    """A digest of the labels and their prompts, not of the matrix, whose last bits may differ."""
    words = [
        [label.name, prompts, label.background]
        for label, prompts in zip(compiled.labels, compiled.prompts, strict=True)
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


# conformal sets


def uncalibrated_probabilities(logits: Floats, labels: CompiledLabels) -> Doubles:
    """(n, k) logits → probabilities of the answers, with nothing learnt, as precise as can be.

    Sets are made of these, so that every labelled picture may measure them: a temperature that was
    learnt from the same pictures would have seen their labels.
    """
    return labels.of_answers(softmax64(logits))


def lac(p: Doubles) -> Doubles:
    """Least ambiguous sets (Sadinle, Lei & Wasserman 2019): 1 less the label's probability."""
    return 1 - p


def aps(p: Doubles) -> Doubles:
    """Adaptive sets (Romano, Sesia & Candès 2020), not randomised: the sum of the probabilities
    down to the label's, best first."""
    order = np.argsort(-p, axis=1, kind="stable")
    cumulative = np.cumsum(np.take_along_axis(p, order, axis=1), axis=1)
    scores = np.empty_like(p)
    np.put_along_axis(scores, order, cumulative, axis=1)
    return scores


METHODS = {"lac": lac, "aps": aps}  # probabilities → the nonconformity score of each label


def prediction_sets(
    p: Doubles, names: Sequence[str], predictor: ConformalPredictor
) -> list[tuple[str, ...]]:
    """(n, answers) uncalibrated probabilities → each picture's set, best first; never empty."""
    in_set = METHODS[predictor.method](p) <= predictor.reach
    in_set[np.arange(len(p)), p.argmax(1)] = True  # an empty set helps nobody, and covers nothing
    order = np.argsort(-p, axis=1, kind="stable")
    return [
        tuple(names[i] for i in row[mask[row]]) for row, mask in zip(order, in_set, strict=True)
    ]
