"""`unseen label`: a model proposes; `label info`: how far a labelling is, and how good."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.command_group import defaulting
from unseen.cli.commands.index import as_indexed
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output import named, printable
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

if TYPE_CHECKING:
    from unseen.annotation.labelling import Audit, Labelling

SHOWN = 20  # labels of a table
LEVELS = (0.9, 0.95, 0.99)  # stricter thresholds, of which `info` says what they would do

Name = Annotated[
    str,
    typer.Option(help="The name of the labelling, where a folder has several.", show_default=True),
]

label = typer.Typer(cls=defaulting("propose"), no_args_is_help=True)


@label.callback()
def group() -> None:
    """unseen label photos/ -l labels.txt

    Label a folder: a model proposes, a person reviews what is doubtful, and the result is exported
    as a data set. The pictures are not changed. More: docs/label.md.
    """


@label.command(short_help="Let a model propose a label for each picture.")
@options.loads_model()
@options.takes_labels()
def propose(
    folder: Annotated[Path, typer.Argument(help="The folder of the pictures.")],
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    sure: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=1.0,
            help="The probability from which a proposal is sure, unless the label file gives its "
            "label a threshold.",
        ),
    ] = 0.9,
    name: Name = "labels",
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen label photos/ -l labels.txt

    Propose a label for each picture, and put it into a pile: sure, unsure or none of these. Each
    picture is read once; other labels or thresholds take no time, and keep what was reviewed.
    """
    options.check_labels(label_options.labels, load_options)
    load_options = as_indexed(load_options, given, [folder], quiet)
    classifier = unseen.load(load_options)
    compiled = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(compiled, label_options, quiet=quiet)
    with progress.pictures(quiet) as show:
        labelling = unseen.label(
            classifier,
            folder,
            compiled,
            name=name,
            sure=sure,
            unknown=label_options.open_set,
            calibration=calibration,
            batch_size=batch_size,
            progress=show,
        )
    with labelling:
        failed = _show(labelling, folder, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(1)


@label.command(short_help="Show the progress, and how often the model was right.")
def info(
    folder: Annotated[Path, typer.Argument(help="The folder of the pictures.")],
    name: Name = "labels",
    as_json: options.AsJson = False,
    debug: options.Debug = False,
) -> None:
    """unseen label info photos/

    Show the piles, the labels, what was reviewed, and how often the model was right there.
    """
    from unseen.annotation.labelling import Labelling  # noqa: PLC0415 - it loads what computes

    with Labelling.open(folder, name) as labelling:
        _show(labelling, folder, as_json=as_json, quiet=False)


def _show(labelling: Labelling, folder: Path, *, as_json: bool, quiet: bool) -> int:
    """Prints what a labelling holds → how many of its pictures could not be read."""
    status = labelling.status()
    counts: Counter[str] = Counter()
    broken = []
    for picture in labelling.pictures():
        counts[picture.label or ""] += picture.pile != "error"
        if picture.error is not None:
            broken.append(picture)
            progress.say(named(str(folder / picture.paths[0]), picture.error))
    none = counts.pop("", 0)
    levels = {level: labelling.audit(level) for level in LEVELS}
    if as_json:
        made = labelling.manifest
        facts = {
            "labelling": str(labelling.path),
            "model": made["model"],
            "fingerprint": made["fingerprint"],
            "options": made["options"],
            **asdict(status),
            "audit_from": {str(k): a and asdict(a) for k, a in levels.items()},
            "labels": {name: counts.get(name, 0) for name in labelling.names},
            "without_label": none,
        }
        typer.echo(json.dumps(facts, ensure_ascii=False, indent=1))
        return len(broken)
    piles = ", ".join(f"{n} {'none of these' if p == 'none' else p}" for p, n in _piles(status))
    typer.echo(f"{sum(status.piles.values())} pictures: {piles}")
    for name, count in counts.most_common(SHOWN):
        typer.echo(f"  {count:>7}  {printable(name)}")
    if len(counts) > SHOWN:
        rest = counts.most_common()[SHOWN:]
        typer.echo(f"  {sum(n for _, n in rest):>7}  of {len(rest)} other labels; --json has all")
    idle = [name for name in labelling.names if not counts.get(name)]
    if idle:
        shown = ", ".join(idle[:5]) + (", …" if len(idle) > 5 else "")
        typer.echo(f"no picture of {len(idle)} labels: {printable(shown)}")
    for line in _reviewed(status, levels):
        typer.echo(line)
    if not quiet and status.piles["unsure"] + status.piles["none"]:
        progress.say(f"look over what is doubtful: unseen label review {folder}")
    return len(broken)


def _piles(status: Any) -> list[tuple[str, int]]:
    return [(pile, n) for pile, n in status.piles.items() if n or pile in ("sure", "unsure")]


def _reviewed(status: Any, levels: dict[float, Audit | None]) -> list[str]:
    if not status.reviewed:
        return []
    verdicts = status.verdicts
    lines = [
        f"reviewed: {status.reviewed} ({verdicts['label']} got a label, {verdicts['none']} none of "
        f"these, {verdicts['skip']} skipped); the model was right on {status.right} of "
        f"{status.judged}, doubtful ones first"
    ]
    if status.audit is None:
        return [*lines, "of the sure pile nothing was reviewed at random yet"]
    lines.append(f"sure pile, at random: {_share(status.audit)}")
    for level, audit in levels.items():
        if audit is not None and audit.reviewed < status.audit.reviewed:
            lines.append(f"  only from {level:g} on: {_share(audit)}")
    return lines


def _share(audit: Audit) -> str:
    return (
        f"right on {audit.right} of {audit.reviewed}, so {audit.low:.0%} to {audit.high:.0%} of all"
    )
