"""Which addresses never leave this machine."""

import ipaddress
from typing import Final

_SCHEMES: Final = ("dns:///", "dns:", "ipv4:", "ipv6:")


def is_loopback(host: str) -> bool:
    """Whether what listens on this host can be reached from this machine alone.

    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "box", "")]
    [True, True, True, False, False, False]
    """
    name = host.strip("[]")
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def stays_here(address: str) -> bool:
    """Whether a gRPC address (several, by commas) leads to this machine alone.

    >>> [stays_here(a) for a in ("127.0.0.1:8500", "unix:/run/x", "ipv4:127.0.0.1:1,10.0.0.1:1", "dns:///shop:8500")]
    [True, True, False, False]
    """
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    scheme = next((scheme for scheme in _SCHEMES if address.startswith(scheme)), "")
    places = address.removeprefix(scheme).split(",")
    return all(is_loopback(place.rpartition(":")[0] or place) for place in places)
