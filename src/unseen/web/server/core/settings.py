"""How a server is set up: one frozen object, made once, handed to each worker."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from unseen.images.limits import DEFAULT_LIMITS, Limits
from unseen.load_options import DEFAULT_LOAD_OPTIONS, LoadOptions

# The variable that prometheus_client reads when it is imported: then several processes write into
# one folder.
SHARED_METRICS = "PROMETHEUS_MULTIPROC_DIR"

# Of those who look whether the server lives: answered under any host name, on connections that are
# kept for them, and without a line in the log.
PROBES = frozenset({"/healthz", "/readyz", "/readiness", "/health", "/metrics"})


@dataclass(frozen=True)
class ServerLimits:
    """What one client may cost; more is refused, with the limit named."""

    body_bytes: int = 64 * 1024 * 1024
    json_bytes: int = 16 * 1024 * 1024  # of a body of JSON, pictures as base64 in it
    head_bytes: int = 64 * 1024  # the line of a request and its headers
    buffered_bytes: int = 512 * 1024 * 1024  # of all bodies that are held at once
    connections: int = 1024
    images: int = 64  # in a call
    image_bytes: int = 32 * 1024 * 1024  # encoded, one
    pixels: int = 100_000_000
    side: int = DEFAULT_LIMITS.max_side  # of a picture, in pixels
    video_pixels: int = 10_000_000  # of a frame: a little more than 4K
    video_seconds: float = 4 * 3600.0  # how long a video may be
    video_samples: int = 3600  # frames that are looked at
    listeners: int = 32  # of GET /v1/watch
    labels: int = 1_000  # in a call; a stored set may have `stored_labels`
    stored_labels: int = 20_000
    prompts: int = 10_000  # in a call, templates times labels
    stored_prompts: int = 200_000
    label_sets: int = 1_000
    label_versions: int = 10  # of a label set: older ones are deleted
    prompt_chars: int = 2_000
    answers: int = 200_000  # in a call, pictures times labels, of which `top_k` has fewer
    texts: int = 1_000  # to embed, in a call
    hits: int = 1_000
    cache_bytes: int = 16 * 1024 * 1024  # of prompts, of label sets, of thumbnails: each
    seconds: float = 60.0  # a whole request, from its first byte to its answer
    receive_seconds: float = 30.0  # until the last byte of it has come
    head_seconds: float = 5.0  # until the last byte of its head
    fetch_seconds: float = 10.0  # for a URL
    queue_seconds: float = 1.2  # expected wait from which new work is refused, but
    # A pool of 32 clients, and two: so many may wait longer, up to half of `seconds`.
    queue_pictures: int = 34
    drain_seconds: float = 20.0  # after SIGTERM

    def of_a_picture(self) -> Limits:
        """For `open_image`."""
        return Limits(self.image_bytes, self.pixels, self.fetch_seconds, max_side=self.side)


@dataclass(frozen=True)
class Settings:
    """The options of `unseen serve`. Picklable: workers are new processes."""

    load_options: LoadOptions = DEFAULT_LOAD_OPTIONS
    index: Path | None = None
    labels: tuple[Path, ...] = ()  # label files, each a set of the name of its file
    label_store: Path | None = None  # the SQLite file of label sets; None: in $UNSEEN_HOME
    keys: Path | None = None  # a file of hashed API keys
    key_hashes: tuple[str, ...] = field(default=(), repr=False)
    watch: tuple[str, ...] = ()  # cameras, streams, folders and files, as `unseen watch` takes them
    watch_rules: Path | None = None
    urls: bool = False  # whether pictures are fetched from URLs that clients name
    url_hosts: frozenset[str] = frozenset()  # HOST or HOST:PORT that may be private
    cors: tuple[str, ...] = ()  # origins whose pages may send requests
    host: str = "127.0.0.1"
    port: int = 8000
    hosts: tuple[str, ...] = ()  # names that clients may call this server by, beside loopback's
    workers: int = 1
    batch_size: int | None = None  # pictures; None: what suits the model
    batch_seconds: float = 0.01  # that a batch waits for pictures which are being decoded
    limits: ServerLimits = ServerLimits()

    def model_options(self) -> LoadOptions:
        """How the model is loaded: a picture may cost what the server's limits allow."""
        return replace(self.load_options, limits=self.limits.of_a_picture())
