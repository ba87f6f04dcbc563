"""Label options → compiled labels, and what was learnt of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import unseen
from unseen.cli import options, progress
from unseen.cli.options import LabelOptions
from unseen.errors import LabelError
from unseen.labels.label_set import LabelSet

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration


def compile_labels(
    classifier: unseen.Classifier, given: LabelOptions, *, quiet: bool
) -> unseen.CompiledLabels:
    """The labels of a command; without `--labels` those of adapter or model."""
    return compiled(classifier, given.labels, given.template, given.background, quiet)


def load_calibration(
    labels: unseen.CompiledLabels, given: LabelOptions, *, multi: bool = False, quiet: bool
) -> Calibration | None:
    """The calibration of a command, or the one beside its label file."""
    return calibration_of(
        given.labels,
        labels,
        given.calibration,
        none=given.no_calibration,
        multi=multi,
        quiet=quiet,
    )


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
    """What is given, or lies beside the label file and fits; which of them is shown."""
    from unseen.prediction.calibration import Calibration, beside  # noqa: PLC0415 - it loads what computes

    if given is not None:
        if none:
            raise LabelError("give one of --calibration and --no-calibration.")
        calibration = Calibration.load(given)
        calibration.check(compiled, multi_label=multi)
        return calibration
    source = None if labels is None else options.labels_argument(labels)
    if none or not isinstance(source, Path) or not beside(source).exists():
        return None
    path = beside(source)
    calibration = Calibration.load(path)
    reason = calibration.misfit(compiled, multi_label=multi)
    if reason is not None:
        progress.say(f"{path} is not used: {reason}.")
        return None
    if not quiet:
        progress.say(f"calibrated by {path}; pass --no-calibration to do without it.")
    return calibration
