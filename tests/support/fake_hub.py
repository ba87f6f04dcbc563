"""A model hub on this machine, for what downloads."""

from __future__ import annotations

import hashlib
import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

COMMIT = "c0ffee" + "0" * 34


class Hub(BaseHTTPRequestHandler):
    """The few answers of the hub that a download needs."""

    folder: Path
    requests: list[str]

    def do_GET(self) -> None:
        self.answer(body=True)

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        self.requests.append(path)
        if "private" in path or "gated" in path:
            code = "GatedRepo" if "gated" in path else "RepoNotFound"
            return self.send(403 if "gated" in path else 401, b"{}", {"X-Error-Code": code})
        if "missing" in path:
            return self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        if "/revision/v9" in path:
            return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        files = sorted(p.name for p in self.folder.iterdir())
        if path.startswith("/api/models/") and "/tree/" in path:
            tree = [
                {"type": "file", "path": f, "size": (self.folder / f).stat().st_size, "oid": f}
                for f in files
            ]
            return self.send(200, json.dumps(tree).encode(), {})
        if path.startswith("/api/models/"):
            facts = {
                "id": "org/tiny",
                "sha": COMMIT,
                "siblings": [{"rfilename": f} for f in [*files, "flax_model.msgpack"]],
            }
            return self.send(200, json.dumps(facts).encode(), {})
        content = (self.folder / path.rsplit("/", 1)[1]).read_bytes()
        etag = hashlib.sha256(content).hexdigest()
        self.send(
            200,
            content if body else b"",
            {"X-Repo-Commit": COMMIT, "ETag": f'"{etag}"'},
            len(content),
        )

    def send(self, status: int, body: bytes, headers: dict[str, str], length: int = -1) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length < 0 else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        pass
