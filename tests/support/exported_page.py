"""An exported web app, served and asked."""

from __future__ import annotations

import functools
import http.server
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from browsers import Browser

SIZE_IS_SAID = "document.querySelector('#size').textContent.includes('MB')"
CLASSIFY = """
const [name, done] = arguments;
(async () => {
  window.classifier ??= await (await import("./unseen.js")).load("./");
  const blob = await (await fetch(`pictures/${name}`)).blob();
  return await window.classifier.classify(blob);
})().then(done, (error) => done({ error: error.message }));
"""
# What hosts that read `_headers` send with every file.
ISOLATED = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class Host(http.server.ThreadingHTTPServer):
    """A static host that counts what it is asked for."""

    daemon_threads = True

    def __init__(self, folder: Path, headers: Mapping[str, str] | None = None) -> None:
        self.paths: list[str] = []
        owner = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            extensions_map: ClassVar[dict[str, str]] = {
                **http.server.SimpleHTTPRequestHandler.extensions_map,
                ".mjs": "text/javascript",
            }

            def do_GET(self) -> None:
                owner.paths.append(self.path)
                super().do_GET()

            def end_headers(self) -> None:
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                super().end_headers()

            def log_message(self, *_: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """A browser that leaves in the middle of a file is no news."""

    def __exit__(self, *_: Any) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


def wait(browser: Browser, condition: str, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not browser.js(f"return {condition}"):
        assert time.monotonic() < end, condition
        time.sleep(0.05)


def answers(browser: Browser, name: str) -> dict[str, float]:
    rows = browser.driver.execute_async_script(CLASSIFY, name)
    assert isinstance(rows, list), rows
    assert [row["probability"] for row in rows] == sorted(
        (row["probability"] for row in rows), reverse=True
    )
    return {row["label"]: row["probability"] for row in rows}


def evaluated(browser: Browser, expression: str) -> Any:
    """What an expression of the page's classifier is, once that is loaded."""
    script = (
        "const [done] = arguments; (async () => {"
        'window.classifier ??= await (await import("./unseen.js")).load("./");'
        f"return {expression}; }})().then(done, (error) => done({{ error: error.message }}));"
    )
    return browser.driver.execute_async_script(script)
