"""Which addresses of strangers this platform connects to: public ones over https, and hosts that a setting names.

A tenant says where its exports go; without this, "where" could be our own network. The name is resolved once, every
address it has is looked at, and the connection goes to the very address that was looked at: a name that answers
differently a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from resources.destinations.attempts import NotTakenError
from resources.errors import DestinationError

URL_MAX_CHARS = 2_048
_PORTS = {"https": 443, "http": 80}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # an IPv4 address in IPv6 clothes
# public by number, and answered by the cloud's own host agent (Azure's wire server)
_METADATA = frozenset({ipaddress.ip_address("168.63.129.16")})
_MASK_32 = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be sent to, and the address it was found to have."""

    url: str
    host: str
    port: int
    address: str


def checked_url(url: str, allowed_hosts: frozenset[str]) -> tuple[str, int]:
    """Host and port of a URL that could be sent to; nothing is resolved.

    Raises:
        DestinationError: it is no https URL of a host, or holds more than that.
    """
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError as error:
        raise DestinationError("the address is no URL: use https://host/path") from error
    if len(url) > URL_MAX_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise DestinationError(f"the address must be at most {URL_MAX_CHARS} ASCII characters without blanks")
    is_allowed = f"{host}:{port}" in allowed_hosts
    if parts.scheme != "https" and not (parts.scheme == "http" and is_allowed):
        raise DestinationError("the address must begin with https://: exports are not sent in the clear")
    if not host or parts.username is not None or parts.password is not None or parts.fragment:
        raise DestinationError("the address must name a host, without a user, a password or a fragment")
    return host, port


def resolved(url: str, allowed_hosts: frozenset[str]) -> Target:
    """The URL with the address to connect to.

    Raises:
        DestinationError: the URL is not allowed, or its host has an address that is not public.
        NotTakenError: the host's name cannot be resolved now.
    """
    host, port = checked_url(url, allowed_hosts)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise NotTakenError(f"the name {host} has no address now: check it, or try later") from error
    addresses = [str(entry[4][0]).partition("%")[0] for entry in found]
    if f"{host}:{port}" not in allowed_hosts and not all(is_public(address) for address in addresses):
        raise DestinationError(
            f"{host} has an address that is not public: exports go to receivers on the internet; the operator "
            "may name a host of the house's own in UNMOGROWP_DESTINATIONS_ALLOWED_HOSTS"
        )
    return Target(url, host, port, addresses[0])


def is_public(address: str) -> bool:
    """Whether an address is one of the internet's: not private, loopback, link-local, shared, multicast, metadata."""
    number = ipaddress.ip_address(address)
    if isinstance(number, ipaddress.IPv6Address):
        carried = _carried(number)
        if carried is not None:
            return is_public(str(carried))
    return number.is_global and not number.is_multicast and not number.is_reserved and number not in _METADATA


def _carried(number: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 one leads to, where it is of such a kind."""
    if number in _NAT64:
        return ipaddress.IPv4Address(int(number) & _MASK_32)
    teredo = number.teredo
    return number.ipv4_mapped or number.sixtofour or (teredo[1] if teredo else None)
