"""`unseen serve`: the HTTP server and its page; `unseen keys`: who may ask it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import unseen
from unseen import web
from unseen.cli import options, progress
from unseen.cli.commands.index import as_indexed
from unseen.errors import SourceError
from unseen.images.limits import DEFAULT_LIMITS
from unseen.labels.label_set import LabelSet
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions
from unseen.sources.address_policy import PublicHosts

if TYPE_CHECKING:
    from unseen.web.server.core.settings import Settings

KEY = "UNSEEN_API_KEY"  # one key, for those who set up servers by the environment


@options.loads_model()
def serve(
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            envvar="UNSEEN_MODEL",
            help="builtin, a hub id, a short name, a folder.",
        ),
    ] = "builtin",
    host: Annotated[
        str, typer.Option(envvar="UNSEEN_HOST", help="Where to listen; 0.0.0.0 is everywhere.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, envvar="UNSEEN_PORT")] = 8000,
    index: Annotated[
        Path | None, typer.Option(envvar="UNSEEN_INDEX", help="The folder of an index, for search.")
    ] = None,
    postgres: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            envvar="UNSEEN_POSTGRES",
            help="A database with pgvector, in place of an index: what `unseen job export` put "
            "there. Its password in PGPASSWORD.",
        ),
    ] = None,
    table: options.PostgresTable = None,
    adapter: Annotated[
        Path | None, typer.Option(envvar="UNSEEN_ADAPTER", help="A file that `unseen adapt` made.")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option("--labels", "-l", help="A label file: a label set of its name. Repeatable."),
    ] = None,
    watch: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE",
            help="A camera, stream, folder or file to follow with the labels of the first file, as "
            "`unseen watch` does: GET /v1/watch tells. Repeatable.",
        ),
    ] = None,
    watch_rules: Annotated[
        Path | None, typer.Option(help="A .yaml file of rules, for --watch.")
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(envvar="UNSEEN_KEYS", help="A file that `unseen keys add` made.")
    ] = None,
    urls: Annotated[
        bool, typer.Option("--urls", help="Fetch pictures from public URLs that clients name.")
    ] = False,
    url_host: Annotated[
        list[str] | None,
        typer.Option(help="HOST or HOST:PORT to fetch from although it is private. Repeatable."),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(help="An origin whose pages may ask: https://example.org. Repeatable."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(help="A name by which clients call a server on loopback. Repeatable."),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=1, max=64, envvar="UNSEEN_WORKERS", help="Processes.")
    ] = 1,
    batch_size: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Pictures that the network takes at once.",
            show_default="2 or 16, as suits the model",
        ),
    ] = None,
    queue_seconds: Annotated[
        float, typer.Option(min=0.0, help="Refuse work (503) that would wait longer than this, but")
    ] = 1.2,
    queue_pictures: Annotated[
        int, typer.Option(min=1, help="let so many pictures wait, up to half a minute.")
    ] = 34,
    label_versions: Annotated[
        int, typer.Option(min=1, help="Versions that are kept of each label set.")
    ] = 10,
    json_bytes: Annotated[
        int, typer.Option(min=1024, help="Of a JSON body, at most.", show_default="16 MB")
    ] = 16 * 1024 * 1024,
    head_bytes: Annotated[
        int, typer.Option(min=1024, help="Of a request's headers, at most.", show_default="64 kB")
    ] = 64 * 1024,
    max_side: Annotated[
        int, typer.Option(min=1, help="Pixels of a picture's width, and of its height, at most.")
    ] = DEFAULT_LIMITS.max_side,
    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS,
    given: frozenset[str] = frozenset(),
    quiet: options.Quiet = False,
) -> None:
    """unseen serve --port 8000

    A page to play with, an API of our own, and those of clients that are there already (Roboflow,
    Hugging Face, OpenAI, Label Studio): unseen help serve, unseen help clients.
    """
    web.check_libraries("unseen serve", web.SERVER_LIBRARIES)
    from unseen.web.security import address, is_loopback  # noqa: PLC0415
    from unseen.web.server import process  # noqa: PLC0415
    from unseen.web.server.core.settings import ServerLimits, Settings  # noqa: PLC0415
    from unseen.web.server.http import keys as key_files  # noqa: PLC0415 - an extra

    hashes = (key_files.digest(os.environ[KEY]),) if os.environ.get(KEY) else ()
    if keys is not None:
        key_files.read(keys)
    for file in labels or ():
        LabelSet.of(file)
    PublicHosts(frozenset(url_host or ()))
    if index is not None:
        unseen.Index(index, create=False).close()
    load_options = replace(load_options, model=model, adapter=adapter)
    if postgres is not None:
        if index is not None:
            raise SourceError("give one of --index and --postgres.")
        load_options = _as_in_table(load_options, given, postgres, table)
    elif table is not None:
        raise SourceError("--table is of --postgres: give that, too.")
    if index is not None:
        load_options = as_indexed(load_options, given, [index], quiet)
    settings = Settings(
        load_options,
        index=index,
        postgres=postgres,
        table=table or "unseen",
        labels=tuple(labels or ()),
        watch=tuple(watch or ()),
        watch_rules=watch_rules,
        keys=keys,
        key_hashes=hashes,
        urls=urls,
        url_hosts=frozenset(url_host or ()),
        cors=tuple(cors or ()),
        host=host,
        port=port,
        hosts=tuple(allow_host or ()),
        workers=workers,
        batch_size=batch_size,
        limits=ServerLimits(
            queue_seconds=queue_seconds,
            queue_pictures=queue_pictures,
            label_versions=label_versions,
            json_bytes=json_bytes,
            head_bytes=head_bytes,
            side=max_side,
        ),
    )
    model = str(load_options.model)  # a table brings its own
    # Here, and not where it is served: what is wrong with it is said before an address is taken,
    # and several workers download nothing twice.
    classifier = unseen.load(settings.model_options())
    _check_watching(settings, classifier)
    if not quiet:
        if not (keys or hashes) and not is_loopback(host):
            progress.say("warning: everybody who reaches this server may use it; see --keys.")
        progress.say(f"unseen loads {model}; requests that come meanwhile wait for it.")

    def ready(port: int) -> None:
        if not quiet:
            progress.say(f"unseen serves {model} at {address(host, port)}  (Ctrl-C ends it)")

    sys.exit(process.serve(settings, classifier, ready))


def _as_in_table(
    load_options: LoadOptions, given: frozenset[str], url: str, table: str | None
) -> LoadOptions:
    """The options of a table's model, as far as the user gave no others."""
    from unseen.postgres.gallery import Gallery  # noqa: PLC0415 - an extra
    from unseen.postgres.table import DEFAULT_TABLE, Table  # noqa: PLC0415

    with Gallery(url, Table(table or DEFAULT_TABLE)) as gallery:
        recorded = gallery.options({})
    if load_options.model not in (DEFAULT_LOAD_OPTIONS.model, recorded.model):
        return load_options  # refused where that is another model under another name, too
    names = {"revision", "precision", "exact"} - given
    changes = {name: getattr(recorded, name) for name in names}
    return replace(load_options, model=recorded.model, **changes)


