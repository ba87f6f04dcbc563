"""`unseen models verify`."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import typer

import unseen
from unseen.cli import options, progress
from unseen.errors import ImageError, SourceError
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

if TYPE_CHECKING:
    from unseen.diagnostics.verify import Golden, NetworkCheck
    from unseen.encoder import Encoder


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
    debug: options.Debug = False,
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
    rows = []
    for found in verification.verify(
        classifier.model, verification.execution_targets(), threads=load_options.threads
    ):
        rows.append({**asdict(found), "ok": found.ok})
        if not as_json:
            typer.echo(_line(found))
    known = verification.golden(model)
    golden = None if known is None else _golden(known, classifier.encoder)
    if as_json:
        typer.echo(json.dumps({"networks": rows, "published": golden}, indent=1))
    elif golden is not None:
        typer.echo(golden["text"])
    elif not quiet:
        progress.say("no published figures of this checkpoint are known here.")
    missed = any(row["precision"] == "fp32" and not row["ok"] for row in rows)
    if missed or (golden is not None and golden["ok"] is False):
        raise typer.Exit(1)


def _line(found: NetworkCheck) -> str:
    where = f"{found.runtime}, {found.device.removesuffix('ExecutionProvider')}"
    verdict = "ok" if found.ok else f"below {found.bound}"
    return f"{found.tower:<6} {where:<14} {found.precision:<5} cosine {found.cosine:.6f}  {verdict}"


def _golden(known: Golden, encoder: Encoder) -> dict[str, Any]:
    """The published figures and ours; `ok` None where the picture could not be fetched."""
    from unseen.diagnostics import verify as verification  # noqa: PLC0415

    published = ", ".join(f"{value:.4g}" for value in known.published)
    try:
        ours = verification.compare(encoder, known)
    except (ImageError, SourceError) as error:
        text = f"published {published}: not compared, the picture is not reached ({error})"
        return {"published": known.published, "ours": None, "ok": None, "text": text}
    pairs = zip(ours, known.published, strict=True)
    ok = all(abs(mine - theirs) <= known.tolerance for mine, theirs in pairs)
    shown = ", ".join(f"{value:.4g}" for value in ours)
    text = f"published {published}, ours {shown}: {'ok' if ok else 'not the same'} ({known.source})"
    return {"published": known.published, "ours": ours, "ok": ok, "text": text}
