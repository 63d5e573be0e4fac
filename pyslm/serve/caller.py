"""Who asks: set by the app for each request, read where it matters."""

from __future__ import annotations

import dataclasses
from contextvars import ContextVar
from typing import Literal, TypeAlias

from pyslm.serve.protocol.error import ServeError

__all__ = [
    "ANYONE",
    "SCOPES",
    "Caller",
    "Scope",
    "current_caller",
    "current_request_id",
    "require_scope",
]

Scope: TypeAlias = Literal["inference", "manage", "metrics"]
"""inference: ask models; manage: load, unload, download and delete them; metrics: read numbers."""

SCOPES: tuple[Scope, ...] = ("inference", "manage", "metrics")


@dataclasses.dataclass(frozen=True, slots=True)
class Caller:
    """The key of a request, or its address where the server asks for none."""

    name: str
    """What limits are counted by, and what logs show: the key's id, or the address."""
    cache_salt: str = ""
    """Keeps the computed prompts of different keys apart."""
    scopes: frozenset[Scope] = frozenset(SCOPES)


ANYONE = Caller("")
"""Outside of a request: the server itself."""

current_caller: ContextVar[Caller] = ContextVar("current_caller", default=ANYONE)


current_request_id: ContextVar[str] = ContextVar("current_request_id", default="")
"""In logs, and in the answer's header `x-request-id`."""


def require_scope(scope: Scope) -> None:
    """Raises a "forbidden" `ServeError` where the caller's key does not allow it."""
    if scope not in current_caller.get().scopes:
        raise ServeError("forbidden", f"this API key does not have the scope '{scope}'")
