"""A calibration: what pictures taught about the scores of a label set, and its thresholds.

Made by `unseen.calibrate`, kept as a JSON file beside the label set, tied to one model, to its
labels and to their prompts: anything else is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unseen.errors import LabelError
from unseen.labels.compiled import CompiledLabels
from unseen.prediction.conformal import METHODS, ConformalPredictor, SelectiveClassifier
from unseen.prediction.score import sigmoid, softmax
from unseen.system.cache import write_atomically
from unseen.system.regular_file import read_text
from unseen.types import Floats

FORMAT = "unseen-calibration-1"
_KEYS = {"threshold_goal": "wanted"}  # of the file, where they differ: those of 0.1.0 stay


@dataclass(frozen=True)
class RemainingError:
    """The expected calibration error (ECE) of pictures that were held out, by cross-validation.

    Parameters
    ----------
    before : float
        Without the calibration, 0…1.
    after : float
        With what was learnt from the other pictures.
    by_chance : float
        What so few pictures would show on average if the scores were exactly right.
    """

    before: float
    after: float
    by_chance: float


# The parts of a file that are objects of their own.
_PARTS: dict[str, Callable[..., Any]] = {
    "likely": ConformalPredictor,
    "selective": SelectiveClassifier,
    "error": RemainingError,
}


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
    selective : SelectiveClassifier, optional
        When an answer is given at all.
    error : RemainingError, optional
        The calibration error that is left; None where it was not measured, as in files of 0.1.0.
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
    selective: SelectiveClassifier | None = None
    error: RemainingError | None = None
    example_digests: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = [f"{len(self.labels)} labels", f"{self.pictures} pictures"]
        parts.append(f"temperature={self.temperature:.4g}")
        parts += ["multi_label=True"] if self.multi_label else []
        parts += ["with a prior"] if self.prior is not None else []
        parts += [f"coverage={self.likely.coverage:g}"] if self.likely is not None else []
        parts += [f"max_wrong={self.selective.max_wrong:g}"] if self.selective is not None else []
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
        facts["likely"] = None if self.likely is None else self.likely.to_data()
        # What 0.1.0 did not know is only there where there is some.
        new = [name for name in _PARTS if name != "likely" and facts[name] is None]
        return {"format": FORMAT, **{key: facts[key] for key in facts if key not in new}}

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
            for name, part in _PARTS.items():
                if facts.get(name) is not None:
                    facts[name] = part(**facts[name])
            calibration = cls(**facts)
            calibration._check_numbers()
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise LabelError(f"{where}: this calibration is damaged: {error}.") from None
        return calibration

    def _check_numbers(self) -> None:
        """ValueError where a part is invalid."""
        prior, thresholds = self.prior or {}, self.thresholds or {}
        numbers = [self.temperature, self.shift, *prior.values(), *thresholds.values()]
        if self.likely is not None:
            numbers += [self.likely.reach, *(self.likely.reach_by_label or {}).values()]
        if self.selective is not None:
            numbers += asdict(self.selective).values()
        if self.error is not None:
            numbers += asdict(self.error).values()
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


def words_sha256(compiled: CompiledLabels) -> str:
    """A digest of the labels and their prompts, not of the matrix, whose last bits may differ."""
    words = [
        [label.name, prompts, label.background]
        for label, prompts in zip(compiled.labels, compiled.prompts, strict=True)
    ]
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()
