"""The pages in headless Chromium, from file://: they show, obey, and run no name as a script."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import browsers
from browsers import DESK, HOSTILE, PHONE, ActionChains, Keys
from unseen.pages import (
    Card,
    Item,
    Point,
    Section,
    explanations,
    gallery,
    link,
    scatter,
    thumbnail,
)


class Browser(browsers.Browser):
    """The same, and what only the map has."""

    def map(self) -> Image.Image:
        """What is drawn, once nothing moves."""
        code = "requestAnimationFrame(() => requestAnimationFrame(arguments[0]))"
        self.driver.execute_async_script(code)
        uri = self.js("return document.getElementById('map').toDataURL()")
        return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1]))).convert("RGB")

    def wheel(self, x: float, y: float, by: int) -> None:
        self.js(
            "const box = document.getElementById('map').getBoundingClientRect();"
            "document.getElementById('map').dispatchEvent(new WheelEvent('wheel', {deltaY:"
            "arguments[2], clientX: box.left + arguments[0], clientY: box.top + arguments[1],"
            "cancelable: true}))",
            x,
            y,
            by,
        )

    def point(self, x: float, y: float) -> ActionChains:
        """The mouse at a place of the map, from its upper left corner."""
        size = self.one("#map").size
        return ActionChains(self.driver).move_to_element_with_offset(
            self.one("#map"), round(x - size["width"] / 2), round(y - size["height"] / 2)
        )


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def browser(driver: Any) -> Browser:
    return Browser(driver)


@pytest.fixture(scope="module")
def pictures(photographs: Path) -> dict[Path, bytes]:
    made = {}
    for file in sorted(photographs.glob("*/*.jpg"))[:30]:
        with Image.open(file) as image:
            made[file] = thumbnail(image)
    return made


@pytest.fixture
def found(tmp_path: Path, pictures: dict[Path, bytes]) -> Path:
    """A gallery of two sections, 30 photographs."""
    page = tmp_path / "gallery.html"
    items = [
        Item(
            file.name,
            content,
            link(file, page),
            1 - i / 30,
            f"picture {i}",
            "kept" if i == 0 else "",
        )
        for i, (file, content) in enumerate(pictures.items())
    ]
    sections = [Section("first", items[:20], note="a 0.31, b 0.29"), Section("second", items[20:])]
    gallery(page, "Photographs", sections, note="a note")
    return page


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    page = tmp_path / "hostile.html"
    items = [Item(name, None, caption=name, mark=name) for name in HOSTILE]
    gallery(page, HOSTILE[1], [Section(HOSTILE[0], items, note=HOSTILE[2])], note=HOSTILE[1])
    return page


@pytest.fixture
def corners(tmp_path: Path, pictures: dict[Path, bytes]) -> Path:
    """A map of four points: two groups, one above the other."""
    page = tmp_path / "map.html"
    content = list(pictures.items())
    places = [(0, 0, "low"), (1, 0, "low"), (0, 1, "high"), (1, 1, "high")]
    points = [
        Point(x, y, f"{HOSTILE[0]} {x}{y}", group, content[i][1], link(content[i][0], page))
        for i, (x, y, group) in enumerate(places)
    ]
    scatter(page, "Corners", points, note="a note")
    return page


def crowd(page: Path, pictures: dict[Path, bytes], many: int) -> Path:
    """A map of so many points in rows: at first dots."""
    contents = list(pictures.values())
    points = [
        Point(
            (i % 50) + (i * 7 % 11) / 11, i // 50, f"point {i}.jpg", f"g{i % 5}", contents[i % 30]
        )
        for i in range(many)
    ]
    scatter(page, "Crowd", points)
    return page


@pytest.fixture
def explained(tmp_path: Path, pictures: dict[Path, bytes]) -> Path:
    """Two explanations with names that would run, and an error."""
    page = tmp_path / "why.html"
    drawing, picture = list(pictures.values())[:2]
    rows = [(name, 0.5 - i / 3) for i, name in enumerate(HOSTILE)]
    cards = [
        Card(HOSTILE[0], HOSTILE[1], HOSTILE[2], 0.9, HOSTILE[1], HOSTILE[0], drawing, picture,
             [HOSTILE[2]], rows, rows, rows),
        Card(HOSTILE[3], "cat", None, 0.5, "A sentence.", "A map.", drawing, picture),
        Card(HOSTILE[2], error=HOSTILE[0]),
    ]  # fmt: skip
    explanations(page, HOSTILE[1], cards, note=HOSTILE[0])
    return page


# both pages


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_pages_fit_the_screen_in_light_and_dark(
    browser: Browser, found: Path, corners: Path, hostile: Path, size: tuple[int, int], dark: bool
) -> None:
    for page in (found, corners, hostile):
        browser.open(page, size, dark=dark)
        assert browser.has_no_sideways_scroll()
        ground = browser.js("return getComputedStyle(document.body).backgroundColor")
        brightness = sum(int(n) for n in ground[4:-1].split(",")) / 3
        assert brightness < 50 if dark else brightness > 200
        assert browser.one("h1").is_displayed()


def test_the_policy_stops_what_is_not_ours(browser: Browser, found: Path, tmp_path: Path) -> None:
    """A script, a style and a picture slipped in are reported: so silence means something."""
    text = found.read_text("utf-8")
    slipped = (
        "<script>document.title='owned'</script><style>h1 {color: red}</style>"
        "<img src='https://127.0.0.1/x.png' onerror=\"document.title='owned'\">"
    )
    (tmp_path / "slipped.html").write_text(text.replace("</body>", slipped + "</body>"), "utf-8")
    browser.open(tmp_path / "slipped.html", quiet=False)
    said = "\n".join(browser.log())
    for rule in ("script-src", "style-src", "img-src"):
        assert rule in said
    assert browser.driver.title == "Photographs"
    with pytest.raises(Exception, match="TrustedHTML"):
        browser.js("document.body.innerHTML = '<b>x</b>'")


# the gallery


def test_tiles_sections_and_counts(browser: Browser, found: Path) -> None:
    browser.open(found)
    assert browser.shown("h2") == ["first", "second"]
    assert len(browser.all("section:nth-of-type(1) .tile")) == 20
    assert len(browser.all("section:nth-of-type(2) .tile")) == 10
    assert browser.one("#count").text == "30 pictures"
    assert browser.shown(".mark") == ["kept"]
    browser.until(lambda: browser.js("return document.querySelector('.tile img').naturalWidth > 0"))
    widths = browser.js("return [...document.querySelectorAll('.bar')].map((b) => b.style.width)")
    assert widths[0] == "100%" and widths[15] == "50%"


def test_only_what_is_near_is_loaded(browser: Browser, tmp_path: Path, pictures: Any) -> None:
    contents = list(pictures.values())
    items = [Item(f"{i}.jpg", contents[i % 30]) for i in range(2000)]
    page = tmp_path / "many.html"
    gallery(page, "Many", [Section("all", items)])
    browser.open(page)
    loaded = "return document.querySelectorAll('.tile img[src]').length"
    browser.until(lambda: browser.js(loaded) > 0)
    assert browser.js(loaded) < 300
    assert len(browser.all(".tile")) == 2000
    browser.js("scrollTo(0, document.documentElement.scrollHeight)")
    last = "return !!document.querySelector('.tile:last-child img').src"
    browser.until(lambda: browser.js(last))


def test_the_filter_narrows(browser: Browser, found: Path) -> None:
    browser.open(found)
    browser.one("#filter").send_keys("CASTLE 2")
    assert browser.shown(".tile .name") == ["castle_2.jpg"]
    assert browser.one("#count").text == "1 of 30 pictures"
    assert browser.shown("h2") == ["first"]
    browser.one("#filter").send_keys(" nothing")
    assert browser.shown(".tile") == []
    assert browser.one("#nothing").text == "No name has this in it."
    browser.keys(Keys.ESCAPE)
    assert len(browser.shown(".tile")) == 30
    assert not browser.one("#nothing").is_displayed()


def test_the_keyboard_opens_turns_and_closes(browser: Browser, found: Path) -> None:
    browser.open(found)
    names = browser.shown(".tile .name")
    viewed = lambda: browser.one("#viewer-name").text  # noqa: E731
    focused = lambda: browser.js("return document.activeElement.title")  # noqa: E731
    browser.keys("/", Keys.ARROW_DOWN)
    assert focused() == names[0]
    browser.keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ENTER)
    assert viewed() == names[1]
    browser.keys(Keys.ARROW_RIGHT)
    assert viewed() == names[2]
    assert browser.one("#viewer-facts").text == "3 of 30 · 0.933 · picture 2"
    browser.keys(Keys.ARROW_LEFT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    assert viewed() == names[0]
    assert not browser.one("#previous").is_enabled()
    browser.keys(Keys.ESCAPE)
    assert not browser.one("#viewer").is_displayed()
    browser.until(lambda: focused() == names[0])  # the page is told when it has closed
    browser.keys(Keys.ARROW_DOWN)
    columns = names.index(focused())
    assert 3 < columns < 12
    browser.keys(Keys.ARROW_UP)
    assert focused() == names[0]
    browser.keys(Keys.END)
    assert focused() == names[-1]
    outline = browser.js("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    browser.keys(Keys.HOME)
    assert focused() == names[0]


def test_a_click_shows_the_file_itself_and_links_to_it(
    browser: Browser, found: Path, pictures: dict[Path, bytes]
) -> None:
    first = next(iter(pictures))
    browser.open(found)
    browser.one(".tile button").click()
    source = "return document.getElementById('viewer-picture').src"
    assert browser.one("#open").get_attribute("href") == first.as_uri()
    browser.until(lambda: browser.js(source) == first.as_uri())
    # One script: by the next request the file itself may be there in place of the thumbnail.
    thumbnail = browser.js(f"document.getElementById('next').click(); {source}")
    assert thumbnail.startswith("data:image/jpeg;base64,")
    assert browser.log() == []


def test_a_file_that_is_gone_leaves_the_thumbnail(
    browser: Browser, tmp_path: Path, pictures: dict[Path, bytes]
) -> None:
    content = next(iter(pictures.values()))
    gallery(
        tmp_path / "p.html", "t", [Section("s", [Item("n", content, "gone.jpg"), Item("m", None)])]
    )
    browser.open(tmp_path / "p.html")
    browser.one(".tile button").click()
    browser.until(browser.log)  # ERR_FILE_NOT_FOUND
    assert browser.one("#viewer-picture").get_attribute("src").startswith("data:")
    browser.one("#next").click()
    assert browser.one("#viewer-empty").is_displayed()
    assert not browser.one("#viewer-picture").is_displayed()
    assert not browser.one("#open").is_displayed()


def test_names_are_copied(browser: Browser, hostile: Path) -> None:
    browser.open(hostile)
    browser.one(".tile button").click()
    browser.one("#copy").click()
    browser.until(lambda: browser.one("#copy").text == "Copied")
    browser.keys(Keys.ESCAPE)
    browser.one("#filter").click()
    ActionChains(browser.driver).key_down(Keys.CONTROL).send_keys("v").key_up(
        Keys.CONTROL
    ).perform()
    assert browser.one("#filter").get_attribute("value") == HOSTILE[0]


def test_hostile_names_are_text(browser: Browser, hostile: Path, tmp_path: Path) -> None:
    browser.open(hostile)
    assert browser.driver.title == HOSTILE[1]
    assert browser.shown("h1, #note, h2, section > header p.muted") == [
        HOSTILE[1],
        HOSTILE[1],
        HOSTILE[0],
        HOSTILE[2],
    ]
    assert browser.shown(".caption") == HOSTILE
    assert browser.shown(".mark") == HOSTILE
    for name in HOSTILE:
        browser.js(
            "document.querySelectorAll('.tile button')[arguments[0]].click()", HOSTILE.index(name)
        )
        assert browser.one("#viewer-name").text == name
        browser.keys(Keys.ESCAPE)
    assert browser.all("#sections img, #sections script") == []
    page = tmp_path / "map.html"
    scatter(page, HOSTILE[1], [Point(i, i, n, n) for i, n in enumerate(HOSTILE)], note=HOSTILE[0])
    browser.open(page)
    assert browser.driver.title == HOSTILE[1]
    assert browser.shown("#groups .group") == HOSTILE
    assert browser.all("#groups img, #groups script") == []


def test_empty_pages_say_so(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "p.html"
    gallery(page, "none", [])
    browser.open(page)
    assert browser.one("#nothing").text == "No pictures."
    browser.keys("/", Keys.ARROW_DOWN, Keys.ENTER)
    gallery(page, "none", [Section("empty", []), Section("also", [])])
    browser.open(page)
    assert browser.shown("h2") == ["empty", "also"]
    scatter(page, "none", [])
    browser.open(page)
    assert browser.one("#facts").text == "0 pictures"
    browser.keys(Keys.ENTER, "+", Keys.ARROW_LEFT)
    assert browser.log() == []


# the map


def coloured(picture: Image.Image) -> int:
    """How many pixels are not grey, or nearly."""
    pixels = picture.convert("HSV").getchannel("S").histogram()
    return sum(pixels[60:])


def colours(picture: Image.Image) -> int:
    return len(picture.getcolors(1 << 24) or [])


def test_the_map_draws(browser: Browser, corners: Path, tmp_path: Path, pictures: Any) -> None:
    browser.open(corners)
    browser.until(lambda: coloured(browser.map()) > 2000)
    browser.open(crowd(tmp_path / "p.html", pictures, 3000))
    few = coloured(browser.map())
    assert few > 2000
    assert browser.one("#facts").text == "3,000 pictures"


def test_the_wheel_zooms_until_there_are_pictures(
    browser: Browser, tmp_path: Path, pictures: Any
) -> None:
    browser.open(crowd(tmp_path / "p.html", pictures, 3000))
    before = browser.map()
    for _ in range(7):
        browser.wheel(500, 400, -150)
    after = browser.map()
    assert before.tobytes() != after.tobytes()
    # Photographs have colours that dots have not.
    browser.until(lambda: colours(browser.map()) > 3 * colours(before))
    for _ in range(7):
        browser.wheel(500, 400, 150)
    browser.keys("0")
    assert browser.map().tobytes() == before.tobytes()


def test_keys_and_buttons_move_the_map(browser: Browser, tmp_path: Path, pictures: Any) -> None:
    browser.open(crowd(tmp_path / "p.html", pictures, 3000))
    start = browser.map().tobytes()
    for key in ("+", "-", Keys.ARROW_LEFT, Keys.ARROW_UP):
        browser.keys(key)
        if key == "-":
            continue
        assert browser.map().tobytes() != start
    browser.one("#fit").click()
    browser.one("h1").click()
    assert browser.map().tobytes() == start
    browser.one("#in").click()
    assert browser.map().tobytes() != start
    browser.one("#fit").click()
    browser.point(600, 300).click_and_hold().move_by_offset(90, 40).release().perform()
    browser.one("h1").click()
    assert browser.map().tobytes() != start
    assert not browser.one("#chosen").is_displayed()


def test_two_fingers_zoom_and_one_chooses(browser: Browser, corners: Path) -> None:
    def touch(kind: str, *points: tuple[int, int]) -> None:
        places = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touched = {"type": kind, "touchPoints": places}
        browser.driver.execute_cdp_cmd("Input.dispatchTouchEvent", touched)

    browser.open(corners, PHONE)
    start = browser.map()
    touch("touchStart", (190, 500))
    touch("touchStart", (190, 500), (200, 500))
    for apart in range(10, 100, 10):
        touch("touchMove", (190 - apart, 500), (200 + apart, 500))
    touch("touchEnd", (290, 500))
    touch("touchEnd")
    assert browser.map().tobytes() != start.tobytes()
    assert not browser.one("#chosen").is_displayed()
    browser.one("#fit").click()
    x, y = place_of(browser, False, True)
    top = browser.one("#map").location["y"]
    touch("touchStart", (round(x), round(y + top)))
    touch("touchEnd")
    browser.until(lambda: browser.one("#chosen").is_displayed())
    assert browser.one("#chosen-name").text == f"{HOSTILE[0]} 00"


def place_of(browser: Browser, right: bool, below: bool) -> tuple[float, float]:
    """Where a corner of the map is: the middle of what is coloured in that quarter."""
    browser.until(lambda: coloured(browser.map()) > 2000)
    box = browser.map().convert("HSV").getchannel("S").point(lambda s: 255 * (s > 60)).getbbox()
    assert box is not None
    return (box[2] - 28 if right else box[0] + 28), (box[3] - 28 if below else box[1] + 28)


def test_hovering_shows_the_name(browser: Browser, corners: Path) -> None:
    browser.open(corners)
    for right, below in [(0, 0), (1, 0), (0, 1), (1, 1)]:
        browser.point(*place_of(browser, bool(right), bool(below))).perform()
        browser.until(lambda: browser.one("#hover").is_displayed())
        assert browser.one("#hover-name").text == f"{HOSTILE[0]} {right}{1 - below}"
        assert browser.one("#hover-group").text == ("low" if below else "high")
        browser.point(500, 350).perform()
        assert not browser.one("#hover").is_displayed()


def test_choosing_by_click_and_by_key(
    browser: Browser, corners: Path, pictures: dict[Path, bytes]
) -> None:
    browser.open(corners)
    browser.point(*place_of(browser, False, True)).click().perform()
    assert browser.one("#chosen-name").text == f"{HOSTILE[0]} 00"
    files = list(pictures)
    assert browser.one("#open").get_attribute("href") == files[0].as_uri()
    picture = "return document.getElementById('chosen-picture').src"
    browser.until(lambda: browser.js(picture) == files[0].as_uri())
    browser.keys(Keys.ARROW_RIGHT)
    assert browser.one("#chosen-name").text == f"{HOSTILE[0]} 10"
    browser.keys(Keys.ARROW_UP)
    assert browser.one("#chosen-name").text == f"{HOSTILE[0]} 11"
    browser.keys(Keys.ESCAPE)
    assert not browser.one("#chosen").is_displayed()
    browser.keys(Keys.ENTER)
    assert browser.one("#chosen").is_displayed()
    assert browser.log() == []


def test_the_legend_toggles_groups(browser: Browser, tmp_path: Path, pictures: Any) -> None:
    browser.open(crowd(tmp_path / "p.html", pictures, 3000))
    start = coloured(browser.map())
    first, *_ = buttons = browser.all("#groups button")
    assert [b.text.split("\n")[0] for b in buttons] == ["g0", "g1", "g2", "g3", "g4"]
    first.click()
    assert first.get_attribute("aria-pressed") == "false"
    browser.point(20, 20).perform()
    less = coloured(browser.map())
    assert less < start
    browser.one("#all").click()  # Show all
    assert abs(coloured(browser.map()) - start) < 300
    browser.one("#all").click()  # Hide all
    assert coloured(browser.map()) < less / 4


def test_finding_by_name(browser: Browser, tmp_path: Path, pictures: Any) -> None:
    browser.open(crowd(tmp_path / "p.html", pictures, 3000))
    start = coloured(browser.map())
    browser.one("#filter").send_keys("point 1234.")
    assert browser.one("#facts").text == "1 found · 3,000 pictures"
    assert coloured(browser.map()) < start / 2
    browser.keys(Keys.ESCAPE)
    assert browser.one("#facts").text == "3,000 pictures"


def test_ten_thousand_points_are_quick(browser: Browser, tmp_path: Path, pictures: Any) -> None:
    """Drawn in software, beside other tests: a bound against what is quadratic, not a measure."""
    browser.open(crowd(tmp_path / "p.html", pictures, 10_000))
    code = """
    const done = arguments[0], map = document.getElementById("map"), start = performance.now();
    let frames = 0;
    const step = () => {
      const way = { deltaY: -60, clientX: 500, clientY: 500, cancelable: true };
      map.dispatchEvent(new WheelEvent("wheel", way));
      if (++frames < 40) requestAnimationFrame(step);
      else done((performance.now() - start) / frames);
    };
    step();
    """
    assert browser.driver.execute_async_script(code) < 250


# explanations


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESK], ids=["phone", "desk"])
def test_explanations_show_and_run_no_name(
    browser: Browser, explained: Path, size: tuple[int, int], dark: bool
) -> None:
    browser.open(explained, size, dark=dark)
    assert browser.has_no_sideways_scroll()
    assert browser.driver.title == HOSTILE[1]
    assert len(browser.all("article")) == 3
    assert HOSTILE[0] in browser.one(".error").text


def test_a_map_gives_way_to_its_picture(browser: Browser, explained: Path) -> None:
    browser.open(explained)
    image, button = browser.one("article img"), browser.one("article button")
    drawing = image.get_attribute("src")
    button.click()
    assert image.get_attribute("src") != drawing
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert image.get_attribute("src") == drawing
