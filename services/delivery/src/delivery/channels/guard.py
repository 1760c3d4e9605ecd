"""The guard against being sent into our own networks (server-side request forgery).

An address is judged where it counts: the one that a socket is about to connect to, after the name was resolved, so
that a name whose answer changes between two lookups gains nothing. No proxy is ever used.
"""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

_REFUSED: Final = tuple(
    ip_network(network)
    for network in (
        "100.64.0.0/10",  # shared address space; a cloud's metadata service lives there (100.100.100.200)
        "168.63.129.16/32",  # a public address that is another cloud's own
        "192.88.99.0/24",  # 6to4 relays
        "64:ff9b::/96",  # NAT64: another way to write any IPv4 address
        "64:ff9b:1::/48",
        "2001::/32",  # Teredo
        "2002::/16",  # 6to4
        "fec0::/10",
        "::/96",  # IPv4-compatible
    )
)


class AddressRefused(OSError):
    """An address that no webhook may go to. The text does not name it."""

    def __init__(self) -> None:
        super().__init__("the address is not a public one")


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet at large."""
    try:
        parsed: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    if not parsed.is_global or parsed.is_multicast or parsed.is_reserved or parsed.is_unspecified:
        return False
    return not any(parsed.version == network.version and parsed in network for network in _REFUSED)


class PublicResolver(AbstractResolver):
    """Resolves names and keeps the public addresses; AddressRefused where none is."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The public addresses of a host."""
        found = await self._resolver.resolve(host, port, family)
        public = [result for result in found if is_public(result["host"])]
        if found and not public:
            raise AddressRefused
        return public

    async def close(self) -> None:
        """Let go."""
        await self._resolver.close()


def public_socket(addr_info: Any) -> socket.socket:
    """Make the socket for one address, which may also be written in the URL itself; AddressRefused for most."""
    family, kind, protocol, _, address = addr_info
    if not is_public(address[0]):
        raise AddressRefused
    return socket.socket(family, kind, protocol)


def connector(*, allow_private: bool, connections_max: int, resolver: AbstractResolver | None = None) -> TCPConnector:
    """Connections for webhooks."""
    names = resolver if resolver is not None else ThreadedResolver()
    limits: dict[str, Any] = {"limit": connections_max, "keepalive_timeout": 10.0, "ttl_dns_cache": 10}
    if allow_private:
        return TCPConnector(resolver=names, **limits)
    return TCPConnector(resolver=PublicResolver(names), socket_factory=public_socket, **limits)