def _check_watching(settings: Settings, classifier: unseen.Classifier) -> None:
    """SourceError for sources or rules that cannot be used, before the server starts."""
    if not settings.watch:
        if settings.watch_rules is not None:
            raise SourceError("--watch-rules needs --watch SOURCE.")
        return
    from unseen.monitoring.start import check_sources  # noqa: PLC0415 - few servers watch

    if settings.workers > 1:
        raise SourceError(
            "--watch is for one process: a camera is opened once; leave --workers out."
        )
    label_set = LabelSet.of(settings.labels[0]) if settings.labels else classifier.labels
    check_sources(settings.watch, settings.watch_rules, label_set)


keys = typer.Typer(no_args_is_help=True)


@keys.callback()
def group() -> None:
    """unseen keys add keys.txt alice

    Keys for `unseen serve --keys keys.txt`. The file holds their hashes.
    """


@keys.command("add", short_help="Make a key, and show it once.")
def add(
    file: Annotated[Path, typer.Argument(help="The file of hashes.")],
    name: Annotated[str, typer.Argument(help="Whose key it is, for the log.")],
) -> None:
    """unseen keys add keys.txt alice

    Prints a new key. It is kept nowhere else: the file gets its hash.
    """
    from unseen.web.server.http import keys as key_files  # noqa: PLC0415

    try:
        typer.echo(key_files.add(file, name))
    except OSError as error:
        raise SourceError(f"{file}: cannot be written: {error.strerror}.") from None
