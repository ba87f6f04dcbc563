"""Every way to give one image, what cannot be opened, and limits."""

from __future__ import annotations

import base64
import contextlib
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import hostile
import unseen
from unseen.images.limits import Limits
from unseen.images.open import full_size, open_image, upright_size

PNG = hostile.encoded("PNG")
PLAIN = np.asarray(hostile.picture())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(PNG)
    return path


def test_every_way_gives_the_same_pixels(file: Path, server: str) -> None:
    text = base64.b64encode(PNG).decode()
    ways: dict[str, Any] = {
        "str": str(file),
        "Path": file,
        "bytes": PNG,
        "bytearray": bytearray(PNG),
        "memoryview": memoryview(PNG),
        "file object": io.BytesIO(PNG),
        "base64": text,
        "base64 in lines, without padding": "\n".join([text[:70], text[70:].rstrip("=")]),
        "data URI": f"data:image/png;base64,{text}",
        "PIL": Image.open(file),
        "numpy": PLAIN,
        "numpy, floats": PLAIN / 255,
        "numpy, float32": (PLAIN / 255).astype(np.float32),
        "numpy, uint16": PLAIN.astype(np.uint16) * 257,
        "numpy, opaque": np.dstack([PLAIN, np.full(PLAIN.shape[:2], 255, np.uint8)]),
        "URL": f"{server}/picture.png",
        "URL, redirected": f"{server}/redirect/3",
    }
    for name, way in ways.items():
        np.testing.assert_array_equal(np.asarray(open_image(way)), PLAIN, name)


def test_grey_alpha_and_deep_pictures() -> None:
    ramp = np.tile(np.arange(256, dtype=np.uint8), (4, 1))
    for grey in (
        ramp,
        ramp[..., None],
        ramp.astype(np.uint16) * 257,
        Image.fromarray(ramp.astype(np.uint16) * 257),
        hostile.encoded("PNG", Image.fromarray(ramp.astype(np.uint16) * 257)),
        hostile.encoded("TIFF", Image.fromarray(ramp.astype(np.float32) / 255)),
        Image.fromarray(ramp.astype(np.int32)),
    ):
        np.testing.assert_array_equal(np.asarray(open_image(grey)), np.dstack([ramp] * 3))
    clear = np.zeros((3, 3, 4), np.uint8)
    assert (np.asarray(open_image(clear)) == 255).all()  # transparent is white, not black
    half = np.full((1, 1, 4), 128, np.uint8)
    assert np.asarray(open_image(half)).item(0) == pytest.approx(191, abs=1)
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putdata([0, 1])
    gif = hostile.encoded("GIF", palette, transparency=0)
    assert np.asarray(open_image(gif)).tolist() == [[[255, 255, 255], [0, 255, 0]]]


def test_the_first_frame_of_an_animation() -> None:
    frames = [Image.new("RGB", (9, 9), c) for c in ("red", "blue")]
    for format in ("GIF", "WEBP", "TIFF", "PNG"):
        options = {"lossless": True} if format == "WEBP" else {}
        whole = hostile.encoded(
            format, frames[0], save_all=True, append_images=frames[1:], **options
        )
        assert open_image(whole).getpixel((4, 4)) == (255, 0, 0)


def test_a_source_that_is_given_is_left_as_it_was(file: Path) -> None:
    image = Image.open(file).convert("RGB")
    opened = open_image(image)
    opened.putpixel((0, 0), (1, 2, 3))
    assert image.getpixel((0, 0)) != (1, 2, 3)


@pytest.mark.parametrize(
    "source, words",
    [
        ("nowhere.png", "no such file"),
        (Path("nowhere.png"), "no such file"),
        ("", "no such file"),
        ("cat", "no such file"),
        ("a\0b", "no such file"),
        ("Y2F0", "no such file"),  # base64, but of no picture
        (".", "folder"),
        (7, "int is not a picture"),
        (None, "NoneType is not a picture"),
        ("ftp://example.com/a.png", "addresses of ftp:// are not read"),
    ],
)
def test_nothing_to_read(source: Any, words: str) -> None:
    with pytest.raises(unseen.SourceError, match=words):
        open_image(source)


@pytest.mark.parametrize(
    "source, words",
    [
        (np.zeros((4, 4, 2), np.uint8), "not a picture"),
        (np.zeros(4, np.uint8), "not a picture"),
        (np.zeros((0, 4), np.uint8), "empty"),
        (np.full((4, 4), 255.0), "divide"),
        (np.full((4, 4), np.nan), "divide"),
        (np.zeros((4, 4), np.int64), "int64"),
        (io.StringIO("text"), "binary mode"),
        ("data:image/png;base64,####", "broken"),
        ("data:image/png", "comma"),
        (b"nothing of the kind", "known format"),
    ],
)
def test_not_a_picture(source: Any, words: str) -> None:
    with pytest.raises(unseen.ImageError, match=words):
        open_image(source)


def test_a_message_never_holds_a_whole_base64_string() -> None:
    text = base64.b64encode(b"no picture" * 10_000).decode()
    for source in (text, "data:image/png;base64," + text):
        with pytest.raises(unseen.UnseenError) as error:
            open_image(source)
        assert len(str(error.value)) < 300


