"""The Roboflow SDK in a process of its own: calls as lines of JSON in, what came of each out.

It is run by test_roboflow_client.py with the Python of an environment that has nothing else in it.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import traceback
import warnings
from typing import Any

STRANGERS: list[str] = []  # who was spoken to that is not this machine


def wall() -> None:
    """A connection to anybody else, and a look-up of them, fails and is remembered."""
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def strange(who: Any) -> OSError:
        STRANGERS.append(repr(who))
        return OSError(f"{who!r} is not asked in tests")

    def connect_here(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1"):
            raise strange(address)
        connect(self, address)

    def look_up_here(host: Any, *rest: Any, **named: Any) -> Any:
        if host not in (None, "", "127.0.0.1", "::1", "localhost", b"127.0.0.1"):
            raise strange(host)
        return look_up(host, *rest, **named)

    socket.socket.connect = connect_here  # type: ignore[method-assign, assignment]
    socket.getaddrinfo = look_up_here


def given(value: Any) -> Any:
    """{"pil": path} and {"bgr": path} are a picture as these; all else is what it is."""
    if not isinstance(value, dict):
        return value
    import numpy as np
    from PIL import Image

    ((kind, path),) = value.items()
    image = Image.open(path).convert("RGB")
    return image if kind == "pil" else np.asarray(image)[:, :, ::-1]


def answer(call: dict[str, Any]) -> dict[str, Any]:
    from inference_sdk import InferenceConfiguration, InferenceHTTPClient
    from inference_sdk.http.errors import HTTPCallErrorError

    client = InferenceHTTPClient(api_url=call["url"], api_key=call["key"])
    if call["v0"]:
        client.select_api_v0()
    if call["settings"]:
        client.configure(InferenceConfiguration(**call["settings"]))
    try:
        found = getattr(client, call["method"])(*map(given, call["arguments"]), **call["named"])
    except HTTPCallErrorError as error:
        return {"refused": [error.status_code, error.api_message]}
    return {"answer": found}


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no answer
    warnings.simplefilter("ignore")
    wall()
    for line in sys.stdin:
        try:
            found = answer(json.loads(line))
        except Exception:
            found = {"failed": traceback.format_exc()}
        answers.write(json.dumps({**found, "strangers": STRANGERS}, default=vars) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
