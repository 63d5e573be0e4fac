"""Which Host and Origin headers are taken: the defence against pages that rebind their name.

A page of evil.example can make its own name mean 127.0.0.1; then its requests reach us, with its
name as their Host. So a Host must be an address (no name can be rebound to those), localhost, or a
name that the server was told. An Origin, which browsers send, must be a page of this machine or
one that was listed.
"""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from pyslm.serve.config import ServeConfig

__all__ = ["Origins", "is_loopback"]


def is_loopback(host: str) -> bool:
    """Whether a name or address means this machine alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Origins:
    """The lists of one server."""

    def __init__(self, config: ServeConfig) -> None:
        names = {config.host.lower(), *(host.lower() for host in config.allowed_hosts)}
        if not is_loopback(config.host):
            names.add(socket.gethostname().lower())
        self._hosts = names
        self._origins = frozenset(config.cors_origins)

    def allows_host(self, header: str) -> bool:
        """Whether a request with this Host may go on."""
        host = _host(header)
        if host is None:
            return False
        return host in self._hosts or "*" in self._hosts or is_loopback(host) or _is_address(host)

    def allows_origin(self, origin: str, host: str) -> bool:
        """Whether a page of `origin` may ask the server that it reached as `host`."""
        if "*" in self._origins or origin in self._origins:
            return True
        try:
            parts = urlsplit(origin)
            name = parts.hostname
        except ValueError:
            return False
        if parts.scheme not in ("http", "https") or not name:
            return False
        return is_loopback(name) or parts.netloc.lower() == host.lower()


def _host(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname if header and "@" not in header else None
    except ValueError:
        return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
