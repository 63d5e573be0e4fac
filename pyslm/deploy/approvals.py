"""Calls that wait for somebody to approve them: whoever made the request, on its stream."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias

import pydantic_core

from pyslm.agents.security.policy import ApprovalRequest

__all__ = ["Approvals"]

Ask: TypeAlias = Callable[[Mapping[str, Any]], None]

_ask: ContextVar[Ask | None] = ContextVar("ask", default=None)


class Approvals:
    """Lives on one event loop."""

    def __init__(self) -> None:
        self._open: dict[str, asyncio.Future[bool]] = {}

    @contextlib.contextmanager
    def asking(self, ask: Ask) -> Iterator[None]:
        """In this context calls are asked about by `ask`, which sends an event to somebody."""
        token = _ask.set(ask)
        try:
            yield
        finally:
            _ask.reset(token)

    async def approve(self, request: ApprovalRequest) -> bool:
        """The hook of the agents; no where nobody can be asked."""
        ask = _ask.get()
        if ask is None:
            return False
        number = secrets.token_urlsafe(16)  # who knows it may answer
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._open[number] = answer
        try:
            ask(
                {
                    "type": "approval",
                    "id": number,
                    "agent": request.agent,
                    "tool": request.tool,
                    "arguments": pydantic_core.to_jsonable_python(
                        dict(request.arguments), fallback=str
                    ),
                    "reason": request.reason,
                }
            )
            return await answer
        finally:
            del self._open[number]

    def answer(self, number: str, approved: bool) -> bool:
        """False: nobody waits for this, or not any more."""
        waiting = self._open.get(number)
        if waiting is None or waiting.done():
            return False
        waiting.set_result(approved)
        return True
