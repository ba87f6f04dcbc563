"""The report of `unseen eval` in headless Chromium: it shows what was found, and fits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import browsers
from browsers import DESK, HOSTILE, PHONE, ActionChains, Browser
from unseen.pages import link, report, thumbnail

METRICS = [
    {"name": "top1", "title": "top-1", "higher": True, "percent": True},
    {"name": "nll", "title": "NLL", "higher": False, "percent": False},
]


def figure(value: float, **more: Any) -> dict[str, Any]:
    return {"value": value, "low": value - 0.1, "high": value + 0.1, **more}


def candidate(letter: str, names: list[str], top: float, first: bool) -> dict[str, Any]:
    """Names in a ring: each is right 3 times, and taken for the next once."""
    gap = {"value": -0.3, "low": -0.4, "high": -0.2, "p": 0.01, "flagged": True}
    found = {
        "letter": letter,
        "model": f"model {letter}",
        "template": None,
        "labels_from": None,
        "idle": ["dodo"],
        "figures": {"top1": figure(top, best=not first), "nll": figure(1.5, best=first)},
        "labels": [
            {"label": n, "pictures": 4, "said": 4, "right": 3, "recall": 0.75, "precision": None,
             "f1": 0.75} for n in names
        ],
        "reliability": [
            {"low": 0.4, "high": 7 / 15, "count": 4, "sure": 0.45, "right": 0.25},
            {"low": 14 / 15, "high": 1, "count": 40, "sure": 0.97, "right": 0.9},
        ],
        "confused": [
            {"true": n, "said": names[(i + 1) % len(names)], "count": 1}
            for i, n in enumerate(names)
        ],
        "order": names,
        "mistakes": [
            {"path": name, "true": [names[0]], "said": f"{letter} {names[1]}", "score": 0.9,
             "score_of_true": 0.05} for name in names
        ],
        "groups": [
            {"name": names[0], "pictures": 40, "figures": {"top1": figure(0.5)},
             "gaps": {"top1": gap}},
            {"name": names[1], "pictures": 60, "figures": {"top1": figure(0.8)},
             "gaps": {"top1": {**gap, "value": 0.3, "flagged": False}}},
            {"name": names[2], "pictures": 3, "figures": {}, "gaps": {}},
        ],
    }  # fmt: skip
    if not first:
        found["against_first"] = {
            "top1": {"value": 0.2, "low": -0.1, "high": 0.5, "noise": True},
            "nll": {"value": 0.0, "low": 0.0, "high": 0.0, "noise": True},
        }
    return found


def document(names: list[str], candidates: int = 2) -> dict[str, Any]:
    return {
        "source": "photos",
        "kind": "single",
        "pictures": 103,
        "resamples": 1000,
        "left_out": {
            "unreadable": [{"path": HOSTILE[0], "error": HOSTILE[1]}],
            "unlabelled": 2,
            "unnamed": {HOSTILE[2]: 5},
        },
        "metrics": METRICS,
        "group": {"column": "camera", "least": 30, "metric": "top1"},
        "candidates": [
            candidate(letter, names, 0.5 + 0.2 * i, i == 0)
            for i, letter in enumerate("ABCDEFGH"[:candidates])
        ],
    }


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(driver: Any) -> Browser:
    return Browser(driver)


@pytest.fixture
def page(tmp_path: Path, photographs: Path) -> Path:
    """Two candidates, four labels whose names would be scripts."""
    file = next(photographs.glob("cat/*.jpg"))
    with Image.open(file) as image:
        small = thumbnail(image)
    made = tmp_path / "report.html"
    pictures = {HOSTILE[0]: (link(file, made), small), HOSTILE[1]: (None, None)}
    report(made, HOSTILE[1], document(HOSTILE), pictures, note="a note")
    return made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
@pytest.mark.parametrize("labels", [4, 90])
def test_it_fits_the_screen(
    browser: Browser, tmp_path: Path, size: tuple[int, int], dark: bool, labels: int
) -> None:
    made = tmp_path / "report.html"
    names = HOSTILE if labels == 4 else [f"{HOSTILE[3]} of the long kind {i}" for i in range(90)]
    report(made, "Report " + HOSTILE[0], document(names, 8), {})
    browser.open(made, size, dark=dark)
    assert browser.has_no_sideways_scroll()
    ground = browser.js("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(n) for n in ground[4:-1].split(",")) / 3
    assert brightness < 50 if dark else brightness > 200
    for part in ("#figures", "#mistakes", "#heat svg", "#reliability svg", "#groups", "#labels"):
        assert browser.one(part).is_displayed()
    cells = browser.all("#heat rect:not(.cell)")
    assert len(cells) == 2 * labels


def test_the_figures_are_those_that_were_found(browser: Browser, page: Path) -> None:
    browser.open(page)
    rows = [row.text.split("\n") for row in browser.all("#figures tbody tr")]
    assert "50.0 %" in rows[0][0] and "40.0 … 60.0" in rows[0][0]
    assert "+20.0 (-10.0 … +50.0): may be noise" in rows[0][-1]
    assert [c.text for c in browser.all(".best b")] == ["70.0 %", "1.500"]
    assert browser.one("#note").text == "103 pictures, a note"
    left_out = browser.one("#left-out").text
    for text in (HOSTILE[0], HOSTILE[1], f"{HOSTILE[2]} (5)", "2 pictures without a label", "dodo"):
        assert text in left_out
    assert browser.driver.title == HOSTILE[1]


def test_each_candidate_can_be_looked_at(browser: Browser, page: Path) -> None:
    browser.open(page)
    said = lambda: browser.shown(".tile .said")[0]  # noqa: E731
    assert said().startswith("said: A ")
    second = browser.all("#choose button")[1]
    second.click()
    assert said().startswith("said: B ") and second.get_attribute("aria-pressed") == "true"
    assert len(browser.all("#mistakes .tile")) == 4
    assert len(browser.all("#heat rect:not(.cell)")) == 8  # drawn anew, not on top


def test_a_mistake_shows_its_picture_and_links_to_it(
    browser: Browser, page: Path, photographs: Path
) -> None:
    browser.open(page)
    first, second, *_ = browser.all("#mistakes .tile")
    assert first.find_element("css selector", "a").get_attribute("href").startswith("file:")
    width = "return document.querySelector('#mistakes img').naturalWidth"
    browser.until(lambda: browser.js(width) > 0)
    assert second.find_element("css selector", "a").get_attribute("href") is None
    assert "No thumbnail" in second.text


def test_the_confusion_and_the_bars_say_what_they_are(browser: Browser, page: Path) -> None:
    browser.open(page)
    wrong = browser.all("#heat rect.wrong")
    browser.js("arguments[0].scrollIntoView({block: 'center'})", wrong[0])
    ActionChains(browser.driver).move_to_element(wrong[0]).perform()
    assert browser.one("#tip").text == f"{HOSTILE[0]} taken for {HOSTILE[1]}: 1 of 4"
    opacity = "return getComputedStyle(arguments[0]).opacity"
    right = browser.all("#heat rect.right")
    assert float(browser.js(opacity, right[0])) > float(browser.js(opacity, wrong[0]))
    bars = browser.all("#reliability rect.right")
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert heights[1] / heights[0] == pytest.approx(0.9 / 0.25)
    assert "few" in bars[0].get_attribute("class") and "few" not in bars[1].get_attribute("class")
    assert "1 of 4" in browser.one("#pairs").text


def test_gaps_that_are_flagged_stand_out(browser: Browser, page: Path) -> None:
    browser.open(page)
    (flag,) = browser.all("#groups .flagged.worse")
    assert flag.text == "-30.0 (-40.0 … -20.0), p = 0.010"
    first = browser.one("#groups tbody th")
    assert first.size["width"] > 80  # wide tables squash it to a letter
    assert "fewer than 30 pictures" in browser.one("#groups").text
    assert browser.one("#groups-note").text.startswith("1 gap to the rest, in colour, is more")


def test_labels_open_when_they_are_asked_for(browser: Browser, tmp_path: Path) -> None:
    made = tmp_path / "report.html"
    found = document([f"label {i}" for i in range(120)], 1)
    del found["candidates"][0]["order"]  # as with very many labels
    report(made, "Many", found, {})
    browser.open(made)
    assert len(browser.all("#labels tbody tr")) == 20
    assert not browser.one("#heat-figure").is_displayed() and browser.one("#pairs").is_displayed()
    assert not browser.one("#choose").is_displayed()
    browser.one("#more").click()
    assert len(browser.all("#labels tbody tr")) == 120
    assert not browser.one("#more").is_displayed()


def test_the_policy_stops_what_is_not_ours(browser: Browser, page: Path, tmp_path: Path) -> None:
    slipped = "<script>document.title='owned'</script><img src='https://127.0.0.1/x.png'>"
    text = page.read_text("utf-8").replace("</body>", slipped + "</body>")
    (tmp_path / "slipped.html").write_text(text, "utf-8")
    browser.open(tmp_path / "slipped.html", quiet=False)
    said = "\n".join(browser.log())
    assert "script-src" in said and "img-src" in said and browser.driver.title == HOSTILE[1]


def test_a_link_or_a_thumbnail_that_is_none_is_refused(tmp_path: Path) -> None:
    for bad in (("javascript:alert(1)", None), (None, b"GIF89a")):
        with pytest.raises(ValueError, match=r"is no link|thumbnail is a"):
            report(tmp_path / "r.html", "x", document(HOSTILE), {"a": bad})
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("rows", "more", "says"),
    [
        ("path,caption\n{0},a red ring\n{1},a photo of a cat\n", ["--retrieval"], "own caption"),
        (
            "path,label\n{0},a blue star\n{1},\n",
            ["--multi", "-l", "a blue star"],
            "said: a blue star",
        ),
        ("path,label\n{0},a blue star\n{1},a red ring\n", [], "said: a "),
    ],
    ids=["retrieval", "multi", "single"],
)
def test_the_command_makes_one_of_each_kind(
    browser: Browser, tmp_path: Path, photographs: Path, rows: str, more: list[str], says: str
) -> None:
    files = sorted(photographs.glob("*/*.jpg"))[:2]
    table = tmp_path / "t.csv"
    table.write_text(rows.format(*files))
    model = photographs.parent / "fixtures" / "shapes-clip"
    command = [sys.executable, "-m", "unseen", "eval", str(table), "-m", str(model), *more]
    done = subprocess.run([*command, "--html", str(tmp_path / "r.html")], capture_output=True)
    assert done.returncode == 0, done.stderr
    browser.open(tmp_path / "r.html", PHONE)
    assert browser.has_no_sideways_scroll()
    assert any(says in text for text in browser.shown("#mistakes .tile"))
    assert browser.one("#reliability-part").is_displayed() == ("--retrieval" not in more)
