"""URLs that strangers name must not reach what only this machine reaches.

No packet leaves this machine. `world` sends every connection to one of two servers here: to
`public`, when the address is one of a public host, and to `canary` for any other address.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import unseen
from raw_server import RawServer, answer
from unseen.images.open import open_image
from unseen.sources.address_policy import PublicHosts
from unseen.sources.http import fetch
from unseen.types import AddressCheck

PUBLIC_V4, PUBLIC_V6, DOWN = "93.184.216.34", "2606:2800:220:1::1", "93.184.216.99"
NAMES = {
    "public.test": [PUBLIC_V4],
    "both.test": [PUBLIC_V6, PUBLIC_V4],
    "inner.test": ["10.0.0.5"],
    "localhost": ["127.0.0.1"],
    "localhost.": ["127.0.0.1"],
    "localhost.localdomain": ["127.0.0.1"],
    "localtest.test": ["127.0.0.1"],  # a public name that its owner points here
    "127.0.0.1.nip.test": ["127.0.0.1"],
    "127.0.0.1.": ["127.0.0.1"],
    "ip6-localhost": ["::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "kubernetes.default.svc": ["10.96.0.1"],
    "xn--inner-test": ["192.168.1.1"],
    "linklocal.test": ["fe80::1%eth0"],
    "nat64.test": ["64:ff9b::a00:1"],
}

# Each reaches something private when nothing checks; `test_without_a_check…` proves it.
REACHING = """
    127.0.0.1 127.0.0.1:80 127.1 127.0.1 127.255.255.254 2130706433 0x7f000001 0x7f.1 0x7f.0.0.1
    0X7F.0X0.0X0.0X1 0177.0.0.1 0177.1 017700000001 00000177.0.0.1 0 0.0.0.0 0x0 0.1
    10.0.0.1 012.0.0.1 167772161 0x0a000001 10.1 172.16.0.1 0xac.16.1 172.31.255.255 192.168.0.1
    192.168.257 3232235521 0300.0250.0.1 169.254.169.254 2852039166 0xa9fea9fe 0251.0376.0251.0376
    169.254.43518 100.64.0.1 100.100.100.200 168.63.129.16 192.0.0.192 192.0.2.1 198.18.0.1
    203.0.113.9 224.0.0.1 255.255.255.255 240.0.0.1
    127。0。0。1 127．0．0．1 127｡0｡0｡1 １２７.0.0.1 ①②⑦.⓪.⓪.① 𝟏𝟐𝟕.𝟎.𝟎.𝟏
    [::1] [0:0:0:0:0:0:0:1] [0000::0001] [::] [::127.0.0.1] [::7f00:1] [::ffff:127.0.0.1]
    [::FFFF:7F00:1] [0:0:0:0:0:ffff:127.0.0.1] [::ffff:0a00:0001] [::ffff:0:127.0.0.1]
    [64:ff9b::127.0.0.1] [64:ff9b::a9fe:a9fe] [64:ff9b:1::a00:1] [2002:7f00:1::] [2002:c0a8:1::1]
    [2001:0:53aa:64c:0:fb8f:80ff:fffe] [fc00::1] [fd00:ec2::254] [fe80::1] [fec0::1] [ff02::1]
    [2001:db8::1] [100::1] [2606:4700::5efe:10.0.0.1]
    localhost LOCALHOST LocalHost localhost. localhost.localdomain localhost:443 localtest.test
    127.0.0.1.nip.test 127.0.0.1. ip6-localhost metadata.google.internal kubernetes.default.svc
    xn--inner-test linklocal.test nat64.test ｌｏｃａｌｈｏｓｔ
