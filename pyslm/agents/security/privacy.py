"""Privacy mode: what runs in it cannot reach another machine, whatever library it uses.

Python tells audit hooks (PEP 578) of each connection, datagram, name look-up and new process before
it happens; ours refuses those that lead off this machine while the current context is private. The
context goes with tasks and with the threads that tools run on. It does not go with threads that a
tool starts itself, nor with code that speaks to the system without Python; `confine_process` holds
for the whole process.
"""

from __future__ import annotations

import contextlib
import contextvars
import ipaddress
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

from pyslm.errors import AccessDeniedError

__all__ = ["confine_process", "is_near", "is_private", "no_egress"]

_Told = Callable[[str], None]

_private: contextvars.ContextVar[_Told | None] = contextvars.ContextVar("private", default=None)
_process: list[_Told] = []
_lock = threading.Lock()
_installed = False

_CONNECTS = ("socket.connect", "socket.sendto", "socket.sendmsg")
_LOOKUPS = ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr")
_PROCESSES = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.startfile")
_NEAR_NAMES = ("", "localhost", "localhost.localdomain")


@contextlib.contextmanager
def no_egress(told: _Told | None = None) -> Iterator[None]:
    """Nothing in this context reaches another machine, or starts a process that could.

    What is refused raises an AccessDeniedError where it was tried.

    Args:
        told: what was refused, in words.
    """
    _install()
    token = _private.set(told or _ignore)
    try:
        yield
    finally:
        _private.reset(token)


def confine_process(told: _Told | None = None) -> None:
    """The same for all of this process, until it ends."""
    _install()
    _process.append(told or _ignore)


def is_private() -> bool:
    """Whether this context, or the whole process, is confined to this machine."""
    return _private.get() is not None or bool(_process)


def _ignore(reason: str) -> None:
    """Nobody wants to know."""


def _install() -> None:
    global _installed
    with _lock:
        if not _installed:
            sys.addaudithook(_hook)
            _installed = True


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    # Called for every event of the interpreter: the first line is all that most of them cost.
    if event not in _WATCHED:
        return
    told = _private.get() or (_process[0] if _process else None)
    if told is None:
        return
    reason = _reason(event, arguments)
    if reason is not None:
        told(reason)
        raise AccessDeniedError(f"privacy mode: {reason} is refused")


_WATCHED = frozenset((*_CONNECTS, *_LOOKUPS, *_PROCESSES))


def _reason(event: str, arguments: tuple[Any, ...]) -> str | None:
    if event in _PROCESSES:
        return f"starting a process ({str(arguments[0])[:80]})"
    if event in _LOOKUPS:
        host = _text(arguments[0])
        return None if is_near(host) else f"looking up {host[:80]}"
    address = arguments[1] if len(arguments) > 1 else None
    if not isinstance(address, tuple):  # a socket of this machine, or one that is connected
        return None
    host = _text(address[0])
    return None if is_near(host) else f"a connection to {host[:80]}"


def _text(host: Any) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host or "")


def is_near(host: str) -> bool:
    """Whether a host name or address is that of this machine."""
    if host.lower() in _NEAR_NAMES:
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified
