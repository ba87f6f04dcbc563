"""The timeline page, and subtitles by `<track>`, in headless Chromium."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

import browsers
from browsers import DESK, HOSTILE, PHONE
from unseen.pages import Lane, VideoTimeline, thumbnail, timeline
from unseen.video.prediction import Event, Peak
from unseen.video.subtitles import vtt


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browsers.Browser]:
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield browsers.Browser(driver)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    strip = [(2.5 * i, thumbnail(Image.new("RGB", (64, 48), (60 * i, 90, 120)))) for i in range(4)]
    lanes = [
        Lane("a dog", [0.9] * 5 + [0.1] * 5, [(0.0, 5.0, 0.95)]),
        Lane(HOSTILE[1], [0.1] * 5 + [0.9] * 5, [(5.0, 10.0, 0.9)]),
    ]
    times = [float(i) for i in range(10)]
    picture = VideoTimeline("clip.gif", 10.0, lanes, times, strip, label="a dog", moves=False)
    timeline(tmp_path / "page.html", HOSTILE[1], [picture], note="2 events")
    return tmp_path / "page.html"


def test_a_click_goes_to_its_time(browser: browsers.Browser, page: Path) -> None:
    browser.open(page, DESK)
    assert browser.shown(".events .what") == ["a dog", HOSTILE[1]]
    browser.all(".events button")[1].click()
    assert browser.one("section").get_attribute("data-time") == "5"
    assert browser.shown(".events .now .what") == [HOSTILE[1]]
    browser.js(
        "const lane = document.querySelector('.lane'), e = lane.getBoundingClientRect();"
        "lane.dispatchEvent(new MouseEvent('click', {clientX: e.left + e.width * 0.3}))"
    )
    time = float(browser.one("section").get_attribute("data-time"))
    assert abs(time - 3.0) < 0.1
    assert len(browser.all(".strip img")) == 4 and len(browser.all(".lane rect")) == 2
    assert browser.driver.title == HOSTILE[1] and browser.log() == []


@pytest.mark.parametrize("size", [DESK, PHONE])
def test_it_fits(browser: browsers.Browser, page: Path, size: tuple[int, int]) -> None:
    browser.open(page, size, dark=True)
    assert browser.has_no_sideways_scroll()


def test_chromium_reads_the_subtitles(browser: browsers.Browser, tmp_path: Path) -> None:
    labels = ["a dog", "a <b>cat</b> & --> a bird", HOSTILE[1]]
    events = [
        Event("x", label, 3600.0 + 2 * i, 3601.5 + 2 * i, 0.9, Peak(3600.0, 0.9))
        for i, label in enumerate(labels)
    ]
    (tmp_path / "a.vtt").write_text(vtt(events), "utf-8")
    (tmp_path / "a.html").write_text(
        "<!doctype html><link rel=icon href=data:,><video><track default src=a.vtt></video>"
    )
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser.open(f"http://127.0.0.1:{server.server_port}/a.html")
        browser.until(lambda: browser.js("return document.querySelector('track').readyState == 2"))
        cues = browser.js(
            "return [...document.querySelector('track').track.cues]"
            ".map((c) => [c.startTime, c.endTime, c.getCueAsHTML().textContent])"
        )
        server.shutdown()
    assert [cue[:2] for cue in cues] == [[e.start, e.end] for e in events]
    assert [cue[2] for cue in cues] == [label.replace("-->", "->") for label in labels]
