"""The exported web app in Chromium, against the library on the same files."""

from __future__ import annotations

import functools
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from filelock import FileLock
from PIL import Image

import unseen
from browsers import DESK, PHONE, Browser, chromium
from unseen.deployment.web_runtime import RUNTIME, runtime_files
from unseen.errors import SourceError

LABELS = ["cat", "dog", "castle", "fish"]
SIZE_IS_SAID = "document.querySelector('#size').textContent.includes('MB')"
CLASSIFY = """
const [name, done] = arguments;
(async () => {
  window.classifier ??= await (await import("./unseen.js")).load("./");
  const blob = await (await fetch(`pictures/${name}`)).blob();
  return await window.classifier.classify(blob);
})().then(done, (error) => done({ error: error.message }));
"""


@pytest.fixture(scope="module")
def runtime() -> Path:
    """ONNX Runtime Web, fetched once a run; skips where npm's registry cannot be reached."""
    folder = Path(os.environ["UNSEEN_TESTS_RUN"]) / "onnxruntime-web"
    with FileLock(folder.with_suffix(".lock")):
        if not folder.exists():
            try:
                files = runtime_files()
            except SourceError as error:
                pytest.skip(f"the runtime cannot be fetched: {error}")
            folder.mkdir()
            for name, content in files.items():
                (folder / name).write_bytes(content)
    return folder


class Host(http.server.ThreadingHTTPServer):
    """A static host that counts what it is asked for."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        self.paths: list[str] = []
        owner = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            extensions_map: ClassVar[dict[str, str]] = {
                **http.server.SimpleHTTPRequestHandler.extensions_map,
                ".mjs": "text/javascript",
                ".wasm": "application/wasm",
            }

            def do_GET(self) -> None:
                owner.paths.append(self.path)
                super().do_GET()

            def log_message(self, *_: Any) -> None: ...

        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


@pytest.fixture(scope="module")
def classifier() -> unseen.Classifier:
    return unseen.load(exact=True)


@pytest.fixture(scope="module")
def app(
    classifier: unseen.Classifier,
    runtime: Path,
    photographs: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The app of the built-in model, with pictures of every kind beside it."""
    folder = tmp_path_factory.mktemp("web") / "app"
    classifier.export_web(LABELS, folder, precision="fp32", runtime=runtime)
    pictures = folder / "pictures"
    pictures.mkdir()
    cat = Image.open(next((photographs / "cat").iterdir())).convert("RGB")
    cat.save(pictures / "plain.jpg", quality=90)
    cat.save(pictures / "progressive.jpg", progressive=True, quality=85)
    cat.convert("L").save(pictures / "grey.jpg")
    cat.convert("CMYK").save(pictures / "cmyk.jpg")
    cat.save(pictures / "lossless.png")
    cat.save(pictures / "new.webp", quality=80)
    turned = Image.Exif()
    turned[0x0112] = 6
    cat.save(pictures / "turned.jpg", exif=turned)
    clear = cat.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(cat.size))
    clear.save(pictures / "clear.png")
    for name in ("dog", "castle", "fish"):
        file = sorted((photographs / name).iterdir())[0]
        (pictures / f"{name}.jpg").write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def host(app: Path) -> Iterator[Host]:
    server = Host(app)
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        driver.set_script_timeout(180)
        yield Browser(driver)


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


def test_the_same_answers_as_the_library(
    browser: Browser, host: Host, app: Path, classifier: unseen.Classifier
) -> None:
    browser.open(host.url)
    for picture in sorted((app / "pictures").iterdir()):
        given = answers(browser, picture.name)
        right = classifier.classify(picture, LABELS)
        assert max(given, key=lambda label: given[label]) == right.label, picture.name
        # Half-transparent pixels and CMYK may differ by one grey level.
        tolerance = 0.02 if picture.name in ("clear.png", "cmyk.jpg") else 2e-3
        for scored in right.ranking:
            assert given[scored.label] == pytest.approx(scored.score, abs=tolerance), picture.name


def test_nobody_else_is_asked(browser: Browser, host: Host) -> None:
    browser.open(host.url)
    answers(browser, "plain.jpg")
    names = browser.driver.execute_script(
        "return performance.getEntriesByType('resource').map((entry) => entry.name)"
    )
    assert names and all(name.startswith((host.url, "blob:")) for name in names)


