"""`unseen models verify`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import typer

import unseen
from unseen.cli import options, progress
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions


@options.loads_model(
    refused={
        "adapter": options.NO_LABELS,
        "precision": "every precision is tested",
        "device": "every device is tested",
    }
)
def verify(
    model: options.Id,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen models verify fast

    Hold both nets against the definition, in every runtime and precision that there is here, and
    with what was published of the checkpoint, where there is a network. The status is 1 when fp32
    or a published figure is missed.
    """
    from unseen.diagnostics import verify as verification  # noqa: PLC0415 - it loads what computes

    # What was published is compared with pictures that are decoded in full.
    load_options = replace(load_options, model=model, exact=True)
    classifier = unseen.load(load_options)
    networks = verification.verify(
        classifier.model, verification.execution_targets(), threads=load_options.threads
    )
    rows = []
    for check in networks:
        rows.append({**asdict(check), "ok": check.ok})
        if not as_json:
            typer.echo(check)
    golden = verification.golden(model)
    published = None if golden is None else verification.check_published(classifier.encoder, golden)
    if as_json:
        document = {"networks": rows, "published": published and published.to_dict()}
        typer.echo(json.dumps(document, indent=1))
    elif published is not None:
        typer.echo(published)
    elif not quiet:
        progress.say("no published figures of this checkpoint are known here.")
    missed = any(row["precision"] == "fp32" and not row["ok"] for row in rows)
    if missed or (published is not None and published.ok is False):
        raise typer.Exit(1)
