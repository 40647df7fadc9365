"""Where a request goes: URLs with one reading only, and addresses that are nobody's own network.

A URL is refused when a reader, a proxy and a server could take it for different things: users
before the host, numbers that some read as addresses, escapes of dots and slashes, letters beyond
ASCII. Host names are resolved once; the connection is made to the address that was looked at.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from monastery.runtime.errors import BadPayload

MAX_URL_CHARS = 4096
_PORTS = {"http": 80, "https": 443}
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?"
    r"(?P<path>/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*)(?:\?(?P<query>[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*))?"
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})|%(?:[01][0-9A-Fa-f]|7[Ff])")
_HIDDEN_IN_PATH = re.compile(r"%(?:2[Ee]|2[Ff]|5[Cc]|25)")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Url:
    """A URL in parts.

    Attributes:
        host: A name in lower case, or an address without brackets.
        target: Path and query, as they are sent.
        path: As it is sent; it begins with a slash.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str | None

    @property
    def target(self) -> str:
        """Path and query, as they are sent."""
        return self.path if self.query is None else f"{self.path}?{self.query}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port."""
        return self.scheme, self.host, self.port

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.target}"


def url(text: str) -> Url:
    """Return a URL that everyone reads alike.

    Raises:
        BadPayload: It is none, or could be read in more than one way.
    """
    match = _URL.fullmatch(text) if len(text) <= MAX_URL_CHARS else None
    if match is None:
        raise BadPayload(
            f"{text[:120]!r} is no plain URL; write http(s)://host/path?query, host in lower case, "
            "without user or fragment, other characters escaped"
        )
    host = match["host"]
    fault = _fault_of_host(host) or _fault_of_path(match["path"])
    port = int(match["port"] or _PORTS[match["scheme"]])
    if fault is None and port > 65535:
        fault = "has a port above 65535"
    if fault is None and _BAD_ESCAPE.search(match["query"] or ""):
        fault = "has an escape in its query that is none, or hides a control character"
    if fault is not None:
        raise BadPayload(f"{text[:120]!r} {fault}")
    return Url(match["scheme"], host.strip("[]"), port, match["path"], match["query"])


def _fault_of_host(host: str) -> str | None:
    if host.startswith("["):
        try:
            plain = str(ipaddress.IPv6Address(host[1:-1])) == host[1:-1]
        except ValueError:
            plain = False
        return None if plain else "has an IPv6 address that is not in its shortest spelling"
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        try:
            ipaddress.IPv4Address(host)
        except ValueError:
            return "has a host that some read as an address; write four decimal numbers"
        return None
    if len(host) > 253 or _NAME.fullmatch(host) is None:
        return "has no host name"
    return None


def _fault_of_path(path: str) -> str | None:
    if _BAD_ESCAPE.search(path):
        return "has an escape in its path that is none, or hides a control character"
    if _HIDDEN_IN_PATH.search(path):
        return "hides a dot, a slash, a backslash or a percent sign in its path by an escape"
    if "//" in path:
        return "has two slashes in a row in its path"
    if any(part.split(";")[0] in {".", ".."} for part in path.split("/")):
        return "has '.' or '..' as a part of its path"
    return None


def covers(listed: Url, asked: Url) -> bool:
    """Say whether a listed URL stands for one that is asked for.

    One that ends with a slash stands for all below it, any other for itself; with any query.
    """
    below = listed.path.endswith("/") and asked.path.startswith(listed.path)
    return listed.origin == asked.origin and (below or asked.path == listed.path)


def decoded(asked: Url) -> str:
    """Return path and query with their escapes read, for the eye of a reader."""
    return unquote_to_bytes(asked.target).decode("utf-8", "backslashreplace")


def public(address: Address) -> bool:
    """Say whether an address is one of the public Internet, whatever it carries inside."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return public(address.ipv4_mapped)
        if address in _NAT64:
            return public(ipaddress.IPv4Address(address.packed[12:]))
        if address.sixtofour is not None or address.teredo is not None or address.is_site_local:
            return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def checked(found: Sequence[str], listed: Sequence[Network]) -> list[Address] | str:
    """Return the addresses that may be connected to, or why there are none.

    All of a name's addresses must be allowed: a name that has a public one and a private one is
    somebody's attempt.
    """
    addresses = [ipaddress.ip_address(text.partition("%")[0]) for text in found]
    for one in addresses:
        if not public(one) and not any(one in network for network in listed):
            return f"its address {one} is not public; list it under networks if it may be reached"
    return addresses or "it has no address"
