"""`unseen organize`: pictures into a folder for each label, and back."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Optional

import typer

import unseen
from unseen import organize as filing
from unseen.cli import BATCH_SIZE, options, progress
from unseen.cli.classify import predictions_of
from unseen.errors import SourceError


def organize(
    folder: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Argument(help="The folder of the pictures.", show_default=False),
    ] = None,
    labels: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option("--labels", "-l", help="As of classify.", show_default=False),
    ] = None,
    into: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--into", help="Where a folder for each label is made.", show_default=False),
    ] = None,
    move: Annotated[bool, typer.Option("--move", help="Move the files; else copy.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Symbolic links; else copy.")] = False,
    min_score: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Leave out what is less probable.")
    ] = 0.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    undo: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--undo", help="Undo a run by the file it wrote.", show_default=False),
    ] = None,
    model: options.Model = "builtin",
    template: options.Template = None,
    unknown: options.Unknown = None,
    batch_size: options.BatchSize = BATCH_SIZE,
    precision: options.Precision = "fp32",
    device: options.Device = "auto",
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
    if folder is None or labels is None or into is None or (move and link):
        raise SourceError("organize takes a folder, --labels and --into, and --move or --link.")
    classifier = unseen.load(model, precision=precision, device=device)
    with progress.prompts(quiet) as show:
        compiled = classifier.compile(
            options.labels_argument(labels),
            template=options.template_argument(template),
            background=unknown or (),
            progress=show,
        )
    found = predictions_of(
        classifier, [str(folder)], compiled, batch_size=batch_size, min_score=min_score, quiet=quiet
    )
    chosen = (
        (Path(p.source), p.label) for p in found if p.ok and p.label is not None and not p.unknown
    )
    how = "move" if move else "link" if link else "copy"
    done_or_shown(chosen, into, how, dry_run=dry_run, quiet=quiet)


def done_or_shown(
    files: Iterable[tuple[Path, str]], into: Path, how: str, *, dry_run: bool, quiet: bool
) -> None:
    """Put files into folders, or say where they would go."""
    steps: Iterator[filing.Step] = filing.plan(files, into, how)
    if dry_run:
        for step in steps:
            typer.echo(f"{step.source} -> {step.target}")
        return
    undo = into / f"unseen-undo-{time.strftime('%Y%m%d-%H%M%S')}.jsonl"
    count = sum(1 for _ in filing.carry_out(steps, undo))
    if not quiet:
        done = {"copy": "copied", "link": "linked", "move": "moved"}[how]
        progress.say(f"{count} files {done} to {into}; undo it: unseen organize --undo {undo}")
