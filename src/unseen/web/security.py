"""Who may send requests to a server of ours, and what a browser may do with its pages.

A server on loopback is out of reach for other machines, but not for the pages that a browser here
has open. Two checks keep these out: the host by which a request names the server (against DNS
rebinding), and `Sec-Fetch-Site` or `Origin`, by which a browser says whose page sends it.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})

# For every response: no guessing of its type, and no use of it in pages of other sites.
RESPONSE_HEADERS = {
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
}


def address(host: str, port: int) -> str:
    """Where a browser on this machine reaches a server that listens on `host`.

    >>> from unseen.web.security import address
    >>> address("0.0.0.0", 8000), address("::1", 80)
    ('http://127.0.0.1:8000', 'http://[::1]:80')
    """
    name = f"[{host}]" if ":" in host else {"0.0.0.0": "127.0.0.1"}.get(host, host)
    return f"http://{name}:{port}"


def is_loopback(host: str) -> bool:
    """Whether an address to listen at is reached from this machine only.

    Parameters
    ----------
    host : str
        An IP address or a name.

    Examples
    --------
    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str, names: Iterable[str] = ()) -> frozenset[str] | None:
    """The names by which clients may call a server.

    Parameters
    ----------
    host : str
        The address at which it listens.
    names : iterable of str
        More names, which its operator allows.

    Returns
    -------
    frozenset of str or None
        Lower case, without a port. None where any name will do: the server is not on loopback, and
        nobody has named it.

    Examples
    --------
    >>> sorted(allowed_hosts("127.0.0.1"))
    ['127.0.0.1', '[::1]', 'localhost']
    >>> allowed_hosts("0.0.0.0") is None
    True
    """
    allowed = {name.lower() for name in names}
    if is_loopback(host):
        allowed.add(f"[{host}]" if ":" in host else host)
    return LOOPBACK_NAMES | allowed if allowed else None


def host_name(headers: Mapping[bytes, bytes]) -> str:
    """The name of the server in a request's `Host`, in lower case and without the port.

    Parameters
    ----------
    headers : mapping of bytes to bytes
        The headers of the ASGI scope; their names are in lower case.
    """
    host = headers.get(b"host", b"").decode("latin-1")
    name, _, port = host.rpartition(":")
    return (name if port.isdigit() else host).lower()


def is_cross_site(headers: Mapping[bytes, bytes]) -> bool:
    """Whether a browser says that a page of another origin sends this request.

    Clients that are not browsers send neither `Sec-Fetch-Site` nor `Origin`, and a person who opens
    an address sends `none`. To a server without TLS that is not on loopback browsers send `Origin`
    alone.

    Parameters
    ----------
    headers : mapping of bytes to bytes
        The headers of the ASGI scope; their names are in lower case.
    """
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is None and origin is not None:
        return origin.partition(b"://")[2].lower() != headers.get(b"host", b"").lower()
    return site not in (None, b"none", b"same-origin")


def page_headers(
    *, images: str = "'self'", media: str | None = None, camera: str = ""
) -> dict[str, str]:
    """The headers of a page: it runs its own files alone, and makes no markup of text.

    Parameters
    ----------
    images, media : str
        The sources of pictures and of video in the content security policy. No `media`: none.
    camera : str
        Who may use the camera: nobody, or `self`.

    Returns
    -------
    dict of str to str
        Header names in lower case.
    """
    sources = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": images,
        "media-src": media,
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    policy = "; ".join(f"{name} {value}" for name, value in sources.items() if value is not None)
    return {
        "content-security-policy": policy,
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": f"camera=({camera}), microphone=(), geolocation=()",
        "referrer-policy": "no-referrer",
    }
