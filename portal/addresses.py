"""Connect to public addresses only, and to exactly those that were looked at.

The check sits where names become addresses: what it lets through is what is connected to, so a
name that answers with another address the second time gains nothing.
"""

import socket
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp.abc import AbstractResolver, ResolveResult

from landcover.errors import LandcoverError

# of IANA's registries of special purposes, and global for the tables of Python 3.11
_SPECIAL = (
    IPv4Network("192.0.0.0/24"),  # RFC 6890: protocol assignments
    IPv4Network("192.88.99.0/24"),  # RFC 7526: what relays to 6to4 was
    IPv6Network("3fff::/20"),  # RFC 9637: documentation
)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are the IPv4 address


class PrivateAddress(LandcoverError):
    """A name that leads to this machine, this cluster or another private network."""


class PublicAddresses(AbstractResolver):
    """A resolver that gives public addresses, or none: one private address spoils a name."""

    def __init__(self, resolver: AbstractResolver) -> None:
        """Resolve names with another resolver."""
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return all addresses of a host.

        Raises:
            PrivateAddress: one of them is not public.
            OSError: the name is not known.
        """
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            refuse_private(host, each["host"])
        return found

    async def close(self) -> None:
        """Close the other resolver."""
        await self._resolver.close()


def refuse_private(host: str, address: str) -> None:
    """Refuse an address that is not for everybody.

    Raises:
        PrivateAddress: it is private, local to a link or machine, reserved or multicast.
    """
    for meant in _meant(ip_address(address.partition("%")[0])):
        if not _is_public(meant):
            raise PrivateAddress(f"{host} has the address {meant}, which is not a public one")


def refuse_private_literal(host: str) -> None:
    """Refuse a host that is written as an address, which no resolver gets to see.

    Raises:
        PrivateAddress: it is an address and not a public one.
    """
    try:
        ip_address(host)
    except ValueError:
        return
    refuse_private(host, host)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    is_of_a_site = getattr(address, "is_site_local", False)  # of IPv6, and global for Python
    is_special = any(address in network for network in _SPECIAL)
    return address.is_global and not (
        address.is_multicast or address.is_reserved or is_of_a_site or is_special
    )


_WRAPPED: Sequence[Callable[[IPv6Address], IPv4Address | None]] = (
    lambda address: address.ipv4_mapped,
    lambda address: address.sixtofour,
    lambda address: IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None,
)


def _meant(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """Return the IPv4 address that an IPv6 address stands for, or else the address itself."""
    if isinstance(address, IPv4Address):
        return [address]
    return [inner for unwrap in _WRAPPED if (inner := unwrap(address))] or [address]
