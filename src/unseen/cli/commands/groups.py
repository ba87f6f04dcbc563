"""`unseen duplicates` and `unseen clusters`: pictures of an index that belong together."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

import unseen
from unseen.cli import options, page, progress
from unseen.cli.commands.index import opened, the_model
from unseen.cli.commands.organize import done_or_shown
from unseen.errors import SourceError
from unseen.results.manifest import manifest

if TYPE_CHECKING:
    from unseen.index.index import Hit

AUTO = "auto"
Clusters = Annotated[
    str, typer.Option("--k", help="How many clusters; auto: as many as are well apart.")
]


def duplicates(
    folder: options.IndexFolder = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least cosine of two that are the same.")
    ] = 0.95,
    keep: Annotated[
        str, typer.Option(help="Which of a group is the first: best (most pixels) or oldest.")
    ] = "best",
    move_to: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--move-to", help="Move all but the first of each group here.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved.")] = False,
    model: options.IndexModel = None,
    html: page.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen duplicates photos/ --move-to duplicates/ --dry-run

    Groups of pictures that are the same, to the byte or nearly. --move-to keeps the first of each
    group and moves the others, with a file that undoes it.
    """
    with opened(folder) as found:
        classifier = unseen.load(the_model(found, model))
        with progress.pictures(quiet) as show:
            groups = found.duplicates(classifier.encoder, threshold, keep=keep, progress=show)
        if move_to is not None:
            files = [[found.path(path) for hit in group for path in hit.paths] for group in groups]
            # Their folders are kept: two of one name stay apart, and a reader sees where they were.
            others = ((p, p.parent.name) for group in files for p in group[1:])
            done_or_shown(others, move_to, "move", dry_run=dry_run, as_json=as_json, quiet=quiet)
            return
        makers = manifest(classifier.model, None, {"threshold": threshold, "keep": keep})
        _say(found, "Duplicates", groups, html, makers, as_json=as_json, quiet=quiet)


def similar(
    folder: options.IndexFolder = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least cosine of two that are alike.")
    ] = 0.8,
    model: options.IndexModel = None,
    html: page.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen similar photos/ --html similar.html

    Groups of pictures that are alike: as duplicates, less strictly, and nothing is moved. What is
    like one picture: unseen search photo.jpg.
    """
    with opened(folder) as found:
        classifier = unseen.load(the_model(found, model))
        with progress.pictures(quiet) as show:
            groups = found.duplicates(classifier.encoder, threshold, progress=show)
        makers = manifest(classifier.model, None, {"threshold": threshold})
        _say(found, "Similar", groups, html, makers, as_json=as_json, quiet=quiet)


def _say(
    index: unseen.Index,
    title: str,
    groups: list[list[Hit]],
    html: Path | None,
    makers: dict[str, Any],
    *,
    as_json: bool,
    quiet: bool,
) -> None:
    """Groups as a page, as JSON, or as their paths."""
    if html is not None:
        counts = [sum(len(hit.paths) for hit in group) for group in groups]
        names = [f"{count} files" for count in counts]
        _page(index, html, title, names, groups, makers, "first")
    elif as_json:
        typer.echo(json.dumps([[asdict(hit) for hit in group] for group in groups], indent=1))
    else:
        files = [[index.path(path) for hit in group for path in hit.paths] for group in groups]
        for group in files:
            typer.echo("\n".join(["", *map(str, group)]))
        if not quiet:
            others = sum(len(group) - 1 for group in files)
            progress.say(f"{len(files)} groups; {others} pictures beside their first.")


def clusters(
    folder: options.IndexFolder = None,
    k: Clusters = AUTO,
    name_with: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--name-with", help="Labels, or a label file: its words name them.", show_default=False
        ),
    ] = None,
    model: options.IndexModel = None,
    html: page.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen clusters photos/ --name-with labels.txt

    Groups of pictures that are alike, the largest first, each with its most typical pictures.
    """
    count = how_many(k)
    with opened(folder) as found:
        classifier = unseen.load(the_model(found, model))
        if not found.has(classifier.encoder):
            raise SourceError(f"{found.root}: that model has not looked at it.")
        with progress.working("looking for clusters", quiet):
            groups, centres = found.clusters(classifier.encoder, count)
        words = titles(classifier, name_with, centres)
        if html is not None:
            names = [
                f"{', '.join(title) or f'Cluster {number}'}: {len(group)} pictures"
                for number, (title, group) in enumerate(zip(words, groups, strict=True), 1)
            ]
            makers = manifest(classifier.model, None, {"k": k, "name_with": name_with})
            _page(found, html, "Clusters", names, groups, makers)
            return
        if as_json:
            rows = [
                {"names": title, "pictures": [asdict(hit) for hit in group]}
                for title, group in zip(words, groups, strict=True)
            ]
            typer.echo(json.dumps(rows, indent=1))
            return
        for number, (title, group) in enumerate(zip(words, groups, strict=True), 1):
            typer.echo(f"{number}. {', '.join(title) or 'cluster'}: {len(group)} pictures")
            for hit in group[:3]:
                typer.echo(f"   {found.path(hit.paths[0])}")


def _page(
    index: unseen.Index,
    html: Path,
    title: str,
    names: list[str],
    groups: Sequence[Sequence[Hit]],
    makers: dict[str, Any],
    first: str = "",
) -> None:
    """A section for each group."""
    from unseen.pages import Section  # noqa: PLC0415 - it loads Pillow

    sections = [
        Section(name, list(page.items(index, group[: page.SHOWN], html, first=first)))
        for name, group in zip(names, groups, strict=True)
    ]
    page.write(html, title, sections, str(index.root), makers)


def how_many(k: str) -> int | None:
    """A number of clusters, or None for auto."""
    if k != AUTO and not (k.isascii() and k.isdecimal() and int(k) > 0):
        raise SourceError(f"--k is {k!r}; a number from 1 on, or auto.")
    return None if k == AUTO else int(k)


def titles(classifier: unseen.Classifier, words: str | None, centres: Any) -> list[list[str]]:
    """The labels that name each cluster; none when no words were given."""
    if words is None:
        return [[] for _ in centres]
    from unseen.index import clustering  # noqa: PLC0415 - it loads what computes

    compiled = classifier.compile(options.labels_argument(words))
    named = [label.name for label in compiled.labels]
    return clustering.names(centres, named, compiled.matrix)
