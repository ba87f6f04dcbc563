"""`python -m unseen`, and the console script: Ctrl-C is quiet from the first import on."""

import os
import sys

# `signal` itself takes longer to import than all before it.
from _signal import SIGINT, signal  # type: ignore[import-not-found]


def main() -> None:
    """Run the command line."""
    # While it is being imported, there is nothing to keep, and nobody yet who could say so.
    signal(SIGINT, lambda number, frame: os._exit(130))
    if sys.argv[1:] in (["--help"], ["-h"]):
        from unseen.cli.overview import overview  # noqa: PLC0415 - it imports nothing else

        try:
            sys.stdout.write(overview() + "\n")
            sys.stdout.flush()
        except BrokenPipeError:  # `unseen --help | head`
            os._exit(1)
        return
    from unseen.cli.app import main as run  # noqa: PLC0415 - the point of this file

    run()


if __name__ == "__main__":
    main()