def test_the_page_shows_bars_for_files_that_are_chosen(
    browser: Browser, host: Host, app: Path
) -> None:
    for size in (DESK, PHONE):
        browser.open(host.url, size)
        wait(browser, SIZE_IS_SAID)
        files = [app / "pictures" / name for name in ("dog.jpg", "castle.jpg")]
        browser.driver.find_element("id", "files").send_keys("\n".join(map(str, files)))
        wait(browser, "document.querySelectorAll('.card .bar').length === 8")
        cards = browser.driver.find_elements("css selector", ".card")
        assert [card.text.splitlines()[0] for card in cards] == ["castle", "dog"]
        assert browser.has_no_sideways_scroll()


def test_a_second_visit_needs_no_network(browser: Browser, app: Path) -> None:
    server = Host(app)
    browser.open(server.url)
    wait(browser, "navigator.serviceWorker.controller !== null")
    answers(browser, "plain.jpg")
    server.shutdown()
    server.server_close()
    browser.driver.refresh()
    wait(browser, SIZE_IS_SAID)
    given = answers(browser, "plain.jpg")
    assert max(given, key=lambda label: given[label]) == "cat"


@pytest.mark.parametrize("what", ["model", "classifier.json", "golden"])
def test_what_is_damaged_is_refused_by_name(
    browser: Browser,
    classifier: unseen.Classifier,
    runtime: Path,
    tmp_path: Path,
    what: str,
) -> None:
    folder = tmp_path / "app"
    classifier.export_web(["cat", "dog"], folder, precision="fp16", runtime=runtime)
    if what == "model":
        file = next(folder.glob("model-00-*"))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
        message = f"{file.name} is damaged"
    elif what == "classifier.json":
        file = folder / what
        file.write_text(file.read_text("utf-8").replace("dog", "cow"), "utf-8")
        message = "classifier.json is damaged"
    else:  # somebody who mends the digest, too
        import hashlib

        file = folder / "classifier.json"
        before = hashlib.sha256(file.read_bytes()).hexdigest()
        facts = json.loads(file.read_text("utf-8"))
        facts["golden"][0]["probabilities"].reverse()
        file.write_text(json.dumps(facts), "utf-8")
        script = folder / "unseen.js"
        after = hashlib.sha256(file.read_bytes()).hexdigest()
        script.write_text(script.read_text("utf-8").replace(before, after), "utf-8")
        message = "the self-test failed"
    server = Host(folder)
    try:
        browser.open(server.url, quiet=False)
        outcome = browser.driver.execute_async_script(CLASSIFY, "none.jpg")
        assert message in outcome["error"]
    finally:
        server.shutdown()
        server.server_close()


def test_a_picture_that_is_none(browser: Browser, host: Host, app: Path) -> None:
    (app / "pictures" / "broken.jpg").write_bytes(b"no picture")
    try:
        browser.open(host.url)
        outcome = browser.driver.execute_async_script(CLASSIFY, "broken.jpg")
        assert "cannot be read by the browser" in outcome["error"]
    finally:
        (app / "pictures" / "broken.jpg").unlink()


def test_the_folder_is_small_and_whole(app: Path) -> None:
    assert (app / "unseen.js").stat().st_size <= 10_000
    assert {*RUNTIME, "index.html", "sw.js", "_headers", "unseen.d.ts"} <= {
        file.name for file in app.iterdir()
    }
    assert "Microsoft" in (app / "onnxruntime-web.LICENSE.txt").read_text("utf-8")
    assert "{{" not in "".join(
        (app / name).read_text("utf-8") for name in ("index.html", "unseen.js", "sw.js", "_headers")
    )


def test_a_folder_of_somebody_else_is_never_replaced(
    classifier: unseen.Classifier, runtime: Path, tmp_path: Path
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(SourceError, match="not an exported web app"):
        classifier.export_web(LABELS, tmp_path, runtime=runtime, overwrite=True)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_runtime_that_is_not_there(classifier: unseen.Classifier, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="npm pack onnxruntime-web@"):
        classifier.export_web(LABELS, tmp_path / "app", runtime=tmp_path)
    assert not (tmp_path / "app").exists()
