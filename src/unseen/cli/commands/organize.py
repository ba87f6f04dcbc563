"""`unseen organize`: pictures into a folder for each label, and back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

import unseen
from unseen.annotation import organize as filing
from unseen.cli import label_options, options, progress
from unseen.cli.commands.index import as_indexed
from unseen.cli.output import named
from unseen.errors import SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.results.manifest import manifest, write_ended
from unseen.sources.expand import count
from unseen.sources.registry import reader_of


@options.loads_model()
def organize(
    folder: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(help="The folder of the pictures.", show_default=False),
    ] = None,
    labels: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--labels", "-l", help="As of classify.", show_default="those of the adapter"),
    ] = None,
    into: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--into", help="Where a folder for each label is made.", show_default=False),
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the files: the default.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Make symbolic links.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move the files.")] = False,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out what is less probable.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    undo: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--undo", help="Undo a run by the file it wrote.", show_default=False),
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    template: options.Template = None,
    unknown: options.UnknownOrAuto = None,
    calibration: options.CalibrationFile = None,
    no_calibration: options.NoCalibration = False,
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen organize photos/ -l cat,dog --into sorted/ --dry-run

    Put each picture into a folder named for its label: a copy, a link or the file itself. Nothing
    is overwritten; what was done is written to a file, and --undo takes it back.
    """
    if undo is not None:
        steps = list(filing.take_back(undo))
        undone = sum(done for _, done in steps)
        progress.say(f"{undone} of {len(steps)} undone.")
        raise typer.Exit(0 if undone == len(steps) else 1)
    if folder is None or into is None or copy + link + move > 1:
        raise SourceError("organize takes a folder, --into, and one of --copy, --link and --move.")
    if reader_of(str(folder)) is not None:
        raise SourceError(f"{folder}: organize takes a folder of files; unpack this one first.")
    options.check_labels(labels, load_options)
    background, auto = options.unknown_argument(unknown)
    load_options = as_indexed(load_options, given, [folder], quiet)
    classifier = unseen.load(load_options)
    compiled = label_options.compiled(classifier, labels, template, background, quiet)
    learnt = label_options.calibration_of(
        labels, compiled, calibration, none=no_calibration, multi=False, quiet=quiet
    )
    decision = classifier.decision(False, 1, min_score, auto, learnt)
    settings: dict[str, Any] = {"min_score": min_score, **load_options.facts()}
    settings |= {} if auto is None else {"unknown": auto}
    settings |= {} if learnt is None else {"calibration": learnt.to_data()}
    makers = manifest(classifier.model, compiled, settings)
    from unseen.index.stored import embeddings_of  # noqa: PLC0415 - it loads what computes

    with progress.pictures(quiet) as show:
        stream = embeddings_of(folder, classifier.encoder, batch_size=batch_size, progress=show)
    predictions = classifier.predictions(stream, compiled, decision, batch_size=batch_size)
    how = "move" if move else "link" if link else "copy"
    unread: list[str] = []
    total = count(str(folder)) or 0
    chosen = _chosen(predictions, total, unread, quiet)
    undo_file = done_or_shown(chosen, into, how, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if undo_file is not None:
        write_ended(undo_file, makers, total, len(unread))
    if unread:
        progress.say(f"{len(unread)} of {total} pictures could not be read.")
        raise typer.Exit(1)


def _chosen(
    predictions: Iterable[unseen.Prediction], total: int, unread: list[str], quiet: bool
) -> Iterator[tuple[Path, str]]:
    """Files and their labels; none of what is unknown. `unread` is told of what has an error."""
    with progress.counting(total, quiet) as counter:
        for prediction in predictions:
            counter.picture(prediction.ok)
            if prediction.error is not None:
                progress.say(named(prediction.source, prediction.error))
                unread.append(prediction.source)
            elif prediction.label is not None:
                yield Path(prediction.source), prediction.label


def done_or_shown(
    files: Iterable[tuple[Path, str]],
    into: Path,
    how: str,
    *,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> Path | None:
    """Put files into folders, or say where they would go → the file that undoes it, if any."""
    steps: Iterator[filing.Step] = filing.plan(files, into, how)
    undo = into / f"unseen-undo-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    if not dry_run:
        steps = filing.carry_out(steps, undo)
    number, rows = 0, []
    for step in steps:
        number += 1
        if as_json:
            rows.append(asdict(step))
        elif dry_run:
            typer.echo(f"{step.source} -> {step.target}")
    if as_json:
        facts = {"undo": None if dry_run else str(undo), "steps": rows}
        typer.echo(json.dumps(facts, indent=1))
    elif not quiet and not dry_run:
        done = {"copy": "copied", "link": "linked", "move": "moved"}[how]
        progress.say(f"{number} files {done} to {into}; undo it: unseen organize --undo {undo}")
    return None if dry_run else undo
