"""The metrics for Prometheus. Label values come from fixed sets: nothing that a client sent."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, multiprocess
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

from unseen.web.server.core.memory import memory_of
from unseen.web.server.core.settings import SHARED_METRICS

# Readable by every version of Prometheus; the client's own constant asks for 3.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server; of several workers, of all of them."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter(
            "http_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=registry,
        )
        self.stage_seconds = Histogram(
            "unseen_stage_duration_seconds",
            "receive: a body; fetch: a URL; decode: a picture; wait: for a batch; image, text: a "
            "batch in the net; explain: an explanation; search: the index.",
            ("stage",),
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "unseen_batch_size",
            "Pictures or texts that went through the net together.",
            ("kind",),
            buckets=SIZES,
            registry=registry,
        )
        self.queue_depth = Gauge(
            "unseen_queue_depth",
            "Pictures or texts that wait or are being worked on.",
            ("kind",),
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.cache = Counter(
            "unseen_cache",
            "Look-ups of label sets, prompts, thumbnails and rows that explain, by result.",
            ("kind", "result"),
            registry=registry,
        )
        self.rejected = Counter(
            "unseen_rejected",
            "Requests refused, by reason.",
            ("reason",),
            registry=registry,
        )
        self.ready = Gauge(
            "unseen_ready",
            "Workers that are warm.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        registry.register(_Memory({os.getpid()}))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what is inside."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds.labels(name).observe(time.perf_counter() - start)

    def hit(self, kind: str, hit: bool) -> None:
        """Counts a look-up in a cache."""
        self.cache.labels(kind, "hit" if hit else "miss").inc()

    def text(self) -> bytes:
        """The exposition, of every worker."""
        folder = os.environ.get(SHARED_METRICS)
        if folder is None:
            return generate_latest(self._registry)
        together = CollectorRegistry()
        multiprocess.MultiProcessCollector(together)  # type: ignore[no-untyped-call]
        # A worker's gauges are in files that end in its number, until it ends: see `forget`.
        files = Path(folder).glob("gauge_live*_*.db")
        together.register(_Memory({int(path.stem.rpartition("_")[2]) for path in files}))
        return generate_latest(together)


class _Memory(Collector):
    """What processes have of the machine's memory, looked at when it is asked for."""

    def __init__(self, processes: set[int]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A gauge of both ways to count; none where the system does not tell."""
        memory = memory_of(self._processes)
        if memory:
            gauge = GaugeMetricFamily(
                "unseen_memory_bytes",
                "Memory of all workers: resident, and proportional, where of a page that n "
                "processes share each counts an n-th.",
                labels=["kind"],
            )
            for kind, size in memory.items():
                gauge.add_metric([kind], size)
            yield gauge


def forget(pid: int) -> None:
    """Drops the gauges of a worker that has ended."""
    if os.environ.get(SHARED_METRICS) is not None:
        multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call]
