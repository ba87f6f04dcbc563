"""Cameras that are none: MPEG-TS by TCP, MJPEG by HTTP, and a network that knows colours."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from films import encode, plain
from unseen.images.open import open_image
from unseen.video.events import States

COLOURS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 220)}
NAMES = (*COLOURS, "unknown")
GREY = (128, 128, 128)


def coloured(name: str, height: int = 48, width: int = 64, noise: int = 0) -> np.ndarray:
    """A picture of one colour; `noise` makes it large when encoded, and not like any other."""
    picture = plain(0, height, width) + np.uint8(COLOURS.get(name, GREY))
    if noise:
        grain = np.random.default_rng(noise).integers(-25, 26, picture.shape)
        picture = np.clip(picture.astype(int) + grain + 7 * (noise % 3), 0, 255).astype(np.uint8)
    return picture


class Colours:
    """Answers by the mean colour; `seconds` a picture, as a network takes."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.looked = 0

    def embed(self, pictures: Sequence[Any]) -> list[Any]:
        time.sleep(self.seconds * len(pictures))
        self.looked += len(pictures)
        return [self._embedding(picture) for picture in pictures]

    def _embedding(self, picture: Any) -> np.ndarray:
        pixels = picture if isinstance(picture, np.ndarray) else np.asarray(open_image(picture))
        mean = pixels.reshape(-1, 3).mean(0) - 100.0
        return (mean / (np.linalg.norm(mean) or 1)).astype(np.float32)

    def states(self, embeddings: np.ndarray) -> tuple[States, np.ndarray, np.ndarray]:
        rows = np.array([*COLOURS.values(), (110, 110, 110)], float) - 100
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        logits = 12 * embeddings @ rows.T
        p = np.exp(logits - logits.max(1, keepdims=True))
        return States(NAMES), (p / p.sum(1, keepdims=True)).astype(np.float32), logits.max(1)


def transport_stream(path: Path, parts: Sequence[tuple[str, int]], *, noise: bool = False) -> bytes:
    """Colours, each for so many pictures, as MPEG-TS of keyframes only."""
    pictures = [
        coloured(name, 120, 160, 1000 * number + i + 1) if noise else coloured(name)
        for number, (name, count) in enumerate(parts)
        for i in range(count)
    ]
    return encode(path, pictures, codec="mpeg2video", gop=1).read_bytes()


class Sender:
    """A camera at a port of this machine, which sends to one client after another."""

    def __init__(self) -> None:
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._server.getsockname()[1]}"

    def send(self, content: bytes, seconds: float) -> None:
        """To the next client, evenly over the time; then the connection breaks."""
        connection, _ = self._server.accept()
        with connection:
            pieces = max(1, round(seconds / 0.05))
            size = -(-len(content) // pieces)
            for start in range(0, len(content), size):
                connection.sendall(content[start : start + size])
                time.sleep(0.05)

    def close(self) -> None:
        self._server.close()


@contextmanager
def http_camera(names: Sequence[str], rate: float = 20.0) -> Iterator[str]:
    """A camera that sends MJPEG at /stream, again for each client, and a picture at /still.jpg."""

    def jpeg(name: str) -> bytes:
        file = io.BytesIO()
        Image.fromarray(coloured(name)).save(file, "JPEG")
        return file.getvalue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            if self.path.startswith("/still"):
                body = jpeg(names[0])
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            for name in names:
                body = jpeg(name)
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body + b"\r\n")
                time.sleep(1 / rate)

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
