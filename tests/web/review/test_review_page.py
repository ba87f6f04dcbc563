"""The review page in headless Chromium: what keys do, and that nothing is lost."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import browsers
from browsers import DESK, HOSTILE, PHONE, Keys
from reviewing import Birds, Serve, Served, doubtful, flock
from unseen.web.review.images import ReviewImages

# How many decisions the page keeps until the server has them.
UNSENT = (
    "return Object.keys(localStorage).filter((key) => key.startsWith('unseen-review '))"
    ".flatMap((key) => JSON.parse(localStorage.getItem(key))).length"
)


class Review(browsers.Browser):
    """What a person does on the page."""

    def enter(self, served: Served, *arguments: Any, **options: Any) -> Review:
        self.open(served.address, *arguments, **options)
        self.settled()
        return self

    def settled(self) -> None:
        """Waits until a picture is on the screen, or the review is finished."""
        self.until(lambda: self.shown("#shown") or self.shown("#finished h2"))

    def picture(self) -> str:
        return str(self.one("#file").text)

    def press(self, *keys: str) -> str:
        """Keys, one after the other, each on a picture that is there → the first one's name."""
        first = self.picture()
        for key in keys:
            self.settled()
            self.keys(key)
        return first

    def saved(self) -> None:
        """Waits until nothing is on its way; "Saving" is drawn only where that takes a while."""
        self.until(lambda: self.one("#saved").text == "All saved" and not self.js(UNSENT))

    def says(self, selector: str, text: str) -> None:
        self.until(lambda: text in (self.shown(selector) or [""])[0])


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with browsers.chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


@pytest.fixture
def page(driver: Any) -> Review:
    return Review(driver)


def proposed(page: Review) -> list[str]:
    return page.shown("#bars .word")


# keys


def test_one_key_decides_and_the_next_picture_is_there(
    page: Review, served: Served, birds: Birds
) -> None:
    page.enter(served)
    expected: dict[str, tuple[str, str | None]] = {}
    for key in (Keys.ENTER, "a", " ", "2", "n", "s"):
        name, words = page.picture(), proposed(page)
        label = words[1 if key == "2" else 0]
        expected[name] = {"n": ("none", None), "s": ("skip", None)}.get(key, ("label", label))
        page.keys(key)
        page.until(lambda name=name: page.picture() != name)
        page.settled()
    page.saved()
    assert birds.said() == expected and len(expected) == 6
    page.says("#progress", "6 of 14 pictures reviewed")


