"""What stands in the pages' files; how they look and behave, a browser says in the other test."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

import unseen.pages
from unseen.images.thumbnails import per_sheet, sheets
from unseen.pages import Item, Point, Section, gallery, link, scatter, thumbnail
from unseen.pages.html import embedded

HOSTILE = [
    '<img src=x onerror="document.title=1">.jpg',
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>&lt;&amp;",
    "a\u2028b\u2029c",
    "{{script}}{{data}}",
    "\udcff\x00.jpg",  # a name that is no UTF-8
    "naïve 猫 фото.jpg",
]
DATA = re.compile(rb'<script type="application/json" id="([\w-]+)">(.*?)</script>', re.DOTALL)


@pytest.fixture(scope="session")
def small() -> bytes:
    return thumbnail(Image.radial_gradient("L").convert("RGB"), 32)


def data_of(page: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found = DATA.findall(page.read_bytes())
    return {key.decode(): json.loads(text, parse_constant=refuse) for key, text in found}


def both(folder: Path, picture: bytes | None, names: list[str]) -> Iterator[Path]:
    """A page of each kind, everything in it called as `names`."""
    items = [Item(n, picture, n_link(n), 0.5, caption=n, mark=n) for n in names]
    gallery(folder / "g.html", names[0], [Section(n, items, note=n) for n in names], note=names[0])
    yield folder / "g.html"
    points = [Point(i, -i, n, n, picture, n_link(n)) for i, n in enumerate(names)]
    scatter(folder / "s.html", names[0], points, note=names[0])
    yield folder / "s.html"


def n_link(name: str) -> str:
    return link(Path("pictures") / name.replace("/", "").replace("\0", ""), Path("page.html"))


# escaping and the policy


def test_hostile_names_stay_inside_their_json(tmp_path: Path, small: bytes) -> None:
    for page in both(tmp_path, small, HOSTILE):
        content = page.read_bytes()
        empty = tmp_path / "empty.html"
        make_empty = gallery if page.name == "g.html" else scatter
        make_empty(empty, "", [])
        # All markup is that of an empty page, and of the JSON elements with pictures.
        more = len(DATA.findall(content)) - len(DATA.findall(empty.read_bytes()))
        assert content.count(b"<script") == empty.read_bytes().count(b"<script") + more
        assert content.count(b"<!") == 1
        for _, text in DATA.findall(content):
            assert not set(text) & set(b"<>&") and text.isascii()


def test_names_come_back_as_they_were(tmp_path: Path, small: bytes) -> None:
    g, s = both(tmp_path, small, HOSTILE)
    assert [i[0] for i in data_of(g)["data"]["sections"][3]["items"]] == HOSTILE
    assert [x["title"] for x in data_of(g)["data"]["sections"]] == HOSTILE
    assert data_of(s)["data"]["names"] == HOSTILE
    assert sorted(data_of(s)["data"]["groups"]) == sorted(HOSTILE)


@pytest.mark.parametrize("title", HOSTILE)
def test_titles_are_text(tmp_path: Path, title: str) -> None:
    gallery(tmp_path / "p.html", title, [])
    inside = re.search(rb"<title>(.*?)</title>", (tmp_path / "p.html").read_bytes(), re.DOTALL)
    assert inside and b"<" not in inside[1]
    assert data_of(tmp_path / "p.html")["data"]["title"] == title


def test_the_policy_allows_what_is_in_the_file_and_no_more(tmp_path: Path, small: bytes) -> None:
    for page in both(tmp_path, small, HOSTILE):
        content = page.read_bytes()
        found = re.search(rb'Content-Security-Policy" content="([^"]+)"', content)
        assert found
        rules = dict(r.split(" ", 1) for r in found[1].decode().split("; "))
        for part, rule in (("style", "style-src"), ("script", "script-src")):
            (inside,) = re.findall(f"<{part}>(.*?)</{part}>".encode(), content, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(inside).digest()).decode()
            assert rules[rule] == f"'sha256-{digest}'"
        assert rules["default-src"] == "'none'"
        assert rules["img-src"] == "data: file:"
        assert "unsafe" not in found[1].decode()


def test_nothing_is_asked_of_anybody(tmp_path: Path, small: bytes) -> None:
    for page in both(tmp_path, small, ["a.jpg", "b.jpg"]):
        content = page.read_text("utf-8")
        assert not re.search(r"https?:|[\"'(]//|@import|url\(|fetch\(|XMLHttp|WebSocket", content)
        for forbidden in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
            assert forbidden not in content


def test_the_parts_are_in_the_package() -> None:
    folder = Path(unseen.pages.__file__).parent
    for kind in ("base", "gallery", "report", "scatter"):
        assert {p.suffix for p in folder.glob(f"{kind}.*")} == {".html", ".css", ".js"}
    # A page's own part is its body: what all have, the policy above all, is written once.
    (head,) = [p.name for p in folder.glob("*.html") if "{{" in p.read_text("utf-8")]
    assert head == "base.html"
    for script in folder.glob("*.js"):
        assert "</script" not in script.read_text("utf-8")


# links


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        " javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "//server/share/x.jpg",
        "\\\\server\\share\\x.jpg",
        "/\\server/x.jpg",
        "file://server/x.jpg",
        "blob:x",
    ],
)
def test_links_that_lead_astray_are_refused(tmp_path: Path, href: str) -> None:
    with pytest.raises(ValueError, match="link"):
        gallery(tmp_path / "p.html", "t", [Section("s", [Item("n", None, href)])])
    with pytest.raises(ValueError, match="link"):
        scatter(tmp_path / "p.html", "t", [Point(0, 0, "n", href=href)])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "href", ["a.jpg", "../b/c%20d.jpg", "file:///x/y.jpg", "https://example.org/x.jpg", "#a", ""]
)
def test_links_that_do_not_are_kept(tmp_path: Path, href: str) -> None:
    gallery(tmp_path / "p.html", "t", [Section("s", [Item("n", None, href)])])
    assert data_of(tmp_path / "p.html")["data"]["sections"][0]["items"][0][2] == href


def test_a_link_is_relative_and_quoted(tmp_path: Path) -> None:
    page = tmp_path / "out" / "page.html"
    assert link(tmp_path / "a b" / "50% #1?.jpg", page) == "../a%20b/50%25%20%231%3F.jpg"
    assert link(tmp_path / "out" / "javascript:x.jpg", page) == "javascript%3Ax.jpg"
    assert link(tmp_path / "out" / "\udcff.jpg", page) == "%FF.jpg"
    assert link(Path("a.jpg"), Path("b.html")) == "a.jpg"


# what is written


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path, small: bytes) -> None:
    page = tmp_path / "p.html"
    page.write_text("before")

    def breaks() -> Iterator[Section]:
        yield Section("one", [Item("n", small)] * 200)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gallery(page, "t", breaks())
    with pytest.raises(ValueError, match="thumbnail"):
        gallery(page, "t", [Section("s", [Item("n", b"GIF89a")])])
    with pytest.raises(ValueError, match="thumbnail"):
        scatter(page, "t", [Point(0, 0, "n", thumbnail=b"no picture")])
    assert page.read_text() == "before"
    assert list(tmp_path.iterdir()) == [page]


def test_the_same_data_makes_the_same_file(tmp_path: Path, small: bytes) -> None:
    first = [page.read_bytes() for page in both(tmp_path, small, HOSTILE)]
    assert first == [page.read_bytes() for page in both(tmp_path, small, HOSTILE)]


def test_nothing_makes_a_page_too(tmp_path: Path) -> None:
    gallery(tmp_path / "g.html", "none", [])
    gallery(tmp_path / "h.html", "none", [Section("empty", [])])
    scatter(tmp_path / "s.html", "none", [])
    assert data_of(tmp_path / "g.html")["data"]["sections"] == []
    assert data_of(tmp_path / "h.html")["data"]["sections"][0]["items"] == []
    assert data_of(tmp_path / "s.html")["data"]["names"] == []


def test_pictures_are_numbered_over_the_sections(tmp_path: Path) -> None:
    pictures = [thumbnail(Image.new("RGB", (1, 1), (i, 0, 0))) for i in range(150)]
    items = [Item(str(i), p) for i, p in enumerate(pictures)]
    items.insert(3, Item("none", None))
    gallery(tmp_path / "p.html", "t", (Section("s", items[i : i + 40]) for i in range(0, 151, 40)))
    data = data_of(tmp_path / "p.html")
    chunk = data["data"]["chunk"]
    for section in data["data"]["sections"]:
        for name, number, *_ in section["items"]:
            if name == "none":
                assert number is None
            else:
                uri = data[f"pictures-{number // chunk}"][number % chunk]
                head, body = uri.split(",")
                assert head == "data:image/jpeg;base64"
                assert base64.b64decode(body) == pictures[int(name)]


def test_scores_that_are_no_numbers_are_none(tmp_path: Path) -> None:
    scores = [math.nan, math.inf, -math.inf, None, -0.25, 1e9]
    items = [Item("n", None, score=score) for score in scores]
    gallery(
        tmp_path / "p.html", "t", [Section("s", items, full=math.nan), Section("z", [], full=0)]
    )
    first, second = data_of(tmp_path / "p.html")["data"]["sections"]
    assert [item[3] for item in first["items"]] == [None, None, None, None, -0.25, 1e9]
    assert first["full"] == second["full"] == 1.0


def test_embedded_refuses_what_json_has_not() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        embedded(math.nan)


# the map


def test_places_fill_the_unit_square(tmp_path: Path) -> None:
    scatter(tmp_path / "p.html", "t", [Point(-10, 5, "a"), Point(30, 25, "b"), Point(10, 15, "c")])
    data = data_of(tmp_path / "p.html")["data"]
    assert data["x"] == [0, 1, 0.5]
    assert data["y"] == [0.5, 0, 0.25]  # the highest is at the top


@pytest.mark.parametrize("far", [0.0, 1e-300, 1e308])
def test_places_of_any_size(tmp_path: Path, far: float) -> None:
    scatter(tmp_path / "p.html", "t", [Point(-far, 0, "a"), Point(far, 0, "b")])
    assert data_of(tmp_path / "p.html")["data"]["x"] == ([0, 0] if far == 0 else [0, 1])


def test_points_without_a_place_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    points = [Point(0, 0, "a"), Point(math.nan, 0, "b"), Point(0, math.inf, "c"), Point(1, 1, "d")]
    scatter(tmp_path / "p.html", "t", points)
    data = data_of(tmp_path / "p.html")["data"]
    assert data["names"] == ["a", "d"]
    assert data["facts"] == ["2 pictures", "2 left out: they have no place on the map"]


def test_groups_are_sorted_by_size_those_of_none_last(tmp_path: Path) -> None:
    points = [Point(i, 0, str(i), g) for i, g in enumerate(["", "", "", "a", "b", "b"])]
    scatter(tmp_path / "p.html", "t", points)
    data = data_of(tmp_path / "p.html")["data"]
    assert data["groups"] == ["b", "a", ""]
    assert data["group"] == [2, 2, 2, 1, 0, 0]


def test_above_the_limit_points_are_dots_and_it_is_said(tmp_path: Path, small: bytes) -> None:
    points = [Point(i, 0, str(i), thumbnail=small) for i in range(100)]
    scatter(tmp_path / "p.html", "t", points, thumbnails=10)
    data = data_of(tmp_path / "p.html")["data"]
    assert [i for i, cell in enumerate(data["cell"]) if cell >= 0] == list(range(0, 100, 10))
    assert data["facts"] == ["100 pictures", "10 of them shown, the others are dots"]
    scatter(tmp_path / "p.html", "t", points, thumbnails=0)
    assert set(data_of(tmp_path / "p.html")["data"]["cell"]) == {-1}


def test_cells_hold_the_pictures_of_their_points(tmp_path: Path) -> None:
    colours = [(i * 40 % 256, i * 90 % 256, i * 17 % 256) for i in range(300)]
    pictures = [thumbnail(Image.new("RGB", (64, 48), colour)) for colour in colours]
    points = [Point(i, 0, "", thumbnail=None if i == 7 else p) for i, p in enumerate(pictures)]
    scatter(tmp_path / "p.html", "t", points)
    page = data_of(tmp_path / "p.html")
    data = page["data"]
    assert data["side"] == 128 and data["cell"][7] == -1
    opened = {}
    for i, cell in enumerate(data["cell"]):
        if cell < 0:
            continue
        number, at = divmod(cell, data["perSheet"])
        if number not in opened:
            uri = page[f"sheet-{number}"]
            content = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
            opened[number] = Image.open(io.BytesIO(content))
        row, column = divmod(at, data["across"])
        middle = opened[number].getpixel((column * 128 + 64, row * 128 + 64))
        assert isinstance(middle, tuple)
        assert max(abs(a - b) for a, b in zip(middle, colours[i], strict=True)) < 8
    assert len(opened) == 2


def test_a_damaged_thumbnail_is_a_grey_cell(small: bytes) -> None:
    (sheet,) = sheets([small[:40], small], 64)
    with Image.open(io.BytesIO(sheet)) as image:
        assert image.size == (128, 64)
        assert image.getpixel((32, 32)) == (128, 128, 128)


def test_ten_thousand_photographs_stay_below_25_mb(tmp_path: Path, photographs: Path) -> None:
    """Reckoned from a sheet's worth, cells being alike in size."""
    files = sorted(photographs.glob("*/*.jpg"))
    pictures = []
    for file in files:
        with Image.open(file) as image:
            pictures.append(thumbnail(image))
    many = per_sheet(64)
    (sheet,) = sheets([pictures[i % len(pictures)] for i in range(many)], 64)
    assert len(sheet) * 4 / 3 * 10_000 / many < 20_000_000
    name = "photographs/of/a/usual/length/IMG_20240704_123456.jpg"
    points = [Point(i, i % 7, name, f"{i % 20}", href=name) for i in range(10_000)]
    scatter(tmp_path / "p.html", "t", points)
    assert (tmp_path / "p.html").stat().st_size < 3_000_000


