"""Which addresses are public: every row of the table, and IPv4 inside IPv6."""

from __future__ import annotations

import ipaddress
import random
import re

import pytest

import unseen
from unseen.sources.address_policy import REFUSED, PublicHosts, refuse_private

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "93.184.216.34", "9.255.255.255", "11.0.0.0", "100.63.255.255",
    "100.128.0.0", "126.255.255.255", "128.0.0.0", "169.253.255.255", "172.15.255.255",
    "172.32.0.0", "192.167.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "168.63.129.17", "::ffff:8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e",
    "2001:200::1", "2003::1", "2400::1",
]  # fmt: skip

PRIVATE = {  # the reason that is given → addresses
    "metadata of a cloud": "169.254.169.254 100.100.100.200 192.0.0.192 fd00:ec2::254 fd20:ce::254"
    " ::ffff:169.254.169.254 ::ffff:a9fe:a9fe",
    "a cloud's own services": "168.63.129.16",
    "this network": "0.0.0.0 0.255.255.255 ::ffff:0.0.0.0",
    "private": "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255"
    " ::ffff:10.0.0.1",
    "shared by carriers": "100.64.0.0 100.127.255.255",
    "loopback": "127.0.0.0 127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 ::FFFF:7F00:1",
    "link-local": "169.254.0.0 169.254.170.2 169.254.255.255 fe80:: fe80::1 fe80::1%eth0"
    " fe80::1%25eth0 febf:ffff::1",
    "protocol assignments": "192.0.0.0 192.0.0.255 2001:1::1 2001:1ff:ffff::1",
    "documentation": "192.0.2.0 192.0.2.255 198.51.100.0 198.51.100.255 203.0.113.0 203.0.113.255"
    " 2001:db8:: 2001:db8:ffff::1 3fff:: 3fff:fff:ffff::1",
    "AS112": "192.31.196.1 192.175.48.1 2620:4f:8000::1",
    "multicast tunnels": "192.52.193.1",
    "6to4 relays": "192.88.99.0 192.88.99.255",
    "benchmarks": "198.18.0.0 198.19.255.255 2001:2::1",
    "multicast, ": "224.0.0.0 224.0.0.1 239.255.255.250 239.255.255.255 ff00:: ff02::1 ffff::1",
    "broadcast": "255.255.255.255",
    "reserved": "240.0.0.0 255.255.255.254",
    "unspecified": "::",
    "IPv4-compatible": "::127.0.0.1 ::7f00:1 ::8.8.8.8 ::2",
    "IPv4-translated": "::ffff:0:127.0.0.1 ::ffff:0:8.8.8.8",
    "NAT64, RFC 6052": "64:ff9b:: 64:ff9b::7f00:1 64:ff9b::8.8.8.8",
    "local NAT64": "64:ff9b:1:: 64:ff9b:1::a00:1 64:ff9b:1:ffff::1",
    "discard": "100:: 100::1",
    "dummy": "100:0:0:1::1",
    "Teredo": "2001:: 2001::1 2001:0:ffff::1 2001:0:53aa:64c:0:fb8f:80ff:fffe",
    "ORCHID, ": "2001:10:: 2001:1f:ffff::1",
    "ORCHIDv2": "2001:20:: 2001:2f:ffff::1",
    "6to4, ": "2002:: 2002:7f00:1:: 2002:808:808::1 2002:ffff::1",
    "6bone": "3ffe::1",
    "segment routing": "5f00::1",
    "unique local": "fc00:: fc00::1 fd00::1 fdff:ffff::1",
    "site-local": "fec0:: fec0::1 feff:ffff::1",
    "not allocated": "1::1 64:ff9b:2::1 1fff:ffff::1 4000:: 7fff::1 8000::1 9000::1 fe00::1",
    "ISATAP": "2606:4700::5efe:7f00:1 2606:4700::200:5efe:10.0.0.1",
}

EMBEDDINGS = {  # a form of IPv6 with an IPv4 address in it → how far left that lies
    "IPv4-compatible": (0, 0),
    "IPv4-mapped": (0xFFFF << 32, 0),
    "IPv4-translated": (0xFFFF << 48, 0),
    "NAT64": (0x64FF9B << 96, 0),
    "local NAT64": (0x64FF9B0001 << 80, 0),
    "6to4": (0x2002 << 112, 80),
    "ISATAP": ((0x26064700 << 96) | (0x5EFE << 32), 0),
}

# The standard library calls these global, in some version of Python or in all.
STRICTER = [
    "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.175.48.0/24", "168.63.129.16/32",
    "192.0.0.0/24", "224.0.0.0/4", "::/3", "2001::/23", "2002::/16", "2620:4f:8000::/48",
    "3ffe::/16", "3fff::/20", "4000::/2", "8000::/1",
]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    refuse_private(address)


