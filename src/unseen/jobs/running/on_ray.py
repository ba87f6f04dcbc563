"""Runners as actors of Ray: it starts them, on any machine, and starts them anew when they die.

What makes a row exactly one is the job itself; Ray is told neither shards nor rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from unseen.errors import MissingExtraError, StoreError
from unseen.jobs.job import Job
from unseen.jobs.running.runner import work
from unseen.jobs.running.session import Session
from unseen.jobs.running.status import Status, StatusReader

POLL_SECONDS = 1.0


class RayWorker:
    """What an actor holds: the model and labels of a job, loaded once.

    Parameters
    ----------
    job : str
        The folder or address of the job, which every machine must reach.
    overrides : Mapping[str, Any]
        As of `Session.load`.
    batch_size : int, optional
        Pictures that the network takes at once.
    """

    def __init__(self, job: str, overrides: Mapping[str, Any], batch_size: int | None) -> None:
        self.job = Job.open(job)
        self.session = Session.load(self.job, overrides, batch_size)

    def work(self) -> int:
        """Work until nothing is left → how many pictures this actor has published."""
        return work(self.job, self.session).pictures


def run_on_ray(
    job: Job,
    *,
    workers: int = 1,
    address: str = "local",
    threads: int = 1,
    gpus_per_worker: float = 0.0,
    overrides: Mapping[str, Any] | None = None,
    batch_size: int | None = None,
    progress: Callable[[Status], None] | None = None,
) -> Status:
    """Work at a job in actors of Ray until every shard has its rows.

    An actor that dies is started anew, on whichever machine has room for it.

    Parameters
    ----------
    job : Job
        What was planned.
    workers : int
        Actors.
    address : str
        Of a cluster, ``auto`` for the one that this machine is in, or ``local`` for a new one of
        this machine alone. A cluster that this process is connected to already is used.
    threads : int
        Of the network in each; Ray keeps as many processors for it.
    gpus_per_worker : float
        GPUs, or a share of one, that Ray keeps for each.
    overrides : Mapping[str, Any], optional
        Fields of `LoadOptions` that change no answer.
    batch_size : int, optional
        Pictures that the network takes at once.
    progress : callable, optional
        Called now and then with how far all runners are.

    Returns
    -------
    Status
        At the end.

    Raises
    ------
    MissingExtraError
        Without ray.
    StoreError
        If no cluster answers, or the store of the job cannot be used.
    UnseenError
        What an actor raised.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("Running a job on Ray", "ray", "ray") from None
    reader = StatusReader(job)
    is_new = not ray.is_initialized()
    if is_new:
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise StoreError(f"Ray at {address!r} does not answer: {error}") from None
    options = {"threads": threads, **(overrides or {})}
    actor = ray.remote(
        num_cpus=threads, num_gpus=gpus_per_worker, max_restarts=-1, max_task_retries=-1
    )(RayWorker)
    actors = [actor.remote(job.store.address, options, batch_size) for _ in range(workers)]
    pending = [one.work.remote() for one in actors]
    try:
        while pending:
            ended, pending = ray.wait(pending, timeout=POLL_SECONDS)
            for one in ended:
                ray.get(one)
            if progress is not None:
                progress(reader.read(open_parts=False))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    finally:
        for one in actors:
            ray.kill(one)
        if is_new:
            ray.shutdown()
    return reader.read()
