"""What tests of the server ask: any request as JSON, pictures as files and as base64."""

from __future__ import annotations

import base64
import io
import json
import urllib.error
import urllib.request
from email.message import Message
from typing import Any

import shapes

KEY = "a key for tests"


def ask(
    url: str, body: Any = None, method: str | None = None, **headers: str
) -> tuple[int, Any, Message]:
    """POST of JSON or bytes, GET without a body, or `method` → status, JSON or text, headers."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(
        url, content, {"Content-Type": "application/json", **headers}, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _read(answer), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _read(error), error.headers


def _read(answer: Any) -> Any:
    content = answer.read().decode()
    return json.loads(content) if "json" in answer.headers["Content-Type"] else content


def png(label: str, seed: int = 0) -> bytes:
    """A picture of "a red circle" and such."""
    file = io.BytesIO()
    shapes.draw(shapes.scene(label), seed).save(file, "PNG")
    return file.getvalue()


def b64(label: str, seed: int = 0) -> str:
    return base64.b64encode(png(label, seed)).decode()
