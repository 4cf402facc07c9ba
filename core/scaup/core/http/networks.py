"""Networks that nothing may be sent to (`SCAUP_SINK_DENY`): as they are written, and which addresses are in them.

Pure. An address counts as everything that it stands for, because there are many ways to write a way to 127.0.0.1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

Network = IPv4Network | IPv6Network

NAMED: Final[dict[str, tuple[str, ...]]] = {
    # A connection to 0.0.0.0 or :: is one to the machine itself.
    "loopback": ("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128"),
    # RFC 1918, RFC 6598 (shared address space, which clouds use inside), RFC 4193.
    "private": ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7"),
    # RFC 3927, RFC 4291; most clouds serve their instances' credentials at 169.254.169.254.
    "link-local": ("169.254.0.0/16", "fe80::/10"),
}
_EXPECTED: Final = (
    "expected a network such as 10.0.0.0/8 or fd00::/8 (with no bits set behind its prefix), a single address, "
    f"or one of {', '.join(NAMED)}"
)


def _low(number: int) -> int:
    return number & 0xFFFF_FFFF


# IPv6 addresses that are a way to an IPv4 one: where they are, and where it stands in them.
_WAYS_TO_IPV4: Final[tuple[tuple[IPv6Network, Callable[[int], int]], ...]] = (
    (IPv6Network("::ffff:0:0/96"), _low),  # mapped, RFC 4291 2.5.5.2
    (IPv6Network("::/96"), _low),  # compatible, RFC 4291 2.5.5.1
    (IPv6Network("::ffff:0:0:0/96"), _low),  # translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), _low),  # NAT64, RFC 6052
    (IPv6Network("64:ff9b:1::/48"), _low),  # NAT64 of a site's own, RFC 8215
    (IPv6Network("2002::/16"), lambda number: _low(number >> 80)),  # 6to4, RFC 3056
    (IPv6Network("2001::/32"), lambda number: _low(~number)),  # Teredo, RFC 4380
)
_MAPPED: Final = _WAYS_TO_IPV4[0][0]
_HERE: Final[dict[IPv4Address | IPv6Address, IPv4Address | IPv6Address]] = {
    IPv4Address("0.0.0.0"): IPv4Address("127.0.0.1"),  # noqa: S104
    IPv6Address("::"): IPv6Address("::1"),
}


@dataclass(frozen=True, slots=True)
class Networks:
    """Some networks; none is the default, and allows everything."""

    members: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Networks:
        """Networks, addresses and names of known sets, separated by commas. Raises ValueError naming the wrong one."""
        members: list[Network] = []
        for entry in (part.strip() for part in text.split(",")):
            if (named := NAMED.get(entry.lower())) is not None:
                members += map(ipaddress.ip_network, named)
            else:
                members.append(_network(entry))
        return cls(tuple(members))

    def holding(self, address: str) -> Network | None:
        """The first network that holds a numeric ``address``, or what it stands for; None where it is in none."""
        for meant in _meanings(address):
            for network in self.members:
                if meant in network:
                    return network
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.members))


def _network(entry: str) -> Network:
    _, slash, prefix = entry.partition("/")
    # Zones and netmasks, which the library takes, are refused: they seldom mean what was meant.
    is_plain = "%" not in entry and (not slash or (prefix.isascii() and prefix.isdigit()))
    try:
        network = ipaddress.ip_network(entry) if is_plain else None
    except ValueError:
        network = None
    if network is None:
        msg = f"{entry!r} is no network: {_EXPECTED}"
        raise ValueError(msg)
    if isinstance(network, IPv6Network) and network.subnet_of(_MAPPED):
        return IPv4Network((_low(int(network.network_address)), network.prefixlen - 96))
    return network


def _meanings(address: str) -> Iterator[IPv4Address | IPv6Address]:
    """The address itself, its zone aside, and every address that a connection to it may reach."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    yield ip
    if ip in _HERE:
        yield _HERE[ip]
    if isinstance(ip, IPv6Address):
        for network, part in _WAYS_TO_IPV4:
            if ip in network:
                inner = IPv4Address(part(int(ip)))
                yield inner
                if inner in _HERE:
                    yield _HERE[inner]
