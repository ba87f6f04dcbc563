"""The process of one worker: started by `workers`, it works at a job and says how it ended."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from typing import Any, NoReturn

from unseen.errors import UnseenError

FAILED, INTERRUPTED = 2, 130


def main() -> NoReturn:
    """What the first argument says, as JSON: the job, the part, how the model is loaded."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    call = json.loads(sys.argv[1])
    try:
        _work(call)
    except UnseenError as error:
        document = {"kind": type(error).__name__, "message": str(error)}
        sys.stdout.write(json.dumps(document))
        sys.stdout.flush()
        _leave(FAILED)
    except KeyboardInterrupt:
        _leave(INTERRUPTED)
    _leave(0)


def _work(call: dict[str, Any]) -> None:
    from unseen.jobs.job import Job  # noqa: PLC0415 - a failure to import is an error of `main`
    from unseen.jobs.running.runner import work  # noqa: PLC0415
    from unseen.jobs.running.session import Session  # noqa: PLC0415

    job = Job.open(call["job"])
    session = Session.load(job, call["overrides"], call["batch_size"])
    part = None if call["part"] is None else (call["part"][0], call["part"][1])
    work(job, session, part=part, lease_seconds=call["lease_seconds"])


def _end_with_parent() -> None:
    """Whoever started this process holds its standard input open while it lives."""
    sys.stdin.buffer.read()
    if os.name == "posix":
        os.kill(os.getpid(), signal.SIGINT)  # the lease is given back
        threading.Event().wait(5)
    os._exit(INTERRUPTED)


def _leave(status: int) -> NoReturn:
    """Not by `sys.exit`, which waits for threads that read a picture from a slow place."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