# thumbnails


def test_photographs_are_about_ten_kilobytes(photographs: Path) -> None:
    sizes = []
    for file in sorted(photographs.glob("*/*.jpg")):
        with Image.open(file) as image:
            sizes.append(len(thumbnail(image)))
    assert 8_000 < sum(sizes) / len(sizes) < 12_000


@pytest.mark.parametrize(
    ("size", "becomes"),
    [((1000, 500), (256, 128)), ((500, 1000), (128, 256)), ((9000, 1), (256, 1)), ((9, 7), (9, 7))],
)
def test_a_thumbnail_is_the_whole_picture(size: tuple[int, int], becomes: tuple[int, int]) -> None:
    with Image.open(io.BytesIO(thumbnail(Image.new("RGB", size)))) as image:
        assert image.format == "JPEG" and image.size == becomes


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_thumbnails_of_every_mode(mode: str) -> None:
    with Image.open(io.BytesIO(thumbnail(Image.new(mode, (300, 20))))) as image:
        assert image.mode == "RGB"


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (600, 600), (255, 0, 0, 0))
    palette = Image.new("P", (600, 600), 0)
    palette.info["transparency"] = 0
    for picture in (clear, palette):
        with Image.open(io.BytesIO(thumbnail(picture))) as image:
            assert image.getpixel((100, 100)) == (255, 255, 255)


def test_metadata_stays_behind() -> None:
    picture = Image.new("RGB", (20, 20))
    secret = b"a secret place"
    exif = picture.getexif()
    exif[0x010E] = secret.decode()
    stream = io.BytesIO()
    picture.save(stream, "JPEG", exif=exif, comment=secret, icc_profile=secret)
    assert stream.getvalue().count(secret) == 3
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", secret.decode())
    for opened in (Image.open(stream), Image.open(stream).convert("L")):
        assert secret not in thumbnail(opened)
        assert secret not in thumbnail(opened, 5)


def test_a_thumbnail_has_a_size() -> None:
    with pytest.raises(ValueError, match="side is 0"):
        thumbnail(Image.new("RGB", (1, 1)), 0)