def test_limits_can_be_set(file: Path) -> None:
    with pytest.raises(unseen.ImageError, match="max_bytes"):
        open_image(file, limits=Limits(max_bytes=100))
    with pytest.raises(unseen.ImageError, match="max_pixels"):
        open_image(file, limits=Limits(max_pixels=100))
    with pytest.raises(unseen.ImageError, match="max_pixels"):
        open_image(PLAIN, limits=Limits(max_pixels=100))


def test_forty_megapixels_load_and_180_are_refused_before_they_are_decoded() -> None:
    assert open_image(hostile.encoded("PNG", Image.new("L", (8000, 5000)))).size == (8000, 5000)
    start = time.thread_time()
    for size in [(15_000, 12_000), (10_001, 10_000)]:
        with pytest.raises(unseen.ImageError, match="pixels"):
            open_image(hostile.png_bomb(*size))
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_the_size_of_a_picture_is_known_although_it_came_out_smaller(orientation: int) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    for side, kind in ((1000, "JPEG"), (1000, "PNG"), (100, "JPEG")):
        buffer = io.BytesIO()
        Image.new("RGB", (2 * side, side)).save(buffer, kind, exif=exif)
        image = open_image(buffer.getvalue(), at_least=64)
        assert (max(image.size) < 2 * side) == (side == 1000 and kind == "JPEG")
        expected = (side, 2 * side) if orientation == 6 else (2 * side, side)
        assert full_size(image) == upright_size(buffer.getvalue()) == expected


def test_a_jpeg_is_decoded_at_no_less_than_thrice_what_is_wanted() -> None:
    photo = hostile.encoded("JPEG", hostile.picture((4000, 3000)), quality=90)
    assert open_image(photo).size == (4000, 3000)
    assert open_image(photo, at_least=224).size == (1000, 750)
    assert open_image(photo, at_least=500).size == (2000, 1500)
    assert open_image(photo, at_least=700).size == (4000, 3000)


# URLs, from a server on this machine


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        kind, _, rest = self.path.strip("/").partition("/")
        if kind == "redirect":
            remaining = int(rest)
            self.send_response(302)
            self.send_header(
                "Location", f"/redirect/{remaining - 1}" if remaining > 1 else "/picture.png"
            )
            self.end_headers()
        elif kind == "file":
            self.send_response(302)
            self.send_header("Location", "file:///etc/passwd")
            self.end_headers()
        elif kind == "missing":
            self.send_error(404)
        elif kind == "slow":
            self.send_response(200)
            self.end_headers()
            for byte in PNG:
                self.wfile.write(bytes([byte]))
                time.sleep(0.05)
        elif kind == "endless":
            self.send_response(200)
            self.end_headers()
            for _ in range(200):
                self.wfile.write(b"\0" * 65536)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(PNG)))
            self.end_headers()
            self.wfile.write(PNG)

    def log_message(self, *args: Any) -> None:
        pass

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has had enough
            super().handle()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}"
    httpd.shutdown()
    httpd.server_close()


@pytest.mark.parametrize(
    "path, limits, words",
    [
        ("missing", Limits(), "404"),
        ("redirect/9", Limits(), "redirects"),
        ("file/x", Limits(), "only http and https"),
        ("endless", Limits(max_bytes=1_000_000), "max_bytes"),
        ("slow", Limits(max_seconds=0.3), "0.3 s"),
    ],
)
def test_urls_have_limits(server: str, path: str, limits: Limits, words: str) -> None:
    start = time.perf_counter()
    with pytest.raises(unseen.SourceError, match=words):
        open_image(f"{server}/{path}", limits=limits)
    assert time.perf_counter() - start < 3


def test_a_server_that_is_not_there() -> None:
    with pytest.raises(unseen.SourceError, match="cannot be reached"):
        open_image("http://127.0.0.1:9/picture.png")


def test_the_address_that_is_checked_is_the_one_connected_to(server: str) -> None:
    port = int(server.rpartition(":")[2])
    seen: list[tuple[str, int, str]] = []

    def refuse(host: str, port: int, address: str) -> None:
        seen.append((host, port, address))
        raise unseen.SourceError("not there")

    with pytest.raises(unseen.SourceError, match="none of its public addresses") as refused:
        open_image(f"{server}/redirect/2", check_address=refuse)
    assert str(refused.value.__cause__) == "not there"  # for the log; strangers are not told
    assert seen == [("127.0.0.1", port, "127.0.0.1")]
    seen.clear()
    open_image(f"{server}/redirect/2", check_address=lambda *arguments: seen.append(arguments))
    assert seen == [("127.0.0.1", port, "127.0.0.1")] * 3  # each redirect is checked again


def test_a_long_path_stays_whole_in_an_error(tmp_path: Path) -> None:
    """Its end is what tells it from others; of base64 the start is enough."""
    folder = tmp_path.joinpath(*["a folder with a long name"] * 10)
    folder.mkdir(parents=True)
    path, buffer = folder / "cut.png", io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    path.write_bytes(buffer.getvalue()[:40])
    with pytest.raises(unseen.ImageError) as broken:
        open_image(path)
    assert str(broken.value).startswith(f"{path}: ") and len(str(path)) > 240
    with pytest.raises(unseen.ImageError) as of_text:
        open_image("data:image/png;base64," + "A" * 4000)
    assert len(str(of_text.value)) < 200