@pytest.mark.parametrize("why", PRIVATE)
def test_private_addresses_do_not_and_are_told_why(why: str) -> None:
    for address in PRIVATE[why].split():
        with pytest.raises(unseen.SourceError, match=re.escape(f": {why}")) as refused:
            refuse_private(address)
        assert str(refused.value).endswith("; only public addresses are allowed.")
        assert len(str(refused.value)) < 120


@pytest.mark.parametrize(
    "text", ["", "localhost", "127.1", "0x7f.0.0.1", "%eth0", "8.8.8.8%a", "1.2.3.4:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(unseen.SourceError, match="no IP address"):
        refuse_private(text)


def test_both_ends_of_every_row_are_refused() -> None:
    for network, why in REFUSED:
        for address in (network[0], network[-1]):
            with pytest.raises(unseen.SourceError):
                refuse_private(str(address))
        assert why


def test_every_row_can_be_the_first_that_holds_an_address() -> None:
    for row, (network, why) in enumerate(REFUSED):
        wider = [n for n, _ in REFUSED[:row] if n.version == network.version]
        assert not any(network.subnet_of(n) for n in wider), (str(network), why)  # type: ignore[arg-type]


@pytest.mark.parametrize("form", EMBEDDINGS)
def test_a_private_ipv4_address_inside_ipv6(form: str) -> None:
    base, shift = EMBEDDINGS[form]
    for inside in ("127.0.0.1", "10.0.0.1", "169.254.169.254", "192.168.1.1", "0.0.0.0"):
        address = ipaddress.IPv6Address(base | int(ipaddress.IPv4Address(inside)) << shift)
        with pytest.raises(unseen.SourceError):
            refuse_private(str(address))


def test_as_strict_as_the_standard_library_and_stricter_only_where_it_is_known() -> None:
    rng = random.Random(0)
    stricter = [ipaddress.ip_network(n) for n in STRICTER]
    v4 = [ipaddress.IPv4Address(rng.getrandbits(32)) for _ in range(3000)]
    v6 = [ipaddress.IPv6Address(rng.getrandbits(128)) for _ in range(1000)]
    unicast = [ipaddress.IPv6Address(1 << 125 | rng.getrandbits(125)) for _ in range(1000)]
    neighbours = [n[0] + step for n, _ in REFUSED for step in (0, 1) if int(n[0]) + step < 2**32]
    passed = 0
    for address in (*v4, *v6, *unicast, *neighbours):
        try:
            refuse_private(str(address))
        except unseen.SourceError:
            assert not address.is_global or any(address in n for n in stricter), address
        else:
            assert address.is_global, address
            passed += 1
    assert passed > 3000


def test_hosts_that_are_allowed() -> None:
    hosts = PublicHosts(frozenset({"Inner", "label-studio:8080", "[::1]:9000", "[fd00::2]"}))
    hosts.check("inner", 80, "10.0.0.1")
    hosts.check("inner", 443, "10.0.0.1")
    hosts.check("label-studio", 8080, "172.17.0.2")
    hosts.check("::1", 9000, "::1")
    hosts.check("fd00::2", 443, "fd00::2")
    hosts.check("example.com", 443, "93.184.216.34")
    for host, port, address in [
        ("inner", 8080, "10.0.0.1"),
        ("inner.", 80, "10.0.0.1"),
        ("an.inner", 80, "10.0.0.1"),
        ("label-studio", 80, "172.17.0.2"),
        ("172.17.0.2", 8080, "172.17.0.2"),  # the name is allowed, not the address
        ("::1", 80, "::1"),
        ("example.com", 8080, "93.184.216.34"),
        ("example.com", 22, "93.184.216.34"),
        ("example.com", 443, "10.0.0.1"),
    ]:
        with pytest.raises(unseen.SourceError):
            hosts.check(host, port, address)


@pytest.mark.parametrize(
    "text",
    ["", "*", "*.example.com", "http://a", "a/b", "a:", ":80", "a:b", "a:0", "a:70000", "a b",
     "a@b", "::1", "::1:80", "[::1", "a:80:90", "a\n", "10.0.0.0/8"],
)  # fmt: skip
def test_what_is_no_host_to_allow(text: str) -> None:
    with pytest.raises(unseen.SourceError, match="invalid allowed host"):
        PublicHosts(frozenset({text}))


def test_nobody_is_allowed_by_default() -> None:
    assert PublicHosts() == PublicHosts(frozenset())
    with pytest.raises(unseen.SourceError, match="loopback"):
        PublicHosts().check("localhost", 80, "127.0.0.1")
