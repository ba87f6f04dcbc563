"""`unseen labels doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.commands.index import as_indexed
from unseen.cli.output import write_json, write_lines
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions


@options.loads_model(refused={"adapter": "it looks at words, and an adapter takes their place"})
def doctor(
    source: options.LabelSource,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    template: options.Template = None,
    concept: options.Concept = None,
    unknown: options.Unknown = None,
    pictures: Annotated[
        list[str] | None,
        typer.Option("--pictures", "-p", help="Pictures, without labels, to try them on."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings, too.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen labels doctor labels.txt -m fast --pictures photos/

    What is wrong with a label set, before any picture is classified: what to do, and what that
    does. Exit status 1 when something is an error.
    """
    from unseen.index.stored import embeddings_of  # noqa: PLC0415 - it loads what computes
    from unseen.label_lint import by_severity, examine, look_at, report_text  # noqa: PLC0415

    if pictures:
        load_options = as_indexed(load_options, given, pictures, quiet)
    classifier = unseen.load(load_options)
    with progress.prompts(quiet) as show:
        findings, subject = examine(
            classifier,
            options.labels_argument(source),
            template=options.template_argument(template),
            background=tuple(unknown or ()),
            concept=concept,
            progress=show,
        )
    readable = []
    if pictures:
        with progress.pictures(quiet) as show:
            stream = embeddings_of(pictures, classifier.encoder, progress=show)
        with progress.counting(None, quiet) as counter:
            readable = list(counter.readable(stream))
        names, rows = [name for name, _ in readable], [row for _, row in readable]
        findings = by_severity([*findings, *look_at(subject, rows, names)])
    failed = [f for f in findings if f.severity == "error" or (strict and f.severity == "warning")]
    if as_json:
        facts = {
            "model": classifier.model.name,
            "labels": len(subject.names),
            "pictures": len(readable),
            "findings": [asdict(finding) for finding in findings],
        }
        write_json(facts)
    else:
        write_lines(report_text.lines(findings, len(subject.names)))
    if failed:
        raise typer.Exit(1)
