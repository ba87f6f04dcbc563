"""A JSON body of a request → its data, or the Problem that it is."""

from __future__ import annotations

import json
import re
from typing import Any

from unseen.web.problems import Problem

MAX_VALUES = 500_000  # in a JSON body; a call has at most 10,000 prompts, a stored set 200,000
OPENERS = (b"[", b"{", b",")  # one of them stands before each value
HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F]")  # the escape of a surrogate, perhaps of a pair


def parse_json(body: bytes | bytearray) -> Any:
    """JSON. Problem 400 for what is none, 413 for too many values, 422 for half a character."""
    # Counted before there is an object for each: 60 MB of [] took 11 s and 1.5 GB.
    if sum(map(body.count, OPENERS)) > MAX_VALUES:
        raise Problem(413, f"the JSON has more than {MAX_VALUES:,} values.", code="too_many")
    try:
        data = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise Problem(400, f"the body is not JSON: {error}.", code="bad_json") from None
    if HALF_CHARACTER.search(body):  # it would break the answer, or SQLite, much later
        try:
            json.dumps(data, ensure_ascii=False).encode()
        except (UnicodeEncodeError, RecursionError):
            raise Problem(
                422, "a text holds half a character (a lone surrogate).", code="invalid_request"
            ) from None
    return data


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not allowed in JSON")
