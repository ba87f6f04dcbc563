"""Label options → compiled labels, and what was learnt of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import unseen
from unseen.cli import options, progress
from unseen.cli.options import LabelOptions
from unseen.errors import LabelError
from unseen.labels.label_set import LabelSet

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration


def compile_labels(
    classifier: unseen.Classifier,
    given: LabelOptions,
    *,
    quiet: bool,
    label_set: LabelSet | None = None,
) -> unseen.CompiledLabels:
    """The labels of a command, or `label_set` in their place; without both those of adapter or
    model."""
    labels = None if given.labels is None else options.labels_argument(given.labels)
    with progress.prompts(quiet) as show:
        return classifier.compile(
            labels if label_set is None else label_set,
            template=options.template_argument(given.template),
            background=given.background,
            progress=show,
        )


def load_calibration(
    labels: unseen.CompiledLabels, given: LabelOptions, *, multi: bool = False, quiet: bool
) -> Calibration | None:
    """The calibration of a command, or the one that lies beside its label file and fits; which of
    them is shown."""
    # They load what computes, which --help must not wait for.
    from unseen.prediction.calibration import Calibration  # noqa: PLC0415
    from unseen.prediction.calibration_file import find_beside  # noqa: PLC0415

    if given.calibration is not None:
        if given.no_calibration:
            raise LabelError("give one of --calibration and --no-calibration.")
        calibration = Calibration.load(given.calibration)
        calibration.check(labels, multi_label=multi)
        return calibration
    if given.no_calibration or given.labels is None:
        return None
    neighbour = find_beside(options.labels_argument(given.labels), labels, multi_label=multi)
    if neighbour is None:
        return None
    if neighbour.misfit is not None:
        progress.say(f"{neighbour.path} is not used: {neighbour.misfit}.")
        return None
    if not quiet:
        progress.say(f"calibrated by {neighbour.path}; pass --no-calibration to do without it.")
    return neighbour.calibration
