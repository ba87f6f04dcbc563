"""Headless Chromium for the tests of pages: what they all do with it."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

selenium = pytest.importorskip("selenium", reason="selenium is not installed")
from selenium import webdriver  # noqa: E402
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

__all__ = ["DESK", "FLAGS", "HOSTILE", "PHONE", "ActionChains", "Browser", "Keys", "chromium"]

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-dev-shm-usage "
    "--disable-background-networking --disable-component-update --disable-sync"
)
PHONE = (390, 844)
DESK = (1400, 900)
HOSTILE = [
    '<img src=x onerror="document.title=String(1)">.jpg',
    "</script><script>document.title='owned'</script>",
    "<!--<script>document.title='owned'",
    "naïve 猫 фото.jpg",
]


class Browser:
    """What the tests do with Chromium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(
        self,
        page: Path | str,
        size: tuple[int, int] = DESK,
        *,
        dark: bool = False,
        quiet: bool = True,
    ) -> Browser:
        self.driver.get_log("browser")  # what was said before is another test's
        devtools = self.driver.execute_cdp_cmd
        devtools(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": size[0],
                "height": size[1],
                "deviceScaleFactor": 1,
                "mobile": size == PHONE,
            },
        )
        theme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        calm = {"name": "prefers-reduced-motion", "value": "reduce"}
        devtools("Emulation.setEmulatedMedia", {"features": [theme, calm]})
        self.driver.get(page if isinstance(page, str) else page.as_uri())
        if quiet:
            assert self.log() == []
        return self

    def log(self) -> list[str]:
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def js(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def one(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        found: list[Any] = self.driver.find_elements("css selector", selector)
        return found

    def shown(self, selector: str) -> list[str]:
        """Texts of what is not hidden."""
        code = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((e) => e.offsetParent).map((e) => e.textContent)"
        )
        texts: list[str] = self.js(code, selector)
        return texts

    def keys(self, *keys: str) -> None:
        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def until(self, what: Callable[[], Any], seconds: float = 30) -> Any:
        """Its first true value; a machine that does other work takes its time."""
        end = time.monotonic() + seconds
        while not (found := what()):
            assert time.monotonic() < end, "waited for in vain"
            time.sleep(0.05)
        return found

    def has_no_sideways_scroll(self) -> bool:
        fits: bool = self.js("return document.documentElement.scrollWidth <= innerWidth")
        return fits


@contextlib.contextmanager
def chromium(profile: Path, *flags: str) -> Iterator[Any]:
    """A driver with a profile of its own; skips the test where there is no Chromium."""
    program, chromedriver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or chromedriver is None:
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in [*FLAGS.split(), f"--user-data-dir={profile}", *flags]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(chromedriver))
    try:
        yield driver
    finally:
        with contextlib.suppress(Exception):
            driver.quit()