def test_a_key_that_is_held_down_decides_once(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    name = page.picture()
    page.js(
        "for (const repeat of [false, true, true, true]) document.body.dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'n', code: 'KeyN', repeat, bubbles: true}))"
    )
    page.saved()
    page.settled()
    assert birds.said() == {name: ("none", None)}


def test_letters_of_another_keyboard_are_known_by_their_place(
    page: Review, served: Served, birds: Birds
) -> None:
    page.enter(served)
    page.js(
        "document.body.dispatchEvent(new KeyboardEvent('keydown',"
        "{key: 'ф', code: 'KeyA', bubbles: true}))"
    )
    page.until(lambda: len(birds.said()) == 1)


def test_what_was_not_seen_is_not_decided(
    page: Review, birds: Birds, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, go = ReviewImages.jpeg, threading.Event()

    def late(self: ReviewImages, *arguments: Any) -> bytes:
        assert go.wait(20)
        return made(self, *arguments)

    monkeypatch.setattr(ReviewImages, "jpeg", late)
    page.open(serve(birds).address)
    page.until(lambda: page.picture())
    page.says("#looking", "Loading")
    page.keys(Keys.ENTER, "2", "n", "s")
    first = page.picture()
    go.set()
    page.settled()
    assert page.picture() == first and birds.said() == {}
    page.keys(Keys.ENTER)
    page.until(lambda: set(birds.said()) == {first})


def test_the_next_pictures_are_fetched_before_they_are_wanted(page: Review, served: Served) -> None:
    page.enter(served)
    fetched = "return performance.getEntriesByType('resource')" + (
        ".map((e) => e.name).filter((n) => n.includes('/picture/'))"
    )
    page.until(lambda: len(page.js(fetched)) == 5)
    before = page.js(fetched)
    page.press(Keys.ENTER)
    page.settled()
    assert page.js("return document.getElementById('shown').src") in before


def test_any_label_can_be_found_by_its_letters(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    first = page.press("/")
    assert page.js("return document.activeElement.id") == "query"
    page.keys("r")
    assert page.shown("#options li")[-1] == "Add the label “r”"
    page.keys(Keys.BACKSPACE, *"ORK")
    assert page.shown("#options li") == ["stork", "Add the label “ORK”"]
    page.keys(Keys.ENTER)
    page.until(lambda: birds.said() == {first: ("label", "stork")})


def test_arrows_choose_in_the_list_and_escape_leaves_it(
    page: Review, served: Served, birds: Birds
) -> None:
    page.enter(served)
    page.one("#other").click()
    page.keys(Keys.ESCAPE)
    assert not page.shown("#query") and page.js("return document.activeElement.id") == "stage"
    first = page.press("c", Keys.ESCAPE)
    assert not page.shown("#query") and page.picture() == first
    page.keys("/")
    third = page.shown("#options li")[2]
    page.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.ARROW_DOWN)
    marked = page.js("return document.querySelector('#options [aria-selected=true]').textContent")
    active = page.one("#query").get_attribute("aria-activedescendant")
    assert marked == third == page.one(f"#{active}").text
    page.keys(Keys.ENTER)
    page.until(lambda: birds.said() == {first: ("label", third)})


def test_a_label_that_is_new_is_added(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    first = page.press("/")
    page.keys(*"grey  heron", Keys.ENTER)
    page.until(lambda: birds.said() == {first: ("label", "grey heron")})
    page.settled()
    page.keys("/", *"GREY")
    assert page.shown("#options li")[0] == "grey heron"
    with birds.open() as labelling:
        assert labelling.names[-1] == "grey heron"


def test_a_label_that_is_none_is_refused_and_the_picture_stays_open(
    page: Review, served: Served, birds: Birds
) -> None:
    page.enter(served)
    first = page.press("/")
    page.js("document.getElementById('query').value = 'a\\u200bb'")  # does not show
    page.js("document.getElementById('query').dispatchEvent(new Event('input'))")
    page.keys(Keys.ARROW_DOWN, Keys.ENTER)
    page.says("#statusText", "Not saved")
    assert birds.said() == {} and first in page.one("#statusText").text
    page.one("#statusAction").click()
    page.settled()
    assert page.picture() == first and not page.shown("#decided")


@pytest.mark.parametrize("key", ["u", (Keys.CONTROL, "z")])
def test_undo(page: Review, served: Served, birds: Birds, key: Any) -> None:
    page.enter(served)
    first = page.press("n")
    second = page.press("s")
    page.saved()

    def undo() -> None:
        if key == "u":
            return page.keys(key)
        chain = browsers.ActionChains(page.driver)
        chain.key_down(key[0]).send_keys(key[1]).key_up(key[0]).perform()

    undo()
    page.until(lambda: birds.said() == {first: ("none", None)})
    assert page.picture() == second
    undo()
    page.until(lambda: birds.said() == {})
    assert page.picture() == first


def test_undo_after_the_page_was_loaded_again(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    first = page.press("n")
    page.saved()
    page.driver.get(served.url)  # the cookie is enough
    page.settled()
    page.keys("u")
    page.until(lambda: birds.said() == {})
    page.until(lambda: page.picture() == first)


def test_back_and_on_and_another_mind(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    first = page.press("n")
    page.settled()
    second = page.picture()
    page.keys(Keys.ARROW_LEFT)
    assert page.picture() == first
    page.says("#decided", "none of these")
    page.keys(Keys.ARROW_RIGHT)
    assert page.picture() == second and not page.shown("#decided")
    page.keys(Keys.ARROW_RIGHT, Keys.ARROW_LEFT, Keys.ARROW_LEFT)
    word = proposed(page)[2]
    page.keys("3")
    page.until(lambda: birds.said() == {first: ("label", word)})
    page.until(lambda: page.picture() == second)  # the first that is open


def test_looking_closer(page: Review, tmp_path: Path, serve: Serve) -> None:
    birds = flock(tmp_path / "large", [("a.png", "unsure", "heron", 0.5)], size=(3000, 2000))
    page.enter(serve(birds))
    assert page.has_no_sideways_scroll()
    page.keys("z")
    page.until(lambda: "size=full" in page.js("return document.getElementById('shown').src"))
    width = "return document.getElementById('shown').clientWidth"
    assert page.js(width) == 3000
    left = page.js("return document.getElementById('stage').scrollLeft")
    page.keys(Keys.ARROW_RIGHT)
    assert page.js("return document.getElementById('stage').scrollLeft") > left
    page.keys(Keys.ESCAPE)
    assert page.js(width) < 1400
    page.one("#shown").click()
    assert page.js(width) == 3000


# the grid


def test_the_grid_accepts_what_is_not_marked(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    page.keys("g")
    page.until(lambda: len(page.all(".tile.seen")) == 5)
    assert page.js("return document.getElementById('gridLabel').value") == "heron"
    page.keys(Keys.ARROW_RIGHT, " ")
    page.all(".tile")[3].click()
    page.says("#gridAccept", "Accept 3 as “heron”")
    page.keys(Keys.ENTER)
    accepted = {f"sure{i}.png": ("label", "heron") for i in (0, 2, 4)}
    page.until(lambda: birds.said() == accepted)
    page.until(lambda: len(page.all(".tile.seen")) == 3)  # the cranes
    assert page.js("return document.getElementById('gridLabel').value") == "crane"


def test_marked_pictures_come_one_by_one(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    page.keys("g")
    page.until(lambda: len(page.all(".tile.seen")) == 5)
    page.all(".tile")[1].click()
    page.keys("a")
    page.until(lambda: len(birds.said()) == 4)
    page.until(lambda: len(page.all(".tile.seen")) == 3)
    page.keys(Keys.ESCAPE)
    page.settled()
    open_before = page.picture()
    page.press("s")
    page.settled()
    assert "sure1.png" in (open_before, page.picture())


def test_undo_in_the_grid_takes_back_all_of_one_key(
    page: Review, served: Served, birds: Birds
) -> None:
    page.enter(served)
    page.keys("g")
    page.until(lambda: len(page.all(".tile.seen")) == 5)
    page.keys(Keys.ENTER)
    page.until(lambda: len(birds.said()) == 5)
    page.until(lambda: len(page.all(".tile.seen")) == 3)
    page.keys("u")
    page.until(lambda: birds.said() == {})
    page.saved()


# nothing is lost


def test_what_is_not_saved_is_said_and_kept_and_sent_by_the_next_page(
    page: Review, birds: Birds, serve: Serve
) -> None:
    served = serve(birds)
    page.enter(served)
    page.until(lambda: page.js("return performance.getEntriesByType('resource').length") > 10)
    served.stop()
    first, second = page.press("n"), page.press("2")
    page.says("#saved", "2 not saved")
    page.keys(Keys.ARROW_LEFT)
    page.says("#decided", "not saved yet")
    assert birds.said() == {}
    page.log()  # of the requests that nobody answered
    again = serve(birds, served.port)
    page.says("#saved", "open the address of the new run")
    page.driver.get(again.address)
    page.until(lambda: set(birds.said()) == {first, second})
    page.saved()
    page.says("#progress", "2 of 14")
    page.log()


def test_two_windows_do_not_ask_the_same(page: Review, served: Served, birds: Birds) -> None:
    page.enter(served)
    first = page.driver.current_window_handle
    page.driver.switch_to.new_window("window")
    try:
        page.enter(served)
        done = {page.press("n"), page.press("n")}
        page.until(lambda: set(birds.said()) == done)
        page.driver.switch_to.window(first)
        assert page.picture() in done  # it is on the screen here too
        page.press("2")
        page.says("#statusText", "is none of these in another window; that stands")
        page.settled()
        assert page.picture() not in done
        assert set(birds.said().values()) == {("none", None)}
    finally:
        for handle in set(page.driver.window_handles) - {first}:
            page.driver.switch_to.window(handle)
            page.driver.close()
        page.driver.switch_to.window(first)


# how it looks


def test_hostile_names_are_text(page: Review, tmp_path: Path, serve: Serve) -> None:
    names = [name.replace("/", "_") for name in HOSTILE]
    rows = [(name, "unsure", label, 0.6) for name, label in zip(names, HOSTILE, strict=True)]
    rows.append(("sure.png", "sure", HOSTILE[0], 0.9))
    birds = flock(tmp_path / names[0], rows, labels=HOSTILE)
    page.enter(serve(birds))
    assert sorted(proposed(page)) == sorted(HOSTILE)
    assert page.picture() in names
    assert page.one("#folder").text == names[0]
    page.keys("/")
    assert set(page.shown("#options li")) == set(HOSTILE)
    page.keys(Keys.ESCAPE, "g")
    page.until(lambda: len(page.all(".tile.seen")) == 1)
    page.keys("g", "?")
    assert page.shown("#help dl") and page.log() == []
    assert page.driver.title == "unseen: review"
    assert page.js("return document.querySelectorAll('img[src=x], body script').length") == 0


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESK, PHONE])
def test_it_fits_and_says_nothing_to_the_console(
    page: Review, served: Served, size: tuple[int, int], dark: bool
) -> None:
    page.enter(served, size, dark=dark)
    assert page.has_no_sideways_scroll()
    ground = page.js("return getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(22, 22, 21)" if dark else "rgb(251, 250, 248)")
    high = page.js(
        "return Math.min(...[...document.querySelectorAll('#verdicts button, .bar')]"
        ".map((e) => e.offsetHeight))"
    )
    assert high >= (44 if size == PHONE else 36)
    visible = page.js(
        "const box = document.getElementById('skip').getBoundingClientRect();"
        "return box.bottom <= innerHeight"
    )
    assert visible  # without scrolling
    page.keys("g")
    page.until(lambda: len(page.all(".tile.seen")) == 5)
    assert page.has_no_sideways_scroll() and page.log() == []


def test_a_screen_reader_hears_what_happened_and_what_comes(page: Review, served: Served) -> None:
    page.enter(served)
    page.press("n")
    page.until(lambda: page.one("#live").get_attribute("textContent").startswith("None of these."))
    said = page.one("#live").get_attribute("textContent")
    assert page.picture() in said and f"proposed “{proposed(page)[0]}”" in said
    assert page.one("#live").get_attribute("aria-live") == "polite"
    assert page.one("#shown").get_attribute("alt") == f"The picture to label: {page.picture()}"
    unnamed = page.js(
        "return [...document.querySelectorAll('button, input, select, img')]"
        ".filter((e) => e.offsetParent)"
        ".filter((e) => !(e.textContent.trim() || e.ariaLabel || e.labels?.length || e.alt)).length"
    )
    assert unnamed == 0
    # The focus is where Enter accepts, and presses no button again.
    page.all(".bar")[1].click()
    page.settled()
    assert page.js("return document.activeElement.id") == "stage"


def test_the_token_leaves_the_address(page: Review, served: Served) -> None:
    page.enter(served)
    assert page.driver.current_url == served.url + "/"


def test_at_the_end_it_says_what_comes_next(page: Review, tmp_path: Path, serve: Serve) -> None:
    birds = flock(tmp_path / "few", doubtful(2))
    page.enter(serve(birds))
    page.press("n", "s")
    page.says("#finished h2", "All is reviewed")
    assert page.shown("#commands code") == [
        f"unseen label export {birds.folder} -o dataset/",
        f"unseen distil {birds.folder} -o model.onnx",
    ]
    page.says("#finishedSays", "2 pictures, 1 of them skipped")
    page.keys("u")
    page.settled()
    page.until(lambda: len(birds.said()) == 1)
    page.press("n")
    page.says("#finished h2", "All is reviewed")


def test_a_picture_that_is_gone_can_be_skipped(page: Review, tmp_path: Path, serve: Serve) -> None:
    birds = flock(tmp_path / "few", doubtful(2))
    for name in birds.ids:
        (birds.folder / name).unlink()
    page.open(serve(birds).address, quiet=False)
    page.says("#trouble", "the file is gone, or has changed")
    page.keys("s")
    page.until(lambda: list(birds.said().values()) == [("skip", None)])
    page.log()
