"""The page of `unseen serve` in headless Chromium, against a server of its own."""

from __future__ import annotations

import base64
import json
import re
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import browsers
import shapes
from browsers import DESK, HOSTILE, PHONE, Keys
from unseen.web.assets import page_files

COLOURS = "a red circle, a green square, a blue star"
FAKE_CAMERA = "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"


class Server:
    """`unseen serve` as people start it."""

    def __init__(self, port: int, *options: str) -> None:
        self.url = f"http://127.0.0.1:{port}"
        command = [sys.executable, "-m", "unseen", "serve", "--quiet", "--port", str(port)]
        self.process = subprocess.Popen([*command, *options], stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while True:
            assert self.process.poll() is None, "the server ended"
            assert time.monotonic() < end, "the server does not start"
            try:
                self.get("/readyz")
                return
            except OSError:
                time.sleep(0.1)

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


class Page(browsers.Browser):
    """What a person does on the page."""

    def fresh(self, url: str, *arguments: Any, **options: Any) -> Page:
        """Opened by somebody who was never here."""
        self.driver.get(url + "/info")
        self.js("localStorage.clear(); sessionStorage.clear()")
        self.open(url + "/", *arguments, **options)
        self.until(lambda: self.one("#model").text)
        return self

    def pick(self, *files: Path) -> None:
        self.one("#files").send_keys("\n".join(map(str, files)))

    def drop(self, *files: Path) -> None:
        """The browser's own event, with files in it, over the middle of the page."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            event = {"type": kind, "x": 300, "y": 300, "data": data}
            self.driver.execute_cdp_cmd("Input.dispatchDragEvent", event)

    def label(self, text: str) -> None:
        self.one("#label").send_keys(text)

    def relabel(self, labels: str) -> None:
        self.one("#clear").click()
        self.label(labels + Keys.ENTER)

    def chips(self) -> list[str]:
        return self.shown(".chip .name")

    def ranking(self) -> list[str]:
        return self.shown("#bars .word")

    def answered(self) -> bool:
        """Whether every picture has the answer to the present labels."""
        return bool(
            self.js(
                "const row = [...document.querySelectorAll('#bars .number')];"
                "const open = document.querySelectorAll('.tile.waiting, .tile.sent').length;"
                "return !open && row.length > 0 && row.every((e) => e.textContent !== '–')"
            )
        )

    def ranks(self, *labels: str) -> None:
        """Waits until these labels, and no others, have a probability."""
        self.until(lambda: self.answered() and sorted(self.ranking()) == sorted(labels))

    def requests(self, path: str) -> list[float]:
        """The milliseconds of each request to a path."""
        found: list[float] = self.js(
            "return performance.getEntriesByType('resource')"
            ".filter((e) => new URL(e.name).pathname === arguments[0]).map((e) => e.duration)",
            path,
        )
        return found

    def status(self) -> str:
        shown = self.shown("#statusText")
        return shown[0] if shown else ""

    def focused(self) -> str:
        text: str = self.js("const e = document.activeElement; return e.id || e.title || e.tagName")
        return text

    def paste(self, text: str) -> None:
        """What Ctrl-V does with this text."""
        self.js(
            "const data = new DataTransfer(); data.setData('text/plain', arguments[1]);"
            "const all = { clipboardData: data, bubbles: true, cancelable: true };"
            "document.querySelector(arguments[0]).dispatchEvent(new ClipboardEvent('paste', all))",
            "#label",
            text,
        )


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.chromium(tmp_path_factory.mktemp("profile"), *FAKE_CAMERA) as driver:
        yield driver


@pytest.fixture
def page(driver: Any) -> Page:
    return Page(driver)


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory, shapes_clip: Path) -> Path:
    """An indexed folder: each label once, some more often, and names that are hostile."""
    folder = tmp_path_factory.mktemp("collection")
    for name in shapes.labels():
        shapes.draw(shapes.scene(name), 1).save(folder / f"{name[2:].replace(' ', '-')}.png")
    shapes.draw(shapes.scene("a red circle"), 2).save(folder / HOSTILE[0])
    command = [sys.executable, "-m", "unseen", "index", str(folder), "-m", str(shapes_clip), "-q"]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def url(shapes_clip: Path, collection: Path) -> Iterator[str]:
    server = Server(free_port(), "--model", str(shapes_clip), "--index", str(collection))
    yield server.url
    server.stop()


@pytest.fixture
def drawn(tmp_path: Path) -> dict[str, Path]:
    """One picture of each of three labels."""
    files = {}
    for label in COLOURS.split(", "):
        files[label] = tmp_path / f"{label[2:].replace(' ', '-')}.png"
        shapes.draw(shapes.scene(label), 5, side=256).save(files[label])
    return files


@pytest.fixture
def hostile_file(tmp_path: Path) -> Path:
    file = tmp_path / HOSTILE[0]
    shapes.draw(shapes.scene("a red circle"), 5).save(file, "PNG")
    return file


# pictures


def test_the_page_is_small() -> None:
    sizes = {name: len(content) for name, content in page_files("unseen.web.server").items()}
    assert {"index.html", "palette.css", "page.css", "page.js"} <= set(sizes)
    assert sum(sizes.values()) < 60_000


def test_the_first_look_is_not_blank(page: Page, url: str) -> None:
    page.fresh(url)
    assert len(page.chips()) >= 3
    assert page.ranking() == page.chips()
    assert page.one("#invitation").is_displayed()
    assert "dimensions" in page.one("#model").text
    assert page.one("footer a").get_attribute("href") == url + "/openapi.json"
    assert page.log() == []


@pytest.mark.parametrize("way", ["pick", "drop"])
def test_a_picture_is_named(page: Page, url: str, drawn: dict[str, Path], way: str) -> None:
    page.fresh(url)
    page.relabel(COLOURS)
    getattr(page, way)(drawn["a green square"])
    page.ranks(*drawn)
    assert page.ranking()[0] == "a green square"
    numbers = [float(text.strip("<> %")) for text in page.shown("#bars .number")]
    assert numbers == sorted(numbers, reverse=True) and numbers[0] > 50
    assert re.fullmatch(r"a green square: cosine 0\.\d{3}", page.one(".bar").get_attribute("title"))
    page.until(lambda: page.one("#shown").is_displayed())
    assert page.log() == []


def test_a_picture_is_pasted(page: Page, url: str, drawn: dict[str, Path]) -> None:
    page.fresh(url)
    page.relabel(COLOURS)
    content = base64.b64encode(drawn["a blue star"].read_bytes()).decode()
    page.js(
        "const bytes = Uint8Array.from(atob(arguments[0]), (c) => c.charCodeAt(0));"
        "const data = new DataTransfer();"
        "data.items.add(new File([bytes], 'image.png', { type: 'image/png' }));"
        "const all = { clipboardData: data, bubbles: true };"
        "document.body.dispatchEvent(new ClipboardEvent('paste', all))",
        content,
    )
    page.ranks(*drawn)
    assert page.ranking()[0] == "a blue star"


def test_the_camera_takes_one_and_is_switched_off(page: Page, url: str) -> None:
    page.fresh(url)
    page.until(lambda: page.one("#camera").is_displayed())
    page.one("#camera").click()
    page.until(lambda: page.one("#shoot").is_enabled())
    page.js("window.tracks = document.getElementById('video').srcObject.getTracks()")
    page.one("#shoot").click()
    page.until(lambda: page.one("#shownName").text.startswith("camera-"))
    assert page.js("return tracks.map((track) => track.readyState)") == ["ended"]
    page.until(page.answered)
    page.one("#camera").click()
    page.until(lambda: page.one("#cameraDialog").is_displayed())
    page.js("window.tracks = document.getElementById('video').srcObject.getTracks()")
    page.keys(Keys.ESCAPE)
    page.until(lambda: page.js("return tracks[0].readyState") == "ended")
    assert page.log() == []


def test_no_camera_no_button(page: Page, url: str) -> None:
    """Two ways to have none: no device, and a page that came over plain http."""
    code = (
        "Object.defineProperty(navigator, 'mediaDevices', { value: %s });"
        "addEventListener('DOMContentLoaded', () => setTimeout(() => (window.late = true), 300))"
    )
    for value in ("{ enumerateDevices: async () => [{ kind: 'audioinput' }] }", "undefined"):
        added = page.driver.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": code % value}
        )
        page.fresh(url)
        page.until(lambda: page.js("return window.late"))
        assert not page.one("#camera").is_displayed()
        page.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_several_keep_their_results_and_a_broken_one_says_why(
    page: Page, url: str, drawn: dict[str, Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8 this is no picture")
    page.fresh(url)
    page.relabel(COLOURS)
    page.pick(*drawn.values(), broken)
    page.until(lambda: page.shown(".tile .caption") == [*drawn, "not read"])
    page.ranks(*drawn)
    for place, label in enumerate(drawn):
        page.all(".tile")[place].click()
        assert page.ranking()[0] == label
    page.all(".tile")[3].click()
    assert page.one("#trouble").is_displayed()
    assert "not a picture" in page.one("#troubleText").text
    page.label("a pink ring,")
    page.until(lambda: all(text == "–" for text in page.shown("#bars .number")))
    page.all(".tile")[0].click()
    page.ranks(*drawn, "a pink ring")
    assert len(page.requests("/v1/embed")) == 4
    page.one("#remove").click()
    assert page.shown(".tile .caption") == [*list(drawn)[1:], "not read"]
    page.one("#removeAll").click()
    assert page.one("#invitation").is_displayed()
    assert page.log() == []


def test_what_is_too_large_is_not_sent(page: Page, url: str, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.new("1", (20_000, 6_000)).save(wide)
    heavy = tmp_path / "heavy.png"
    with heavy.open("wb") as file:
        file.truncate(70_000_000)
    page.fresh(url)
    page.pick(wide, heavy)
    page.until(lambda: page.shown(".tile .caption") == ["not read"] * 2)
    assert "120 megapixels, and this server takes 100" in page.one("#troubleText").text
    page.all(".tile")[1].click()
    assert "70 MB, and this server takes" in page.one("#troubleText").text
    assert page.requests("/v1/embed") == []


# labels


def test_a_change_of_labels_sends_no_picture(
    page: Page, url: str, drawn: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    page.fresh(url)
    page.relabel(COLOURS)
    page.pick(drawn["a red circle"])
    page.ranks(*drawn)
    there = list(drawn)
    for label in [name for name in shapes.labels() if name not in drawn][:15]:
        page.label(label + ",")
        there.append(label)
        page.ranks(*there)
    assert page.ranking()[0] == "a red circle"
    assert len(page.requests("/v1/embed")) == 1
    times = page.requests("/v1/classify")
    assert len(times) == 16
    with capsys.disabled():
        print(f" [a change of labels: {statistics.median(times):.0f} ms]", end="")
    assert statistics.median(times) < 1000


def test_an_older_answer_is_dropped(page: Page, url: str, drawn: dict[str, Path]) -> None:
    """The first answer is held back until the second has come."""
    page.fresh(url)
    page.relabel(COLOURS)
    page.pick(drawn["a red circle"])
    page.ranks(*drawn)
    page.js(
        "const real = window.fetch; let first = true;"
        "window.fetch = async (path, options) => {"
        "  const held = first; first = false;"
        "  const answer = await real(path, { ...options, signal: undefined });"
        "  if (held) await new Promise((resolve) => (window.release = resolve));"
        "  return answer;"
        "}"
    )
    page.label("a pink ring,")
    page.until(lambda: page.js("return !!window.release"))
    page.label("a black cross,")
    page.ranks(*drawn, "a pink ring", "a black cross")
    page.js("release()")
    page.js("document.body.offsetWidth")
    time.sleep(0.2)
    page.ranks(*drawn, "a pink ring", "a black cross")


def test_chips_by_keyboard(page: Page, url: str) -> None:
    page.fresh(url)
    page.one("#clear").click()
    assert page.focused() == "label"
    assert page.shown("#ideas button")
    page.keys("cat,", "dog", Keys.ENTER, "cat,", " big   bird ", Keys.ENTER)
    assert page.chips() == ["cat", "dog", "big bird"]
    page.keys(Keys.BACKSPACE)
    assert page.chips() == ["cat", "dog"]
    page.paste("fish, cow\nhen\n\nfish")
    assert page.chips() == ["cat", "dog", "fish", "cow", "hen"]
    page.keys(Keys.ARROW_LEFT)
    assert page.focused() == "hen"
    page.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert page.focused() == "fish"
    outline = page.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keys(Keys.DELETE)
    assert page.chips() == ["cat", "dog", "cow", "hen"] and page.focused() == "cow"
    page.keys(Keys.BACKSPACE)
    assert page.chips() == ["cat", "dog", "hen"] and page.focused() == "dog"
    page.keys(Keys.HOME, Keys.ENTER)
    assert page.chips() == ["dog", "hen"] and page.focused() == "label"
    page.keys("tom", Keys.ENTER, Keys.ARROW_LEFT, Keys.ARROW_RIGHT)
    assert page.chips() == ["dog", "hen", "tom"] and page.focused() == "label"
    page.all(".chip .cross")[0].click()
    page.label("left alone")
    page.one("h1").click()
    assert page.chips() == ["hen", "tom", "left alone"]
    page.driver.refresh()
    page.until(lambda: page.one("#model").text)
    assert page.chips() == ["hen", "tom", "left alone"]


def test_options(page: Page, url: str, drawn: dict[str, Path]) -> None:
    page.fresh(url)
    page.relabel(COLOURS)
    page.pick(drawn["a red circle"])
    page.ranks(*drawn)
    page.one("#unknown").click()
    page.ranks(*drawn, "none of these")
    page.one("#background").clear()
    page.one("#background").send_keys("a red circle with a hat, a hole")
    page.until(lambda: json.loads(page.js("return localStorage['unseen-words']"))["unknown"])
    page.one("#multi").click()
    assert page.one("#multi").get_attribute("aria-pressed") == "true"
    page.until(page.answered)
    page.one("#multi").click()
    page.one("#unknown").click()
    page.ranks(*drawn)
    options = [o.get_attribute("value") for o in page.all("#template option")]
    assert {"", "imagenet", "simple", "{}"} <= set(options)
    page.js(
        "const select = document.getElementById('template'); select.value = '{}';"
        "select.dispatchEvent(new Event('change'))"
    )
    asked = len(page.requests("/v1/classify"))
    page.one("#custom").clear()
    page.one("#custom").send_keys("a drawing")
    assert "{}" in page.one("#customWrong").text
    assert page.one("#custom").get_attribute("aria-invalid") == "true"
    page.one("#custom").send_keys(" of {}")
    page.until(lambda: len(page.requests("/v1/classify")) > asked)
    page.until(lambda: page.one("#customWrong").text == "")
    assert page.status() == "" and page.log() == []


def test_what_the_server_refuses_is_said(page: Page, url: str, drawn: dict[str, Path]) -> None:
    """A label that is also what else there may be: no alert, and the next change is answered."""
    page.fresh(url)
    page.relabel(COLOURS + ", something else")
    page.pick(drawn["a red circle"])
    page.ranks(*drawn, "something else")
    page.one("#unknown").click()
    page.until(lambda: "background" in page.status())
    page.one("#unknown").click()
    page.until(lambda: page.status() == "")
    page.ranks(*drawn, "something else")


# hostile words


def test_hostile_words_are_text(page: Page, url: str, hostile_file: Path) -> None:
    page.fresh(url)
    page.one("#clear").click()
    for name in HOSTILE:
        page.paste(name + "\n")
    page.pick(hostile_file, hostile_file)
    page.ranks(*HOSTILE)
    assert page.chips() == HOSTILE
    assert page.one("#shownName").text == HOSTILE[0]
    page.one("#codeOpen").click()
    for tab in page.all("#languages button"):
        tab.click()
        assert "title=" in page.one("#snippet").text
    assert page.all("main script, main img[onerror], #chips img") == []
    assert page.driver.title == "unseen"
    assert page.log() == []


def test_a_hostile_link_is_cut_and_is_text(page: Page, url: str) -> None:
    page.fresh(url)
    many = "&".join(f"l=label{i}" for i in range(2000))
    page.open("about:blank")
    page.open(f"{url}/#l={'x' * 5000}&l=%3Cimg src=x onerror=alert(1)%3E&t=no&m=2&{many}")
    page.until(lambda: page.one("#model").text)
    chips = page.chips()
    assert chips[0] == "x" * 200 and chips[1] == "<img src=x onerror=alert(1)>"
    assert len(chips) <= 500
    assert page.one("#template").get_attribute("value") == ""
    assert page.one("#multi").get_attribute("aria-pressed") == "false"
    assert page.log() == []


def test_the_policy_stops_what_is_not_ours(page: Page, url: str) -> None:
    """So that silence in the log, in all the other tests, means something."""
    page.fresh(url)
    with pytest.raises(Exception, match="TrustedHTML"):
        page.js("document.body.innerHTML = '<b>x</b>'")
    page.js("document.body.setAttribute('style', 'color: red')")
    page.js("document.body.append(Object.assign(new Image(), { src: 'https://127.0.0.1/x' }))")
    said = ""
    end = time.monotonic() + 10
    while not ("style-src" in said and "img-src" in said):
        assert time.monotonic() < end, said
        said += "\n".join(page.log())


# sharing and code


def test_a_link_brings_labels_and_options(page: Page, url: str) -> None:
    page.fresh(url)
    page.relabel("a & b, c=d, #e, 猫, it's")
    page.one("#multi").click()
    page.one("#unknown").click()
    page.js(
        "const select = document.getElementById('template'); select.value = 'imagenet';"
        "select.dispatchEvent(new Event('change'));"
        "navigator.clipboard.writeText = async (text) => (window.copied = text)"
    )
    page.one("#share").click()
    link = page.until(lambda: page.js("return window.copied"))
    assert link.startswith(url + "/#l=")
    page.fresh(url)
    page.open("about:blank")
    page.open(link)
    page.until(lambda: page.one("#model").text)
    assert page.chips() == ["a & b", "c=d", "#e", "猫", "it's"]
    assert page.one("#multi").get_attribute("aria-pressed") == "true"
    assert page.one("#background").get_attribute("value") == "something else"
    assert page.one("#template").get_attribute("value") == "imagenet"
    assert "#" not in page.driver.current_url
    page.js("location.hash = '#l=one&t=the+{}+of+it'")
    page.until(lambda: page.chips() == ["one"])
    assert page.one("#custom").get_attribute("value") == "the {} of it"
    assert page.one("#multi").get_attribute("aria-pressed") == "false"


def test_copying_without_the_clipboard_api(page: Page, url: str) -> None:
    page.fresh(url)
    page.one("#codeOpen").click()
    page.js("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.one("#copy").click()
    page.until(lambda: page.one("#copy").text == "Copied")
    page.one("#background")
    page.js("document.execCommand = () => false")
    page.one("#copy").click()
    page.until(lambda: "selected" in page.status())
    assert page.js("return String(getSelection())").startswith("import unseen")


@pytest.mark.parametrize(
    "labels",
    [
        COLOURS,
        'it\'s a "cat" $HOME `id` \\, -x, @/etc/passwd, <b, [1], #c',
        "@cat.jpg, <cat.jpg, a;type=text/plain, -x",
        "a circle, photo.txt",
        "[1",
    ],
)
def test_the_code_works(
    page: Page, url: str, labels: str, drawn: dict[str, Path], shapes_clip: Path, tmp_path: Path
) -> None:
    """Each is run as it stands, and says what the page says."""
    page.fresh(url)
    page.one("#clear").click()
    page.paste(labels + "\n")
    page.pick(drawn["a green square"])
    page.one("#unknown").click()
    wanted = [*(label.strip() for label in labels.split(",")), "none of these"]
    page.ranks(*wanted)
    words = ["unknown" if word == "none of these" else word for word in page.ranking()]
    page.one("#codeOpen").click()
    code = {}
    for tab in page.all("#languages button"):
        tab.click()
        text = page.js("return document.getElementById('snippet').textContent")
        # The server says what its model is called; here is where it lies.
        text = re.sub(r'model="[^"]*"', f"model={str(shapes_clip)!r}", text)
        code[tab.text] = re.sub(r"--model=\S+", f"--model={shapes_clip}", text)

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert "green-square.png" in code["Python"]
    lines = run(sys.executable, "-c", code["Python"]).splitlines()
    assert [line.split("  ", 1)[1] for line in lines] == words
    cli = code["CLI"].replace("unseen classify", f"{sys.executable} -m unseen classify --json")
    [row] = json.loads(run("sh", "-c", cli))
    assert [one["label"] for one in row["ranking"]] == words
    answer = json.loads(run("sh", "-c", code["curl"].replace("curl ", "curl -s ", 1)))
    assert [one["label"] for one in answer["predictions"][0]["ranking"]] == words


# keyboard, sizes, themes


def test_everything_by_keyboard(page: Page, url: str, drawn: dict[str, Path]) -> None:
    page.fresh(url)
    page.relabel(COLOURS)
    page.pick(*drawn.values())
    page.ranks(*drawn)
    page.one("h1").click()
    page.js("document.activeElement.blur()")
    seen = []
    for _ in range(40):
        page.keys(Keys.TAB)
        name = page.focused()
        if name == "BODY" or (seen and name == seen[0]):
            break
        seen.append(name)
        ring = page.js(
            "const e = document.activeElement;"
            "const near = e.id === 'label' ? e.parentElement : e;"
            "const style = getComputedStyle(near);"
            "return style.outlineStyle === 'solid' || e.id === 'label'"
        )
        assert ring, name
        box = page.js(
            "const r = document.activeElement.getBoundingClientRect(); return [r.width, r.height]"
        )
        assert min(box) >= 20, name
    order = ["viewClassify", "choose", "remove", "clear", "label", "multi", "unknown", "template"]
    places = [seen.index(name) for name in [*order, "share", "codeOpen"]]
    assert places == sorted(places)
    assert len(seen) < 24  # chips, strip and bars are one stop each
    page.all(".tile")[0].send_keys(Keys.ARROW_RIGHT)
    assert page.ranking()[0] == "a green square"
    page.keys(Keys.DELETE)
    assert len(page.all(".tile")) == 2
    page.all(".bar")[0].send_keys(Keys.ARROW_DOWN)
    assert page.js("return document.activeElement === document.querySelectorAll('.bar')[1]")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_it_fits_the_screen_in_light_and_dark(
    page: Page, url: str, drawn: dict[str, Path], size: tuple[int, int], dark: bool
) -> None:
    page.fresh(url, size, dark=dark)
    assert page.has_no_sideways_scroll()
    page.relabel(", ".join(shapes.labels()[:20]) + ", " + "long" * 40)
    page.pick(*drawn.values())
    page.until(page.answered)
    page.one("#unknown").click()
    page.one("#codeOpen").click()
    assert page.has_no_sideways_scroll()
    ground = page.js("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(n) for n in re.findall(r"\d+", ground)[:3]) / 3
    assert brightness < 50 if dark else brightness > 200
    page.until(page.answered)
    cut = page.js(
        "const right = (e) => e.getBoundingClientRect().right;"
        "return [...document.querySelectorAll('.bar .number')]"
        ".filter((e) => right(e) > right(e.parentElement)).length"
    )
    assert cut == 0
    small = page.js(
        "return [...document.querySelectorAll('main button, main input, main select, footer a')]"
        ".filter((e) => e.offsetParent && e.getBoundingClientRect().height < 40)"
        ".map((e) => e.id || e.textContent)"
    )
    assert small == []
    page.one("#viewGallery").click()
    page.until(lambda: page.all("#tiles .tile"))
    assert page.has_no_sideways_scroll()
    assert page.log() == []


def contrast(first: str, second: str) -> float:
    """Of two colours as `rgb(…)`: WCAG 2.1's ratio."""

    def light(colour: str) -> float:
        parts = [int(n) / 255 for n in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted([light(first), light(second)])
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_words_are_readable(page: Page, url: str, dark: bool) -> None:
    """What stands on what, in the colours of the theme."""
    page.fresh(url, dark=dark)
    colour = (
        "const e = document.body.appendChild(document.createElement('i'));"
        "e.style.color = `var(--${arguments[0]})`;"
        "const found = getComputedStyle(e).color; e.remove(); return found"
    )
    pairs = [
        *(("text", on) for on in ("ground", "raised", "well", "soft", "fill", "best")),
        *(("muted", on) for on in ("ground", "raised", "well", "soft")),
        *(("accent", on) for on in ("ground", "soft")),
        *(("wrong", on) for on in ("ground", "raised")),
        ("on-accent", "accent"),
    ]
    for ink, paper in pairs:
        assert contrast(page.js(colour, ink), page.js(colour, paper)) >= 4.5, (ink, paper)


def test_bars_do_not_shift_the_page(page: Page, url: str, drawn: dict[str, Path]) -> None:
    page.fresh(url)
    page.relabel(COLOURS)
    places = "return ['bars', 'share', 'chips'].map((id) => document.getElementById(id).offsetTop)"
    before = page.js(places)
    page.pick(drawn["a red circle"])
    page.ranks(*drawn)
    assert page.js(places) == before


# the gallery


def test_the_gallery_finds(page: Page, url: str) -> None:
    page.fresh(url)
    page.one("#viewGallery").click()
    total = len(shapes.labels()) + 1
    page.until(lambda: len(page.all("#tiles .tile")) == 60)
    assert page.one("#results").text == f"{total} pictures"
    page.one("#more").click()
    page.until(lambda: len(page.all("#tiles .tile")) == total)
    assert not page.one("#more").is_displayed()
    assert HOSTILE[0] in page.shown("#tiles .tile > span:nth-child(2)")
    page.one("#query").send_keys("a blue square" + Keys.ENTER)
    page.until(lambda: page.one("#results").text == "Nearest to “a blue square”")
    assert page.shown("#tiles .tile > span:nth-child(2)")[0] == "blue-square.png"
    assert re.fullmatch(r"0\.\d{3}", page.shown("#tiles .tile > span:nth-child(3)")[0])
    page.all("#tiles .tile")[0].send_keys(Keys.ARROW_RIGHT)
    page.all("#tiles .tile")[1].click()
    page.until(lambda: page.one("#results").text.startswith("Like "))
    page.one("#all").click()
    page.until(lambda: page.one("#results").text == f"{total} pictures")
    page.until(lambda: page.js("return document.querySelector('#tiles img').naturalWidth > 0"))
    assert page.all("#tiles script, #tiles img[onerror]") == []
    assert page.log() == []


# keys, and servers that go


def test_a_key_is_asked_for(
    page: Page, shapes_clip: Path, collection: Path, drawn: dict[str, Path], tmp_path: Path
) -> None:
    file = tmp_path / "keys.txt"
    command = [sys.executable, "-m", "unseen", "keys", "add", str(file), "somebody"]
    made = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    key = made.split()[-1]
    options = "--model", str(shapes_clip), "--index", str(collection), "--keys", str(file)
    server = Server(free_port(), *options)
    try:
        page.driver.get(server.url + "/info")
        page.js("localStorage.clear(); sessionStorage.clear()")
        page.open(server.url + "/")
        page.until(lambda: page.one("#keyDialog").is_displayed())
        page.keys(Keys.ESCAPE)
        page.until(lambda: "key" in page.status())
        page.one("#statusAction").click()
        page.until(lambda: page.one("#keyDialog").is_displayed())
        assert page.one("#key").get_attribute("type") == "password"
        page.keys("wrong", Keys.ENTER)
        page.until(lambda: not page.one("#keyDialog").is_displayed())
        page.relabel(COLOURS)
        page.pick(drawn["a red circle"])
        page.until(lambda: page.one("#keyWrong").is_displayed())
        page.keys(key, Keys.ENTER)
        page.ranks(*drawn)
        page.driver.refresh()
        page.until(lambda: page.one("#model").text)
        page.one("#viewGallery").click()
        page.until(lambda: page.js("return document.querySelector('#tiles img')?.naturalWidth > 0"))
        assert page.js("return document.querySelector('#tiles img').src").startswith("blob:")
        assert not any("Content Security Policy" in message for message in page.log())
        page.one("#viewClassify").click()
        page.one("#codeOpen").click()
        page.all("#languages button")[1].click()
        assert key not in page.one("#snippet").text
        assert "$UNSEEN_KEY" in page.one("#snippet").text
    finally:
        server.stop()


def test_a_server_that_goes_and_comes_with_another_model(
    page: Page, shapes_clip: Path, drawn: dict[str, Path]
) -> None:
    port = free_port()
    server = Server(port, "--model", str(shapes_clip))
    try:
        page.fresh(server.url)
        assert not page.one("#viewGallery").is_displayed()
        page.relabel(COLOURS)
        page.pick(drawn["a red circle"])
        page.ranks(*drawn)
        server.stop()
        page.label("a pink ring,")
        page.until(lambda: "does not answer" in page.status())
        page.until(lambda: "Nothing is lost" in page.status())
        assert page.ranking()[0] == "a red circle"
        server = Server(port)  # the built-in model: longer vectors
        page.one("#statusAction").click()
        page.ranks(*drawn, "a pink ring")
        assert "builtin" in page.one("#model").text
        assert page.status() == ""
        server.stop()
        server = Server(port, "--model", str(shapes_clip))
        page.label("a black cross,")  # nobody told the page: it finds out by itself
        page.ranks(*drawn, "a pink ring", "a black cross")
        assert page.ranking()[0] == "a red circle"
        assert len(page.requests("/v1/embed")) == 3
    finally:
        server.stop()


def test_a_busy_server_is_waited_for(page: Page, url: str, drawn: dict[str, Path]) -> None:
    """The first two answers are made up: a queue that is full."""
    page.fresh(url)
    page.relabel(COLOURS)
    page.js(
        "const real = window.fetch; let left = 2;"
        "window.fetch = (path, options) => path !== '/v1/embed' || left-- <= 0"
        "  ? real(path, options)"
        "  : Promise.resolve(new Response('{}', { status: 503, headers: { 'Retry-After': '1' } }))"
    )
    page.pick(drawn["a blue star"])
    page.until(lambda: "busy" in page.status())
    page.ranks(*drawn)
    assert page.ranking()[0] == "a blue star" and page.status() == ""
