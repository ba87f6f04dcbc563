"""Host names, pages of other sites, and the headers of pages: the rules that both servers share."""

from __future__ import annotations

import pytest

from unseen.web import security


@pytest.mark.parametrize(
    ("host", "names", "allowed"),
    [
        ("127.0.0.1", (), {"localhost", "127.0.0.1", "[::1]"}),
        ("::1", (), {"localhost", "127.0.0.1", "[::1]"}),
        ("127.0.0.2", (), {"localhost", "127.0.0.1", "[::1]", "127.0.0.2"}),
        ("0.0.0.0", (), None),
        ("192.168.1.7", (), None),
        ("0.0.0.0", ("Photos.example",), {"localhost", "127.0.0.1", "[::1]", "photos.example"}),
    ],
)
def test_a_server_on_loopback_has_its_names_and_any_other_those_it_is_given(
    host: str, names: tuple[str, ...], allowed: set[str] | None
) -> None:
    assert security.allowed_hosts(host, names) == allowed


@pytest.mark.parametrize(
    ("header", "name"),
    [
        (b"LocalHost:8000", "localhost"),
        (b"[::1]:8000", "[::1]"),
        (b"[::1]", "[::1]"),
        (b"evil.example:80:80", "evil.example:80"),
        (b"localhost.", "localhost."),
        (b"localhost:", "localhost:"),
        (b"", ""),
    ],
)
def test_the_name_in_a_host_header(header: bytes, name: str) -> None:
    assert security.host_name({b"host": header}) == name
    assert security.host_name({}) == ""


@pytest.mark.parametrize(
    ("site", "expected"),
    [(b"none", False), (b"same-origin", False), (b"same-site", True), (b"cross-site", True)],
)
def test_what_a_browser_says_of_the_page_that_asks(site: bytes, expected: bool) -> None:
    assert security.is_cross_site({b"sec-fetch-site": site}) is expected
    assert security.is_cross_site({}) is False


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (b"http://192.0.2.2:8000", False),
        (b"HTTP://192.0.2.2:8000", False),
        (b"http://192.0.2.2:9000", True),
        (b"http://192.0.2.2", True),
        (b"https://evil.example", True),
        (b"null", True),
        (b"", True),
    ],
)
def test_without_sec_fetch_site_the_origin_says_it(origin: bytes, expected: bool) -> None:
    """Browsers leave it out for http that is not loopback."""
    headers = {b"host": b"192.0.2.2:8000", b"origin": origin}
    assert security.is_cross_site(headers) is expected
    assert security.is_cross_site({**headers, b"sec-fetch-site": b"same-origin"}) is False
    assert security.is_cross_site({**headers, b"sec-fetch-site": b"cross-site"}) is True


def test_the_policy_of_a_page_names_what_it_may_load_and_nothing_else() -> None:
    headers = security.page_headers(images="'self' data:", media="'self' blob:", camera="self")
    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["trusted-types"] == "'none'"
    assert policy["img-src"] == "'self' data:" and policy["media-src"] == "'self' blob:"
    assert "unsafe" not in headers["content-security-policy"]
    assert "camera=(self)" in headers["permissions-policy"]
    plain = security.page_headers()
    assert "media-src" not in plain["content-security-policy"]
    assert "camera=()" in plain["permissions-policy"]
