"""`unseen map`: a collection in the plane, to look at."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from unseen.cli import options, progress
from unseen.cli.commands.groups import AUTO, Clusters, how_many
from unseen.cli.commands.index import open_index, view_of
from unseen.cli.output_file import prepare
from unseen.results.manifest import row_manifest, write_ended

CELL = 64  # pixels of a picture on the map


@options.loads_recorded_model(refused={"adapter": options.NO_LABELS})
def draw_map(
    folder: options.IndexFolder = None,
    html: Annotated[Path, typer.Option("--html", help="The file to write.")] = Path("map.html"),
    k: Clusters = AUTO,
    name_with: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time on Python 3.10
        typer.Option(
            "--name-with", help="Labels, or a label file: its words name them.", show_default=False
        ),
    ] = None,
    overrides: Mapping[str, Any] = options.NO_OVERRIDES,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen map photos/ --html map.html

    The pictures of an index in the plane, like beside like, coloured by cluster: one page to zoom
    into, with thumbnails. With scikit-learn (the extra learn) it is t-SNE, without it PCA.
    """
    from unseen.pages import Point, link, scatter, thumbnails  # noqa: PLC0415 - it loads Pillow

    count = how_many(k)
    prepare(html, overwrite=True)
    with open_index(folder) as index:
        view = view_of(index, overrides, quiet)
        with progress.working(f"laying out {view.row.pictures} pictures", quiet):
            groups = view.clusters(count, names=options.names_argument(name_with))
            plane = view.projection()
        position_of = dict(zip(plane.ids.tolist(), plane.positions.tolist(), strict=True))
        named = [
            (hit, ", ".join(cluster.names) or f"cluster {number}")
            for number, cluster in enumerate(groups, 1)
            for hit in cluster.pictures
        ]
        files = [index.path(hit.paths[0]) for hit, _ in named]
        small = thumbnails(files, CELL * 2)
        points = []
        for (hit, name), file, picture in zip(named, files, small, strict=True):
            x, y = position_of[hit.id]
            points.append(Point(x, y, hit.paths[0], name, picture, link(file, html)))
        note = f"{len(points)} pictures, by {plane.method}"
        scatter(html, index.root.name, points, note=note)
        facts = {"k": k, "name_with": name_with, "method": plane.method}
        write_ended(html, row_manifest(view.row, facts), len(points), 0)
    if as_json:
        rows = [{"path": p.name, "x": p.x, "y": p.y, "group": p.group} for p in points]
        typer.echo(
            json.dumps({"page": str(html), "method": plane.method, "pictures": rows}, indent=1)
        )
    elif not quiet:
        progress.say(f"{html}: {note}.")
