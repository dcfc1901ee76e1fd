"""Blocked networks: checked as CIDR ranges, and turned into the pseudonyms that the lake holds.

The lake knows an address only as the pseudonym of its /24 or /48, keyed per tenant; so a range is expanded
into those networks, and each is given the pseudonym that an address of it has.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import chain
from typing import TYPE_CHECKING, TypeAlias

from pydantic_core import PydanticCustomError

from resources.pii import IPV4_PREFIX_BITS, IPV6_PREFIX_BITS

if TYPE_CHECKING:
    from resources.pii import TenantPii

Network: TypeAlias = IPv4Network | IPv6Network
WIDEST = {4: 16, 6: 32}
FINEST = {4: IPV4_PREFIX_BITS, 6: IPV6_PREFIX_BITS}
# Each is 38 bytes of dbt's one argument (see MAX_RULES_BYTES); 2,048 are eight IPv4 /16 or one IPv6 /37.
MAX_BLOCKED_NETWORKS = 2048


def checked_range(text: str) -> str:
    """One range as canonical text.

    Raises:
        PydanticCustomError: it is no range, or too wide or too fine.
    """
    try:
        network = ip_network(text)
    except ValueError as error:
        raise PydanticCustomError(
            "no_network", "must be a CIDR range without host bits, such as 198.51.100.0/24"
        ) from error
    if not WIDEST[network.version] <= network.prefixlen <= FINEST[network.version]:
        raise PydanticCustomError("network_size", "must be IPv4 /16 to /24 or IPv6 /32 to /48")
    return str(network)


def checked_ranges(ranges: tuple[str, ...]) -> tuple[str, ...]:
    """Checked ranges sorted, those that lie in another left out.

    Raises:
        PydanticCustomError: together they hold too many networks.
    """
    networks = _outermost(map(ip_network, ranges))
    held = sum(2 ** (FINEST[network.version] - network.prefixlen) for network in networks)
    if held > MAX_BLOCKED_NETWORKS:
        raise PydanticCustomError(
            "too_many_networks",
            "hold {held} networks of /24 (IPv4) and /48 (IPv6), and may hold {most}: block narrower ranges",
            {"held": held, "most": MAX_BLOCKED_NETWORKS},
        )
    return tuple(map(str, networks))


def blocked_ip_pseudonyms(ranges: Iterable[str], pii: TenantPii) -> list[str]:
    """The tenant's pseudonyms of every network in checked `ranges`, sorted."""
    finest = chain.from_iterable(_finest(ip_network(text)) for text in ranges)
    return sorted(pii.pseudonym("ip", str(network.network_address)) for network in finest)


def _finest(network: Network) -> Iterable[Network]:
    return network.subnets(new_prefix=FINEST[network.version])


def _outermost(networks: Iterable[Network]) -> list[Network]:
    """Sorted, without what lies in another: that one sorts right before."""
    kept: list[Network] = []
    for network in sorted(set(networks), key=lambda each: (each.version, each)):
        if not kept or not _holds(kept[-1], network):
            kept.append(network)
    return kept


def _holds(wider: Network, network: Network) -> bool:
    return wider.version == network.version and wider.supernet_of(network)  # type: ignore[arg-type]  # same version
