"""Which addresses a URL of a stranger may reach: public ones, and no others.

The table holds IANA's special-purpose registries for IPv4 and IPv6, what is not allocated, and
addresses in public ranges that clouds keep for themselves. `ipaddress.is_global` is not enough: it
passes IPv4 inside NAT64, 6to4 and IPv4-compatible addresses, and multicast.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address, ip_network

from unseen.errors import SourceError

PORTS = (80, 443)
ALLOWED_HOST = re.compile(
    r"(?P<host>\[[0-9a-fA-F:.]+\]|[^][\s:/?#@\\%*]+)(?::(?P<port>[0-9]{1,5}))?"
)

# The first row that holds an address names the reason, so narrow rows stand before wide ones.
_ROWS = (
    ("169.254.169.254/32", "metadata of a cloud (link-local)"),
    ("100.100.100.200/32", "metadata of a cloud (in the shared range)"),
    ("192.0.0.192/32", "metadata of a cloud (in the IETF's range)"),
    ("168.63.129.16/32", "a cloud's own services (in a public range)"),
    ("0.0.0.0/8", "this network, RFC 791"),
    ("10.0.0.0/8", "private, RFC 1918"),
    ("100.64.0.0/10", "shared by carriers, RFC 6598"),
    ("127.0.0.0/8", "loopback, RFC 1122"),
    ("169.254.0.0/16", "link-local, RFC 3927"),
    ("172.16.0.0/12", "private, RFC 1918"),
    ("192.0.0.0/24", "protocol assignments, RFC 6890"),
    ("192.0.2.0/24", "documentation, RFC 5737"),
    ("192.31.196.0/24", "AS112, RFC 7535"),
    ("192.52.193.0/24", "multicast tunnels, RFC 7450"),
    ("192.88.99.0/24", "6to4 relays, RFC 7526"),
    ("192.168.0.0/16", "private, RFC 1918"),
    ("192.175.48.0/24", "AS112, RFC 7534"),
    ("198.18.0.0/15", "benchmarks, RFC 2544"),
    ("198.51.100.0/24", "documentation, RFC 5737"),
    ("203.0.113.0/24", "documentation, RFC 5737"),
    ("224.0.0.0/4", "multicast, RFC 5771"),
    ("255.255.255.255/32", "broadcast, RFC 919"),
    ("240.0.0.0/4", "reserved, RFC 1112"),
    # ::ffff:0:0/96 has no row of its own: the IPv4 address inside is looked up instead.
    ("::/128", "unspecified, RFC 4291"),
    ("::1/128", "loopback, RFC 4291"),
    ("::/96", "IPv4-compatible, RFC 4291"),
    ("::ffff:0:0:0/96", "IPv4-translated, RFC 2765"),
    ("64:ff9b::/96", "NAT64, RFC 6052"),
    ("64:ff9b:1::/48", "local NAT64, RFC 8215"),
    ("100::/64", "discard, RFC 6666"),
    ("100:0:0:1::/64", "dummy, RFC 9780"),
    ("2001::/32", "Teredo, RFC 4380"),
    ("2001:2::/48", "benchmarks, RFC 5180"),
    ("2001:10::/28", "ORCHID, RFC 4843"),
    ("2001:20::/28", "ORCHIDv2, RFC 7343"),
    ("2001::/23", "protocol assignments, RFC 2928"),
    ("2001:db8::/32", "documentation, RFC 3849"),
    ("2002::/16", "6to4, RFC 3056"),
    ("2620:4f:8000::/48", "AS112, RFC 7534"),
    ("3ffe::/16", "6bone, given back by RFC 3701"),
    ("3fff::/20", "documentation, RFC 9637"),
    ("5f00::/16", "segment routing, RFC 9602"),
    ("fd00:ec2::254/128", "metadata of a cloud (unique local)"),
    ("fd20:ce::254/128", "metadata of a cloud (unique local)"),
    ("fc00::/7", "unique local, RFC 4193"),
    ("fe80::/10", "link-local, RFC 4291"),
    ("fec0::/10", "site-local, RFC 3879"),
    ("ff00::/8", "multicast, RFC 4291"),
    # What is left outside 2000::/3, the only range that IANA hands out.
    ("::/3", "not allocated, RFC 4291"),
    ("4000::/2", "not allocated, RFC 4291"),
    ("8000::/1", "not allocated, RFC 4291"),
)
REFUSED = tuple((ip_network(network), why) for network, why in _ROWS)


def refuse_private(address: str) -> None:
    """Raise SourceError unless this is an IP address on the public internet.

    A scope (`fe80::1%eth0`) changes nothing. What a network does with its own addresses cannot be
    seen from here: a NAT64 prefix of its own, or a public address that only the inside reaches.
    """
    try:
        ip = ip_address(address)
    except ValueError:
        raise SourceError("the host has no IP address.") from None
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    why = next((why for network, why in REFUSED if ip in network), None)
    if why is None and isinstance(ip, IPv6Address) and _is_isatap(ip):
        why = "ISATAP, RFC 5214"
    if why is not None:
        raise SourceError(f"{ip}: {why}; only public addresses are allowed.")


def _is_isatap(ip: IPv6Address) -> bool:
    """An IPv4 address in the last 32 bits, after 0:5efe or 200:5efe, under any prefix."""
    return (int(ip) >> 32) & 0xFDFF_FFFF == 0x5EFE


@dataclass(frozen=True)
class PublicHosts:
    """Public addresses at the ports 80 and 443, and the hosts that an operator allows besides.

    Parameters
    ----------
    allowed_hosts : frozenset of str
        "host" (at 80 and 443) or "host:port", an IPv6 address in brackets. Such a host may be
        reached whatever its address; what it redirects to is checked like anything else. Names are
        compared as they are written, but for capitals.
    public : bool
        False allows `allowed_hosts` only.

    Raises
    ------
    SourceError
        If an allowed host cannot be understood.

    Examples
    --------
    >>> hosts = PublicHosts(frozenset({"label-studio:8080"}))
    >>> hosts.allows("label-studio", 8080)
    True
    """

    allowed_hosts: frozenset[str] = frozenset()
    public: bool = True
    _allowed: frozenset[tuple[str, int]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pairs = (pair for text in self.allowed_hosts for pair in _hosts_and_ports(text))
        object.__setattr__(self, "_allowed", frozenset(pairs))

    def allows(self, host: str, port: int) -> bool:
        """Whether it is one of the allowed hosts."""
        return (host.lower(), port) in self._allowed

    def check(self, host: str, port: int, address: str) -> None:
        """Raise SourceError when `host`, resolved to `address`, may not be reached at `port`.

        It is the `check_address` of `fetch`.
        """
        if self.allows(host, port):
            return
        if not self.public:
            raise SourceError("only hosts that were allowed by name can be reached.")
        if port not in PORTS:
            raise SourceError(f"port {port} is not allowed; only {PORTS[0]} and {PORTS[1]} are.")
        refuse_private(address)


def _hosts_and_ports(text: str) -> list[tuple[str, int]]:
    """One allowed host → the pairs that it stands for."""
    match = ALLOWED_HOST.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) < 65536):
        raise SourceError(
            f"invalid allowed host {text!r}; give host, host:port, or [IPv6 address]:port."
        )
    host = match["host"].strip("[]").lower()
    return [(host, port) for port in ([int(match["port"])] if match["port"] else PORTS)]
