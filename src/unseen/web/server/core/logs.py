"""The log on standard error: JSON, a line an event, or in a terminal a line for people.

No picture, no key, no line break of a client.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import time
from typing import Any

LOGGER = "unseen.web.server"


class JsonLines(logging.Formatter):
    """A record, with its `extra={"fields": …}`, as a line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, Any] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)  # ASCII: line breaks and odd characters are escaped


class Lines(logging.Formatter):
    """A record as a line for people: `12:30:05 POST /v1/classify 200 35.2 ms pictures=1`."""

    def format(self, record: logging.LogRecord) -> str:
        fields = dict(getattr(record, "fields", {}))
        parts = [time.strftime("%H:%M:%S", time.localtime(record.created))]
        if record.levelno >= logging.WARNING:
            parts.append(record.levelname.lower())
        if record.getMessage() == "request":
            route = fields.pop("route")
            path = fields.pop("path", None)
            parts += [fields.pop("method"), route if path is None else json.dumps(path)]
            parts += [str(fields.pop("status")), f"{fields.pop('ms')} ms"]
            del fields["request"], fields["bytes"]
        else:
            parts.append(json.dumps(record.getMessage(), ensure_ascii=True)[1:-1])
        parts += [f"{name}={json.dumps(value, default=str)}" for name, value in fields.items()]
        line = " ".join(parts)
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def configure() -> None:
    """Sends what is logged, and Python's warnings, to standard error."""
    form = Lines if sys.stderr.isatty() else JsonLines
    handler = {
        "class": "logging.StreamHandler",
        "formatter": "lines",
        "stream": "ext://sys.stderr",
    }
    levels = {LOGGER: "INFO", "unseen": "INFO", "uvicorn": "WARNING", "py.warnings": "WARNING"}
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"lines": {"()": form}},
            "handlers": {"stderr": handler},
            "loggers": {
                name: {"handlers": ["stderr"], "level": level, "propagate": False}
                for name, level in levels.items()
            },
        }
    )
    logging.captureWarnings(True)