""".split()  # noqa: SIM905 - a table of quoted strings would be harder to read

# Each is no URL to fetch at all, or names a host that does not exist.
MISSHAPEN = [
    "http://public.test@127.0.0.1/",
    "http://127.0.0.1@public.test/",
    "http://public.test:80@127.0.0.1/",
    "http://:@127.0.0.1/",
    "http://@127.0.0.1/",
    "http://public.test%40127.0.0.1/",
    "http://public.test\\@127.0.0.1/",
    "http://127.0.0.1\\@public.test/",
    "http://127.0.0.1\\.public.test/",
    "http:\\\\127.0.0.1\\",
    "http:/\\127.0.0.1/",
    "http://127.0.0.1\t/",
    "http://127.0.0.1\t.public.test/",
    "http://127.0.0.1\n/",
    "http://127.0.0.1\r\nHost: public.test/",
    "http://public.test/ HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "http://127.0.0.1\0.public.test/",
    "http://127.0.0.1 .public.test/",
    " http://127.0.0.1/",
    "ht\ntp://127.0.0.1/",
    "http://127.0.0.1\u2028/",
    "http://127.0.0.1\u200b/",
    "http://127.0.0.1%00.public.test/",
    "http://127.0.0.1%2f.public.test/",
    "http://127.0.0.1%23.public.test/",
    "http://%31%32%37.0.0.1/",
    "http://[::1/",
    "http://::1/",
    "http://[::1]x/",
    "http://[fe80::1%25eth0]/",
    "http://[::ffff:127.0.0.1%25]/",
    "http://[127.0.0.1]/",
    "http://127.0.0.1:80:80/",
    "http://127.0.0.1:99999/",
    "http://127.0.0.1:-80/",
    "http://127.0.0.1:8o/",
    "http://127.0.0.1:８０/",
    "http:127.0.0.1/",
    "http:/127.0.0.1/",
    "http:///127.0.0.1/",
    "http://",
    "http:",
    "//127.0.0.1/",
    "127.0.0.1",
    "http://256.256.256.256/",
    "http://127.0.0.1.1/",
    "http://1.2.3.4.5/",
    "http://a..b/",
    "http://" + "a" * 300 + ".test/",
    "http://public.test/" + "a" * 9000,
    "http://public.test:22/",
    "http://public.test:8080/",
    "http://public.test:6379/",
    "http://public.test:0/",
    "https://public.test:8443/",
    "file:///etc/passwd",
    "file://127.0.0.1/etc/passwd",
    "FILE:///etc/passwd",
    "gopher://127.0.0.1:6379/_INFO",
    "ftp://127.0.0.1/",
    "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/",
    "tftp://127.0.0.1/x",
    "sftp://127.0.0.1/x",
    "jar:http://127.0.0.1!/",
    "url:http://127.0.0.1/",
    "netdoc:///etc/passwd",
    "data:text/plain,canary",
    "javascript:alert(1)",
    "about:blank",
]

DIRECT = [f"http://{host}/" for host in REACHING] + MISSHAPEN
PRIVATE = [
    "127.0.0.1", "0.0.0.0", "10.0.0.1", "100.64.0.1", "169.254.169.254", "172.17.0.1",
    "192.168.1.1", "224.0.0.1", "::1", "::", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1",
    "2002:7f00:1::", "2001::1", "fd00::1", "fe80::1%eth0", "ff02::1",
]  # fmt: skip


class World:
    """The names and the two servers; `attempts`: private addresses that were connected to."""

    def __init__(self, public: RawServer, canary: RawServer, locations: dict[str, str]) -> None:
        self.public, self.canary = public, canary
        self.locations = locations  # path on the public server → where it redirects to
        self.names: dict[str, Callable[[], list[str]]] = {
            name: lambda addresses=addresses: addresses for name, addresses in NAMES.items()
        }
        self.attempts: list[str] = []
        self.look_ups: list[str] = []

    def getaddrinfo(self, host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        self.look_ups.append(host)
        name = host.lower() if host.isascii() else host.encode("idna").decode()
        addresses = self.names[name]() if name in self.names else [host]
        if not addresses:
            raise socket.gaierror("unknown")
        options["flags"] = socket.AI_NUMERICHOST  # never ask a real name server
        return [_with_scope(_getaddrinfo, a, port, *args, **options) for a in addresses]

    def connect(self, sock: socket.socket, address: Any) -> None:
        """In place of `socket.socket.connect`."""
        if address[0] == DOWN:
            raise ConnectionRefusedError
        is_public = address[0] in (PUBLIC_V4, PUBLIC_V6)
        if not is_public:
            self.attempts.append(address[0])
        port = (self.public if is_public else self.canary).port
        here = ("127.0.0.1", port) if sock.family == socket.AF_INET else ("::ffff:127.0.0.1", port)
        _connect(sock, here)

    def fetch(self, url: str, check: AddressCheck | None = None, **options: Any) -> bytes:
        given = {"max_bytes": 10_000, "max_seconds": 10, "max_redirects": 5, **options}
        return fetch(url, check_address=check, **given)

    def guarded(self, url: str, **options: Any) -> bytes:
        return self.fetch(url, PublicHosts().check, **options)

    def assert_untouched(self) -> None:
        assert self.attempts == []
        assert self.canary.requests == []


_getaddrinfo, _connect = socket.getaddrinfo, socket.socket.connect


def _with_scope(look_up: Any, address: str, port: int, *args: Any, **options: Any) -> Any:
    """Scopes name an interface of the machine, which may have none of that name."""
    plain, percent, scope = address.partition("%")
    family, kind, protocol, name, where = look_up(plain, port, *args, **options)[0]
    return family, kind, protocol, name, (where[0] + percent + scope, *where[1:])


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[RawServer, RawServer, dict[str, str]]]:
    locations: dict[str, str] = {}

    def redirect(connection: socket.socket, head: bytes) -> None:
        path = head.split(b" ")[1].decode()
        if path not in locations:
            connection.sendall(answer(b"public"))
            return
        status = path.strip("/").partition("/")[0]
        line = f"HTTP/1.1 {status} Moved\r\nLocation: "
        connection.sendall(line.encode() + locations[path].encode() + b"\r\n\r\n")

    def sing(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer(b"canary"))

    with RawServer(redirect) as public, RawServer(sing) as canary:
        yield public, canary, locations


@pytest.fixture
def world(
    servers: tuple[RawServer, RawServer, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> World:
    public, canary, locations = servers
    for remaining in (public.requests, canary.requests, locations):
        remaining.clear()
    world = World(public, canary, locations)
    monkeypatch.setattr(socket, "getaddrinfo", world.getaddrinfo)
    monkeypatch.setattr(socket.socket, "connect", lambda *given: world.connect(*given))
    return world


def test_what_is_public_is_reached(world: World) -> None:
    hosts = [PUBLIC_V4, "public.test", f"[{PUBLIC_V6}]:80", "PUBLIC.test", "public.test:443"]
    for url in [f"http://{host}/a?b" for host in hosts] + ["http://both.test"]:
        assert world.guarded(url) == b"public", url
    world.assert_untouched()


@pytest.mark.parametrize("host", REACHING)
def test_without_a_check_the_canary_is_hit(world: World, host: str) -> None:
    assert world.fetch(f"http://{host}/") == b"canary"
    world.locations["/302/x"] = f"http://{host}/"
    if host.isascii():
        assert world.fetch("http://public.test/302/x") == b"canary"
    assert len(world.attempts) == len(world.canary.requests) == 1 + host.isascii()


@pytest.mark.parametrize("url", DIRECT)
def test_named_by_a_stranger(world: World, url: str) -> None:
    with pytest.raises(unseen.SourceError):
        world.guarded(url)
    world.assert_untouched()


@pytest.mark.parametrize("url", DIRECT)
def test_named_by_a_redirect(world: World, url: str) -> None:
    for status in (301, 302, 303, 307, 308):
        path = f"/{status}/to"
        world.locations[path] = url
        # What is no URL of its own may be a path on the public host: only the canary counts.
        try:
            assert world.guarded(f"http://public.test{path}") == b"public"
            assert url in MISSHAPEN
        except unseen.SourceError:
            pass
        world.assert_untouched()
    assert len(world.public.requests) >= 5


@pytest.mark.parametrize(
    "location",
    ["//127.0.0.1/", "//127.0.0.1", "//localhost:80/x", "//[::1]/", "///127.0.0.1/",
     "////10.0.0.1/",
     "/\\127.0.0.1/", "\\\\127.0.0.1\\", "/\t/127.0.0.1/", "//public.test@127.0.0.1/",
     "//127.0.0.1?x", "//127.0.0.1#x", "..//127.0.0.1/", "./\\/127.0.0.1/", "http:127.0.0.1/",
     "http:///127.0.0.1", "HTTP://127.0.0.1/", "?@127.0.0.1/", "//①②⑦.⓪.⓪.①/", "//2130706433"],
)  # fmt: skip
def test_relative_redirects(world: World, location: str) -> None:
    for status in (301, 302, 303, 307, 308):
        world.locations[f"/{status}/to"] = location
        try:
            assert world.guarded(f"http://public.test/{status}/to") == b"public"
        except unseen.SourceError:
            continue
        finally:
            world.assert_untouched()


def test_redirects_among_public_hosts_are_followed(world: World) -> None:
    world.locations |= {"/301/a": "/302/b", "/302/b": "//both.test/303/c", "/303/c": "../end"}
    assert world.guarded("http://public.test/301/a") == b"public"
    hosts = [head.split(b"Host: ")[1].split(b"\r\n")[0] for head in world.public.requests]
    assert hosts == [b"public.test", b"public.test", b"both.test", b"both.test"]


# names that answer differently


@pytest.mark.parametrize("private", PRIVATE)
def test_a_name_that_is_private_the_second_time(world: World, private: str) -> None:
    answers = iter([[PUBLIC_V4], [private], [private]])
    world.names["rebind.test"] = lambda: next(answers)
    assert world.guarded("http://rebind.test/") == b"public"  # looked up once: the checked one
    with pytest.raises(unseen.SourceError):
        world.guarded("http://rebind.test/")
    assert world.look_ups == ["rebind.test"] * 2
    world.assert_untouched()
    assert world.fetch("http://rebind.test/") == b"canary"


@pytest.mark.parametrize("private", PRIVATE)
def test_a_redirect_to_a_name_that_has_become_private(world: World, private: str) -> None:
    answers = iter([[PUBLIC_V4], [private], [PUBLIC_V4], [private]])
    world.names["rebind.test"] = lambda: next(answers)
    world.locations["/302/again"] = "/"
    with pytest.raises(unseen.SourceError):
        world.guarded("http://rebind.test/302/again")
    assert len(world.public.requests) == 1
    world.assert_untouched()
    assert world.fetch("http://rebind.test/302/again") == b"canary"


@pytest.mark.parametrize("private", PRIVATE)
def test_one_private_address_among_public_ones_refuses_the_name(world: World, private: str) -> None:
    for addresses in ([private, PUBLIC_V4], [PUBLIC_V4, private], [PUBLIC_V4] * 9 + [private]):
        world.names["mixed.test"] = lambda addresses=addresses: addresses
        with pytest.raises(unseen.SourceError):
            world.guarded("http://mixed.test/")
    assert world.public.requests == []
    world.assert_untouched()


# hosts that an operator allows


def test_allowed_hosts_are_reached_by_name_and_by_redirect(world: World) -> None:
    check = PublicHosts(frozenset({"inner.test:8080"})).check
    assert world.fetch("http://inner.test:8080/", check) == b"canary"
    world.locations["/302/in"] = "http://INNER.test:8080/"
    assert world.fetch("http://public.test/302/in", check) == b"canary"
    assert world.attempts == ["10.0.0.5"] * 2


@pytest.mark.parametrize(
    "url",
    ["http://inner.test/", "http://inner.test:8081/", "http://10.0.0.5:8080/",
     "http://localhost:8080/", "http://inner.test.:8080/", "http://inner.test:8080@localhost/",
     "http://localhost:8080/inner.test:8080", "http://localhost:8080#inner.test:8080"],
)  # fmt: skip
def test_an_allowed_host_allows_nothing_else(world: World, url: str) -> None:
    world.names["inner.test."] = lambda: ["10.0.0.5"]
    check = PublicHosts(frozenset({"inner.test:8080"})).check
    with pytest.raises(unseen.SourceError):
        world.fetch(url, check)
    world.locations["/302/to"] = url
    with pytest.raises(unseen.SourceError):
        world.fetch("http://public.test/302/to", check)
    world.assert_untouched()


@pytest.mark.parametrize("host", REACHING)
def test_a_redirect_does_not_inherit_the_permission(world: World, host: str) -> None:
    world.names["allowed.test"] = lambda: [PUBLIC_V4]  # it stands for a private one that redirects
    check = PublicHosts(frozenset({"allowed.test", "allowed.test:8080"})).check
    world.locations["/307/to"] = f"http://{host}/"
    with pytest.raises(unseen.SourceError):
        world.fetch("http://allowed.test:8080/307/to", check)
    assert len(world.public.requests) == 1
    world.assert_untouched()


def test_without_a_redirect_server_that_looks_public() -> None:
    """The same with nothing replaced: two servers on loopback, one of them allowed."""

    def redirect(connection: socket.socket, head: bytes) -> None:
        connection.sendall(answer(b"", f"Location: {canary.url}/", status="302 Found"))

    limits = {"max_bytes": 1000, "max_seconds": 10, "max_redirects": 5}
    with (
        RawServer(lambda to, _: to.sendall(answer(b"canary"))) as canary,
        RawServer(redirect) as door,
    ):
        first_only = PublicHosts(frozenset({f"127.0.0.1:{door.port}"}))
        both = PublicHosts(first_only.allowed_hosts | {f"127.0.0.1:{canary.port}"})
        with pytest.raises(unseen.SourceError):
            fetch(door.url, check_address=first_only.check, **limits)
        with pytest.raises(unseen.SourceError):
            open_image(door.url, check_address=first_only.check)
        assert canary.requests == []
        assert len(door.requests) == 2
        assert fetch(door.url, check_address=both.check, **limits) == b"canary"


# what a stranger is told


def test_messages_do_not_tell_what_is_there(world: World) -> None:
    world.names |= {"unknown.test": list, "down.test": lambda: [DOWN]}
    world.locations |= {
        f"/302/{n}": to
        for n, to in enumerate(["http://localhost/", "http://unknown.test/", "http://inner.test/"])
    }
    refused = {}
    for url in (
        "http://localhost/", "http://10.0.0.1/", "http://[::1]/", "http://inner.test/",
        "http://unknown.test/", "http://down.test/", "http://inner.test:22/", "http://public.test:22/",
        "https://public.test/", "https://inner.test/", "http://public.test/302/0",
        "http://public.test/302/1", "http://public.test/302/2",
    ):  # fmt: skip
        with pytest.raises(unseen.SourceError) as error:
            world.guarded(url)
        refused[url] = str(error.value).removeprefix(url)
        assert error.value.__cause__ is not None  # the log may say why
    assert len(set(refused.values())) == 1, refused
    world.assert_untouched()


def test_a_silent_name_server_reads_like_a_name_that_is_refused(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(unseen.SourceError) as refused:
        world.guarded("http://localhost/")
    world.names["localhost"] = lambda: world.canary.closing.wait(2) and []  # type: ignore[return-value]
    with pytest.raises(unseen.SourceError) as silent:
        world.guarded("http://localhost/", max_seconds=0.1)
    assert str(silent.value) == str(refused.value)
    assert isinstance(silent.value.__cause__, TimeoutError)


@pytest.mark.parametrize(
    "sent",
    [b"SSH-2.0-secret\r\n", b"-ERR secret\r\n", b"HTTP/1.1 secret\r\n\r\n", b"secret" * 20_000,
     b"HTTP/1.1 500 secret\r\n\r\nsecret", b"HTTP/1.1 404 secret\r\nX: secret\r\n\r\nsecret",
     b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nsecret\r\n",
     b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\nsecret",
     b"HTTP/1.1 302 Found\r\nLocation: ftp://secret/\r\n\r\n",
     b"HTTP/1.1 302 Found\r\nLocation: http://secret\\/\r\n\r\n",
     b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/secret\r\n\r\n", b""],
)  # fmt: skip
def test_messages_hold_nothing_of_what_a_server_sent(sent: bytes) -> None:
    with RawServer(lambda to, _: to.sendall(sent)) as server:
        hosts = PublicHosts(frozenset({f"127.0.0.1:{server.port}"}))
        for check in (hosts.check, None):
            with pytest.raises(unseen.SourceError) as error:
                fetch(
                    server.url, max_bytes=10**6, max_seconds=5, max_redirects=3, check_address=check
                )
            assert "secret" not in str(error.value)
        assert len(server.requests) == 2
