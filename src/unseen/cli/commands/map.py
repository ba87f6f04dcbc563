"""`unseen map`: a collection in the plane, to look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Optional

import typer

import unseen
from unseen.cli import options, progress
from unseen.cli.commands.groups import AUTO, Clusters, how_many, titles
from unseen.cli.commands.index import opened, the_model
from unseen.cli.output_file import prepare
from unseen.results.manifest import manifest, write_ended

CELL = 64  # pixels of a picture on the map


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
    model: options.IndexModel = None,
    as_json: options.AsJson = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """unseen map photos/ --html map.html

    The pictures of an index in the plane, like beside like, coloured by cluster: one page to zoom
    into, with thumbnails. With scikit-learn (the extra learn) it is t-SNE, without it PCA.
    """
    from unseen.index.projection import layout  # noqa: PLC0415
    from unseen.pages import Point, link, scatter, thumbnails  # noqa: PLC0415 - it loads Pillow

    count = how_many(k)
    prepare(html, overwrite=True)
    with opened(folder) as found:
        classifier = unseen.load(the_model(found, model))
        matrix = found.matrix(classifier.encoder)
        with progress.working(f"laying out {len(matrix)} pictures", quiet):
            groups, centres = found.clusters(classifier.encoder, count)
            places, how = layout(matrix)
        row_of = {int(i): row for row, i in enumerate(matrix.ids)}
        words = titles(classifier, name_with, centres)
        named = [
            (hit, ", ".join(word) or f"cluster {number}")
            for number, (word, group) in enumerate(zip(words, groups, strict=True), 1)
            for hit in group
        ]
        files = [found.path(hit.paths[0]) for hit, _ in named]
        small = thumbnails(files, CELL * 2)
        points = []
        for (hit, name), file, picture in zip(named, files, small, strict=True):
            x, y = places[row_of[hit.id]].tolist()
            points.append(Point(x, y, hit.paths[0], name, picture, link(file, html)))
        scatter(html, found.root.name, points, note=f"{len(points)} pictures, by {how}")
        asked = {"k": k, "name_with": name_with, "method": how}
        write_ended(html, manifest(classifier.model, None, asked), len(points), 0)
    if as_json:
        rows = [{"path": p.name, "x": p.x, "y": p.y, "group": p.group} for p in points]
        typer.echo(json.dumps({"page": str(html), "method": how, "pictures": rows}, indent=1))
    elif not quiet:
        progress.say(f"{html}: {len(points)} pictures, by {how}.")
