"""`unseen duplicates` and `unseen clusters`: pictures of an index that belong together."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from unseen.annotation.organize import put_into_folders
from unseen.cli import options, progress
from unseen.cli.commands.index import open_index, view_of
from unseen.cli.commands.organize import show as show_filing
from unseen.cli.output import shown, write_paths, write_paths0

if TYPE_CHECKING:
    from unseen.index.hits import Hit
    from unseen.index.view import IndexView


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def duplicates(
    folder: options.IndexFolder = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least cosine of two that are the same.")
    ] = 0.95,
    keep: Annotated[
        str, typer.Option(help="Which of a group is the first: best (most pixels) or oldest.")
    ] = "best",
    move_to: Annotated[
        Path | None, typer.Option("--move-to", help="Move all but the first of each group here.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be moved.")] = False,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    html: options.Html = None,
    as_json: options.AsJson = False,
    print0: options.Print0 = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen duplicates photos/ --move-to duplicates/ --dry-run

    Groups of pictures that are the same, to the byte or nearly. --move-to keeps the first of each
    group and moves the others, with a file that undoes it.
    """
    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        with progress.pictures(quiet) as show:
            groups = view.duplicates(threshold, keep=keep, progress=show)
        if move_to is not None:
            files = [[index.path(path) for hit in group for path in hit.paths] for group in groups]
            # Their folders are kept: two of one name stay apart, and a reader sees where they were.
            # What is in an archive, or elsewhere, stays there.
            others = ((p, p.parent.name) for group in files for p in group[1:] if p.is_file())
            filing = put_into_folders(others, move_to, "move", dry_run=dry_run)
            show_filing(filing, as_json=as_json, print0=print0, quiet=quiet)
            return
        how = {"threshold": threshold, "keep": keep}
        _show(view, "Duplicates", groups, html, how, as_json=as_json, print0=print0, quiet=quiet)


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def similar(
    folder: options.IndexFolder = None,
    threshold: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="The least cosine of two that are alike.")
    ] = 0.8,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    html: options.Html = None,
    as_json: options.AsJson = False,
    print0: options.Print0 = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen similar photos/ --html similar.html

    Groups of pictures that are alike: as duplicates, less strictly, and nothing is moved. What is
    like one picture: unseen search photo.jpg.
    """
    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        with progress.pictures(quiet) as show:
            groups = view.similar(threshold, progress=show)
        how = {"threshold": threshold}
        _show(view, "Similar", groups, html, how, as_json=as_json, print0=print0, quiet=quiet)


def _show(
    view: IndexView,
    title: str,
    groups: list[list[Hit]],
    html: Path | None,
    how: Mapping[str, Any],
    *,
    as_json: bool,
    print0: bool,
    quiet: bool,
) -> None:
    """Groups as a page, as JSON, or as their paths; `print0`: an empty one ends a group."""
    if html is not None:
        from unseen.index.pages import write_groups  # noqa: PLC0415 - it loads Pillow

        write_groups(view, groups, html, title, how)
    elif as_json:
        typer.echo(json.dumps([[asdict(hit) for hit in group] for group in groups], indent=1))
    else:
        address = view.index.address
        files = [[address(path) for hit in group for path in hit.paths] for group in groups]
        if print0:
            write_paths0(path for group in files for path in [*map(str, group), ""])
            return
        write_paths(line for group in files for line in ["", *map(shown, group)])
        if not quiet:
            others = sum(len(group) - 1 for group in files)
            progress.say(f"{len(files)} groups; {others} pictures beside their first.")


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def clusters(
    folder: options.IndexFolder = None,
    k: options.Clusters = options.AUTO,
    name_with: options.NameWith = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    html: options.Html = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen clusters photos/ --name-with labels.txt

    Groups of pictures that are alike, the largest first, each with its most typical pictures.
    """
    count = options.clusters_argument(k)
    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        with progress.working("looking for clusters", quiet):
            groups = view.clusters(count, names=options.names_argument(name_with))
        if html is not None:
            from unseen.index.pages import write_clusters  # noqa: PLC0415 - it loads Pillow

            write_clusters(view, groups, html, {"k": k, "name_with": name_with})
            return
        if as_json:
            typer.echo(json.dumps([cluster.to_dict() for cluster in groups], indent=1))
            return
        for number, cluster in enumerate(groups, 1):
            title = ", ".join(cluster.names) or "cluster"
            typer.echo(f"{number}. {title}: {len(cluster.pictures)} pictures")
            for hit in cluster.pictures[:3]:
                write_paths([f"   {shown(index.address(hit.paths[0]))}"])
