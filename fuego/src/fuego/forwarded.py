"""Whose X-Forwarded-* headers to believe.

gunicorn and uvicorn read FORWARDED_ALLOW_IPS and so do we, which gives every server the same
answer: gunicorn leaves the client's address alone, uvicorn has rewritten it before we see it,
and for the latter doing it again changes nothing. Either the address it found is one that is
not trusted, so its headers are not read; or every hop is, and the walk ends where it ended.
"""

import os
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from .headers import Headers

DEFAULT = "127.0.0.1,::1"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address, written with or without a port; None for anything else."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    # A socket that serves both families shows an IPv4 peer as ::ffff:10.0.0.1.
    return getattr(address, "ipv4_mapped", None) or address


@dataclass(frozen=True, slots=True)
class TrustedProxies:
    """`everyone` is "*", which also covers a peer without an address (a UNIX socket)."""

    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    everyone: bool = False

    @classmethod
    def parse(cls, text: str | None = None) -> "TrustedProxies":
        """From a comma separated list of addresses and networks; FORWARDED_ALLOW_IPS by default."""
        if text is None:
            text = os.environ.get("FORWARDED_ALLOW_IPS", DEFAULT)
        networks = []
        for item in filter(None, (part.strip() for part in text.split(","))):
            if item == "*":
                return cls(everyone=True)
            try:
                networks.append(ip_network(item, strict=False))
            except ValueError:
                raise ValueError(
                    f"FORWARDED_ALLOW_IPS: {item!r} is not an address, a network or *"
                ) from None
        return cls(tuple(networks))

    def trusts(self, peer: str | None) -> bool:
        if self.everyone:
            return True
        address = _address(peer or "")
        return address is not None and any(address in network for network in self.networks)

    def client(self, peer: str | None, headers: Headers) -> str | None:
        """The address nearest to us that no trusted proxy vouches for.

        The walk goes from the last hop to the first and stops at what is not an address.
        """
        client = peer
        if "x-forwarded-for" not in headers or not self.trusts(peer):
            return client
        for hop in reversed(headers["x-forwarded-for"].split(",")):
            address = _address(hop)
            if address is None:
                break
            client = str(address)
            if not self.trusts(client):
                break
        return client

    def scheme(self, peer: str | None, headers: Headers, scheme: str) -> str:
        forwarded = headers.get("x-forwarded-proto", "")
        if forwarded in ("http", "https") and self.trusts(peer):
            return forwarded
        return scheme
