"""`unseen labels doctor`."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Optional

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.commands.index import as_indexed
from unseen.cli.output import printable, write_json, write_lines
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

if TYPE_CHECKING:
    from unseen.label_lint import Finding

WIDTH = 100
SHOWN = 10  # findings of one kind
SEVERITIES = ("error", "warning", "note")
INDENT = " " * 9


@options.loads_model(refused={"adapter": "it looks at words, and an adapter takes their place"})
def doctor(
    source: Annotated[str, typer.Argument(help="A label file, or labels separated by commas.")],
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    template: options.Template = None,
    unknown: options.Unknown = None,
    pictures: Annotated[
        Optional[list[str]],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--pictures", "-p", help="Pictures, without labels, to try them on.", show_default=False
        ),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 on warnings, too.")] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen labels doctor labels.txt -m fast --pictures photos/

    What is wrong with a label set, before any picture is classified: what to do, and what that
    does. Exit status 1 when something is an error.
    """
    from unseen.label_lint import by_severity, examine, look_at  # noqa: PLC0415 - it loads what computes

    if pictures:
        load_options = as_indexed(load_options, given, pictures, quiet)
    classifier = unseen.load(load_options)
    with progress.prompts(quiet) as show:
        findings, subject = examine(
            classifier,
            options.labels_argument(source),
            template=options.template_argument(template),
            background=tuple(unknown or ()),
            progress=show,
        )
    readable = []
    if pictures:
        from unseen.index.stored import embeddings_of  # noqa: PLC0415 - it loads what computes

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
        write_lines(_report(findings, len(subject.names)))
    if failed:
        raise typer.Exit(1)


def _report(findings: list[Finding], labels: int) -> Iterator[str]:
    shown: Counter[str] = Counter()
    for finding in findings:
        shown[finding.kind] += 1
        if shown[finding.kind] > SHOWN:
            continue
        about = ", ".join(finding.labels[:SHOWN]) + (" …" if len(finding.labels) > SHOWN else "")
        yield printable(f"{finding.severity:<9}{finding.kind}{f': {about}' if about else ''}")
        yield from _wrapped("", finding.problem)
        yield from _wrapped("do: ", finding.advice)
        if finding.effect:
            yield from _wrapped("then: ", finding.effect)
        if finding.pictures:
            yield from _wrapped("such as: ", ", ".join(finding.pictures))
    if findings:
        yield ""
    for kind, count in shown.items():
        if count > SHOWN:
            yield f"{kind}: {count - SHOWN} more (--json has all)"
    counts = Counter(finding.severity for finding in findings)
    said = [f"{counts[s]} {s}{'' if counts[s] == 1 else 's'}" for s in SEVERITIES]
    yield f"{labels} labels: {', '.join(said)}"


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        printable(head + text), WIDTH, initial_indent=INDENT, subsequent_indent=INDENT
    )
