"""`unseen organize`: pictures into a folder for each label, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import unseen
from unseen.annotation.organize import Filing, check_into, take_back
from unseen.cli import options, progress
from unseen.cli.commands.index import as_indexed
from unseen.cli.label_options import compile_labels, load_calibration
from unseen.cli.options import NO_LABEL_OPTIONS, LabelOptions
from unseen.cli.output import shown, write_paths, write_paths0
from unseen.errors import SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.sources.expand import count
from unseen.sources.registry import reader_of


@options.loads_model()
@options.takes_labels()
def organize(
    folder: Annotated[
        str | None, typer.Argument(help="The folder of the pictures, an archive, an address.")
    ] = None,
    label_options: LabelOptions = NO_LABEL_OPTIONS,
    into: Annotated[
        Path | None, typer.Option("--into", help="Where a folder for each label is made.")
    ] = None,
    copy: Annotated[bool, typer.Option("--copy", help="Copy the files: the default.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Make symbolic links.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Move the files.")] = False,
    min_score: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, help="Leave out pictures whose label is less probable."),
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    undo: Annotated[
        Path | None, typer.Option("--undo", help="Undo a run with the file that it wrote.")
    ] = None,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    batch_size: options.BatchSize = None,
    as_json: options.AsJson = False,
    print0: options.Print0 = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen organize photos/ -l cat,dog --into sorted/ --dry-run

    Put each picture into a folder named for its label: a copy, a link or the file itself. Nothing
    is overwritten; what was done is written to a file, and --undo takes it back.
    """
    if undo is not None:
        steps = list(take_back(undo))
        undone = sum(done for _, done in steps)
        progress.say(f"{undone} of {len(steps)} undone.")
        raise typer.Exit(0 if undone == len(steps) else 1)
    if folder is None or into is None or copy + link + move > 1:
        raise SourceError(
            "organize needs a folder, --into, and at most one of --copy, --link and --move."
        )
    if not dry_run:
        check_into(into)
    from unseen.index.stored import embeddings_of  # noqa: PLC0415 - it loads what computes

    options.check_labels(label_options.labels, load_options)
    load_options = as_indexed(load_options, given, [folder], quiet)
    classifier = unseen.load(load_options)
    compiled = compile_labels(classifier, label_options, quiet=quiet)
    calibration = load_calibration(compiled, label_options, quiet=quiet)
    encoded = None
    if reader_of(folder) is None:
        with progress.pictures(quiet) as report:
            encoded = embeddings_of(
                folder, classifier.encoder, batch_size=batch_size, progress=report
            )
    how = "move" if move else "link" if link else "copy"
    with progress.counting(count(folder), quiet) as counter, counter.interruptible():
        organized = unseen.organize(
            classifier,
            folder,
            compiled,
            into,
            how=how,
            min_score=min_score,
            dry_run=dry_run,
            unknown=label_options.open_set,
            calibration=calibration,
            encoded=encoded,
            batch_size=batch_size,
            progress=counter.show,
        )
    summary = counter.finished()
    if summary.complete:
        show(organized, as_json=as_json, print0=print0, quiet=quiet)
    started = summary.path is not None and summary.path.exists()
    undoing = f"; undo what was done: unseen organize --undo {summary.path}" if started else ""
    progress.end(summary, f"{summary.pictures} pictures looked at{undoing}", closing=not quiet)


def show(filing: Filing, *, as_json: bool, print0: bool, quiet: bool) -> None:
    """What was done, or, without an undo file, would be; `print0`: each file and its new place."""
    if as_json:
        typer.echo(json.dumps(filing.to_dict(), indent=1))
    elif print0:
        write_paths0(path for step in filing.steps for path in (step.source, step.target))
    elif filing.steps and filing.undo is None:
        write_paths(f"{shown(step.source)} -> {shown(step.target)}" for step in filing.steps)
    elif not quiet:
        progress.say(str(filing))
