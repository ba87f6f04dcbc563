"""`unseen map`: a collection in the plane, to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from unseen.cli import options, progress
from unseen.cli.commands.index import open_index, view_of
from unseen.results.result_file import check_output


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def draw_map(
    folder: options.IndexFolder = None,
    html: Annotated[Path, typer.Option("--html", help="The file to write.")] = Path("map.html"),
    k: options.Clusters = options.AUTO,
    name_with: options.NameWith = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
) -> None:
    """unseen map photos/ --html map.html

    The pictures of an index in the plane, like beside like, coloured by cluster: one page to zoom
    into, with thumbnails. With scikit-learn (the extra learn) it is t-SNE, without it PCA.
    """
    from unseen.index.pages import write_map  # noqa: PLC0415 - it loads Pillow

    count = options.clusters_argument(k)
    check_output(html, overwrite=True)
    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        with progress.working(f"laying out {view.row.pictures} pictures", quiet):
            clusters = view.clusters(count, names=options.names_argument(name_with))
            plane = view.projection()
        drawn = write_map(view, clusters, plane, html, {"k": k, "name_with": name_with})
    if as_json:
        typer.echo(json.dumps(drawn.to_dict(), indent=1))
    elif not quiet:
        progress.say(str(drawn))
