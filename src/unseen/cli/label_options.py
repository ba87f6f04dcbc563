"""Label options → compiled labels, and what was learnt of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import unseen
from unseen.cli import options, progress
from unseen.cli.options import LabelOptions
from unseen.errors import LabelError
from unseen.labels import label_file
from unseen.labels.label_set import LabelSet
from unseen.system.safetensors_file import SUFFIX

if TYPE_CHECKING:
    from unseen.prediction.calibration import Calibration
    from unseen.prediction.facets import Facet


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
            concept=given.concept,
            progress=show,
        )


def load_calibration(
    labels: unseen.CompiledLabels, given: LabelOptions, *, multi: bool = False, quiet: bool
) -> Calibration | None:
    """The calibration of a command, or the one that lies beside its label file and fits; which of
    them is shown."""
    # It loads what computes, which --help must not wait for.
    from unseen.prediction.calibration import Calibration  # noqa: PLC0415

    if given.calibration is not None:
        if given.no_calibration:
            raise LabelError("give one of --calibration and --no-calibration.")
        calibration = Calibration.load(given.calibration)
        calibration.check(labels, multi_label=multi)
        return calibration
    if given.no_calibration or given.labels is None:
        return None
    return calibration_beside(
        options.labels_argument(given.labels), labels, multi=multi, quiet=quiet
    )


def calibration_beside(
    source: str | Path, labels: unseen.CompiledLabels, *, multi: bool, quiet: bool
) -> Calibration | None:
    """The calibration that lies beside a label file and fits, which is shown."""
    from unseen.prediction.calibration_file import find_beside  # noqa: PLC0415 - as above

    neighbour = find_beside(source, labels, multi_label=multi)
    if neighbour is None:
        return None
    if neighbour.misfit is not None:
        progress.say(f"{neighbour.path} is not used: {neighbour.misfit}.")
        return None
    if not quiet:
        progress.say(f"calibrated by {neighbour.path}; pass --no-calibration to do without it.")
    return neighbour.calibration


def named_sets(given: LabelOptions) -> dict[str, str | Path]:
    """The name of each of several label sets → its labels. LabelError where one has no name."""
    sets: dict[str, str | Path] = {}
    for one in given.sets:
        name, labels = _named(one)
        if name in sets:
            raise LabelError(
                f"two label sets are called {name!r}: {sets[name]} and {labels}; give one another "
                f"name: -l {name}2={labels}"
            )
        sets[name] = labels
    return sets


def _named(given: str) -> tuple[str, str | Path]:
    """A label set by itself: NAME=LABELS, or a file, which is called as its stem."""
    labels = options.labels_argument(given)
    name, sign, rest = given.partition("=")
    if sign and name.strip() and not isinstance(labels, Path):
        return name.strip(), options.labels_argument(rest)
    if isinstance(labels, Path) or Path(given).suffix.lower() in {*label_file.READERS, SUFFIX}:
        return Path(given).stem, labels
    raise LabelError(
        f"--labels {given} has no name, and there are several label sets: each is a {options.SET}. "
        "Labels of one set have commas between them."
    )


def compile_facets(
    classifier: unseen.Classifier,
    given: LabelOptions,
    multi: bool | list[str],
    *,
    top: int | None,
    min_score: float | None,
    transductive: bool,
    quiet: bool,
) -> dict[str, Facet]:
    """Several label sets of a command, each with the calibration that lies beside it."""
    from unseen.prediction.facets import Facet, check_names, multi_label_sets  # noqa: PLC0415

    if given.calibration is not None:
        raise LabelError(
            "--calibration is of one label set; of several, each has the file beside its own "
            "(labels.calibration.json beside labels.txt)."
        )
    if given.concept is not None:
        raise LabelError(
            "--concept is of one label set; of several, each file has its own (concept: bird)."
        )
    sets = named_sets(given)
    check_names([*sets])
    multi_sets = multi_label_sets(multi, [*sets])
    if transductive and multi_sets:
        raise LabelError("--transductive cannot be combined with --multi.")
    facets = {}
    for name, labels in sets.items():
        with progress.prompts(quiet) as show:
            compiled = classifier.compile(
                labels,
                template=options.template_argument(given.template),
                background=given.background,
                progress=show,
            )
        calibration = None
        if not given.no_calibration and not transductive:
            multi_label = name in multi_sets
            calibration = calibration_beside(labels, compiled, multi=multi_label, quiet=quiet)
        decision = classifier.decision(
            name in multi_sets, top, min_score, given.open_set, calibration
        )
        facets[name] = Facet(compiled, decision)
    return facets
