"""`unseen cache`: what is kept on this machine; `cache info`, `cache clear`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from unseen.cli import options, progress
from unseen.cli.command_group import PlainGroup

cache = typer.Typer(cls=PlainGroup, no_args_is_help=True)


@cache.callback()
def group() -> None:
    """unseen cache info

    What was encoded once is not encoded again: embeddings of pictures and prompts are kept by their
    content in $UNSEEN_HOME. $UNSEEN_CACHE_BYTES bounds those of pictures; 0 switches them off.
    """


@cache.command(short_help="What is kept, and how large it is.")
def info(as_json: options.AsJson = False) -> None:
    """unseen cache info

    What is kept on this machine, and how large it is.
    """
    from unseen.diagnostics.cache_contents import cache_contents  # noqa: PLC0415 - it loads numpy

    contents = cache_contents()
    typer.echo(json.dumps(contents.to_dict(), indent=1) if as_json else contents)


@cache.command(short_help="Delete it; it is made again when it is needed.")
def clear(
    networks: Annotated[
        bool, typer.Option("--networks", help="Delete the compiled networks, too.")
    ] = False,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen cache clear

    Delete the embeddings of pictures and prompts; they are made again when they are needed.
    """
    from unseen.diagnostics.cache_contents import clear_cache  # noqa: PLC0415 - it loads numpy

    freed = clear_cache(networks=networks)
    if as_json:
        typer.echo(json.dumps({"freed": freed}))
    elif not quiet:
        progress.say(f"{freed / 1e6:,.1f} MB freed.")
