"""`unseen doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from unseen.cli import options


def doctor(as_json: options.AsJson = False) -> None:
    """unseen doctor

    Versions, providers, folders, the hub, and a self-test of the built-in model. Exit status 1 when
    something is wrong.
    """
    from unseen.diagnostics.doctor import examine  # noqa: PLC0415 - the other commands need none of it

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            typer.echo(finding)
    if as_json:
        typer.echo(json.dumps([asdict(f) for f in findings], indent=1))
    if any(f.ok is False for f in findings):
        raise typer.Exit(1)
