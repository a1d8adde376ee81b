"""Names what a run connects to, and tells Prefect's own connections from the flow's.

Knows sockets' addresses and where Prefect's API answers; must not know what is recorded.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
import time

from lineage_flows.capture.active import unobserved
from lineage_flows.capture.paths import printable
from lineage_flows.capture.prefect_places import endpoints

__all__ = ["is_prefect", "names", "peer", "resolving"]

_QUIET_SOCKETS = ("/dev/log", "/run/systemd/", "/var/run/syslog", "/var/run/nscd/", "/run/nscd/", "/tmp/.X11-unix/")  # noqa: S108 - a socket's name
"""Local daemons that are told things and asked for nothing."""

_RESOLVED_SECONDS = 300.0

_last = threading.local()
_addresses: dict[str, tuple[float, frozenset[str]]] = {}


def resolving(host: object, port: object) -> None:
    """A host's addresses are being looked up in this thread; the connection that follows goes there."""
    if isinstance(host, str | bytes):
        _last.name = (host if isinstance(host, str) else os.fsdecode(host), port)


def peer(connection: socket.socket, address: object) -> str | None:
    """The other end of a stream connection as text; None when nothing is asked of it (datagrams, the system log)."""
    if connection.type != socket.SOCK_STREAM:
        return None
    if connection.family == socket.AF_UNIX:
        path = os.fsdecode(address) if isinstance(address, str | bytes) else repr(address)
        return None if path.startswith(_QUIET_SOCKETS) else f"socket {printable(path)}"
    if not isinstance(address, tuple) or len(address) < 2:
        return "network"
    host, port = address[0], address[1]
    name, asked = getattr(_last, "name", (host, port))
    return f"network {name if str(asked) == str(port) else host}:{port}"


def names(address: object) -> tuple[str, ...]:
    """The ``host:port`` by which an adapter may know an address: as it was asked for in this thread, and as it is."""
    if not isinstance(address, tuple) or len(address) < 2:
        return ()
    host, port = address[0], address[1]
    name, asked = getattr(_last, "name", (host, port))
    return (
        tuple(dict.fromkeys((f"{name}:{port}", f"{host}:{port}"))) if str(asked) == str(port) else (f"{host}:{port}",)
    )


def is_prefect(address: object) -> bool:
    """Whether an address is that of the Prefect API that this process uses."""
    if not isinstance(address, tuple) or len(address) < 2:
        return False
    host, port = str(address[0]), address[1]
    return any(port == known_port and host in _resolve(known) for known, known_port in endpoints())


def _resolve(host: str) -> frozenset[str]:
    """Addresses of a host; remembered for five minutes, since the client itself has just looked them up."""
    known = _addresses.get(host)
    if known is not None and time.monotonic() - known[0] < _RESOLVED_SECONDS:
        return known[1]
    try:
        ipaddress.ip_address(host)
        found = frozenset({host})
    except ValueError:
        try:
            with unobserved():
                found = frozenset(str(item[4][0]) for item in socket.getaddrinfo(host, None)) | {host}
        except OSError:
            found = frozenset({host})
    _addresses[host] = (time.monotonic(), found)
    return found
