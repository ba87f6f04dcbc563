"""The page of an exported web app in Chromium: what a person does with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import unseen
from browsers import DESK, PHONE, Browser, Keys
from exported_page import SIZE_IS_SAID, Host, wait

LABELS = ["cat", "dog", "castle", "fish"]
NAMES = ("dog", "castle", "fish", "cat")


@pytest.fixture(scope="module")
def app(
    classifier: unseen.Classifier, runtime: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("web") / "app"
    classifier.export_web(LABELS, folder, runtime=runtime, unknown="auto")
    return folder


@pytest.fixture(scope="module")
def files(photographs: Path, app: Path) -> list[Path]:
    return [sorted((photographs / name).iterdir())[0] for name in NAMES]


@pytest.fixture
def host(app: Path) -> Iterator[Host]:
    with Host(app) as server:
        yield server


def choose(browser: Browser, files: list[Path]) -> None:
    browser.one("#files").send_keys("\n".join(map(str, files)))


def opened(browser: Browser, host: Host, size: tuple[int, int] = DESK) -> None:
    browser.open(host.url, size)
    wait(browser, SIZE_IS_SAID)


def test_bars_for_files_that_are_chosen(browser: Browser, host: Host, files: list[Path]) -> None:
    for size in (DESK, PHONE):
        opened(browser, host, size)
        choose(browser, files[:2])
        wait(browser, "document.querySelectorAll('.card .bar').length === 8")
        assert [card.text.splitlines()[0] for card in browser.all(".card")] == ["castle", "dog"]
        assert browser.has_no_sideways_scroll()


def test_what_it_is_stands_on_the_page(browser: Browser, host: Host) -> None:
    opened(browser, host)
    footer = browser.one("footer").text
    assert "4 labels · builtin · licence Apache-2.0" in footer
    assert "so no zero-shot figure" in footer  # the accuracy note of the built-in model


def test_a_picture_of_nothing_is_none_of_these(
    browser: Browser, host: Host, tmp_path: Path
) -> None:
    from unseen.prediction.open_set import picture_of_nothing

    picture_of_nothing(3).save(tmp_path / "noise.png")
    opened(browser, host)
    choose(browser, [tmp_path / "noise.png"])
    wait(browser, "document.querySelectorAll('.card .bar').length === 4")
    assert browser.one(".card").text.splitlines()[0] == "none of these"
    assert browser.one("#status").text == "noise.png: none of these"


def test_many_pictures_and_a_broken_one(
    browser: Browser, host: Host, files: list[Path], tmp_path: Path
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    opened(browser, host)
    choose(browser, [*files, broken, *files])
    wait(browser, "document.querySelectorAll('.card .bar').length === 32")
    assert len(browser.all(".card")) == 9
    assert "cannot be read by the browser" in browser.one(".card .wrong").text
    wait(browser, "document.querySelector('#status').textContent.includes(':')")


def test_keys_go_between_cards(browser: Browser, host: Host, files: list[Path]) -> None:
    opened(browser, host)
    choose(browser, files[:3])
    wait(browser, "document.querySelectorAll('.card .bar').length === 12")
    assert len(browser.all(".card[tabindex='0']")) == 1
    browser.js("document.querySelector(\".card[tabindex='0']\").focus()")
    name = "return document.activeElement.querySelector('.name')?.textContent"
    browser.keys(Keys.HOME)
    assert browser.js(name) == files[2].name  # the newest is first
    browser.keys(Keys.ARROW_RIGHT)
    assert browser.js(name) == files[1].name
    browser.keys(Keys.END)
    assert browser.js(name) == files[0].name
    browser.keys(Keys.DELETE)
    assert browser.js(name) == files[1].name
    assert len(browser.all(".card")) == 2
    assert len(browser.all(".card[tabindex='0']")) == 1
    browser.keys(Keys.DELETE, Keys.DELETE)
    assert browser.js("return document.activeElement.id") == "choose"


def test_the_camera(browser: Browser, host: Host) -> None:
    """A made-up one: what Chromium has for tests."""
    opened(browser, host)
    browser.one("#camera").click()
    wait(browser, "document.querySelectorAll('.card .bar').length === 4")
    assert browser.one("#camera").get_attribute("aria-pressed") == "true"
    assert browser.js("return document.querySelector('video').videoWidth") > 0
    browser.one("#camera").click()
    wait(browser, "document.querySelector('video') === null")
    assert browser.one("#camera").get_attribute("aria-pressed") == "false"


def test_a_picture_that_is_pasted_and_one_that_is_dropped(
    browser: Browser, host: Host, app: Path, files: list[Path]
) -> None:
    (app / "given.jpg").write_bytes(files[0].read_bytes())
    opened(browser, host)
    for event, field in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        browser.driver.execute_async_script(
            """
            const [event, field, done] = arguments;
            (async () => {
              const blob = await (await fetch("given.jpg")).blob();
              const data = new DataTransfer();
              data.items.add(new File([blob], event, { type: "image/jpeg" }));
              const kind = event === "paste" ? ClipboardEvent : DragEvent;
              const how = { [field]: data, bubbles: true, cancelable: true };
              document.body.dispatchEvent(new kind(event, how));
            })().then(done);
            """,
            event,
            field,
        )
        wait(
            browser,
            f"[...document.querySelectorAll('.name')].some((n) => n.textContent === '{event}')",
        )
    wait(browser, "document.querySelectorAll('.card .bar').length === 8")
    assert [card.text.splitlines()[0] for card in browser.all(".card")] == ["dog", "dog"]
