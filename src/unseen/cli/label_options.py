"""What a command is asked for: its labels, compiled, and what was learnt of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import unseen
from unseen.cli import options, progress
from unseen.errors import LabelError
from unseen.labels.label_set import LabelSet

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration


def compiled(
    classifier: unseen.Classifier,
    labels: str | LabelSet | None,
    template: list[str] | None,
    background: Sequence[str],
    quiet: bool,
) -> unseen.CompiledLabels:
    """The labels of `--labels`, `--template` and `--unknown`; None: those of adapter or model."""
    with progress.prompts(quiet) as show:
        return classifier.compile(
            options.labels_argument(labels) if isinstance(labels, str) else labels,
            template=options.template_argument(template),
            background=background,
            progress=show,
        )


def calibration_of(
    labels: str | None,
    compiled: unseen.CompiledLabels,
    given: Path | None,
    *,
    none: bool,
    multi: bool,
    quiet: bool,
) -> Calibration | None:
    """What is given, or lies beside the label file and fits; which of them is said."""
    from unseen.prediction.calibration import Calibration, beside  # noqa: PLC0415 - it loads what computes

    if given is not None:
        if none:
            raise LabelError("give one of --calibration and --no-calibration.")
        found = Calibration.load(given)
        found.check(compiled, multi_label=multi)
        return found
    source = None if labels is None else options.labels_argument(labels)
    if none or not isinstance(source, Path) or not beside(source).exists():
        return None
    path = beside(source)
    found = Calibration.load(path)
    reason = found.misfit(compiled, multi_label=multi)
    if reason is not None:
        progress.say(f"{path} is not used: {reason}.")
        return None
    if not quiet:
        progress.say(f"calibrated by {path}; --no-calibration leaves it alone.")
    return found
