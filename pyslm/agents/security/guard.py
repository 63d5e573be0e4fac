"""Holds the calls of one request against the policy, and writes all of it down."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic_core

from pyslm.agents.models.model import Call
from pyslm.agents.security.audit import AuditLog
from pyslm.agents.security.filters import TextFilter
from pyslm.agents.security.policy import ApprovalHook, ApprovalRequest, Policy, User
from pyslm.agents.toolbox import ToolResult
from pyslm.agents.tools import Tool

__all__ = ["Record", "RunGuard"]

_log = logging.getLogger(__name__)
_MAX_ARGUMENT_CHARS = 2000


class Record:
    """Entries of one request; they go nowhere where there is no log."""

    def __init__(self, log: AuditLog | None, redact: TextFilter | None = None, **of: Any) -> None:
        """`of`: fields of every entry."""
        self._log = log
        self._redact = redact
        self._of = of

    def add(self, event: str, **fields: Any) -> None:
        """Raises AuditError where it cannot be written: what cannot be recorded is not done."""
        if self._log is not None:
            self._log.add(event, self._redact, **self._of, **fields)


class RunGuard:
    """See `CallGuard`."""

    def __init__(
        self,
        policy: Policy,
        record: Record,
        *,
        agent: str,
        roles: Sequence[str] = (),
        user: User | None = None,
        session: str | None = None,
        approve: ApprovalHook | None = None,
        untrusted: bool = False,
    ) -> None:
        """`untrusted`: the conversation holds what strangers wrote from the start."""
        self._policy = policy
        self._record = record
        self._agent = agent
        self._roles = roles
        self._user = user
        self._session = session
        self._approve = approve
        self._untrusted = untrusted

    async def refusal(self, call: Call, tool: Tool, arguments: Mapping[str, Any]) -> str | None:
        decision = self._policy.decide(
            self._roles, self._user, tool, arguments, untrusted=self._untrusted
        )
        verdict, reason = decision.verdict, decision.reason
        if verdict == "ask":
            approved = await self._is_approved(tool, arguments, reason)
            verdict = "allow" if approved else "deny"
            reason = f"{reason}; it was {'' if approved else 'not '}approved"
        self._record.add(
            "call",
            tool=call.name,
            call=call.id,
            arguments=_shown(arguments),
            verdict=verdict,
            reason=reason,
            untrusted=self._untrusted,
        )
        return None if verdict == "allow" else reason

    def ended(self, result: ToolResult) -> None:
        if not result.trusted:
            self._untrusted = True
        self._record.add(
            "result",
            tool=result.call.name,
            call=result.call.id,
            outcome=result.outcome,
            # Calls that never came to a decision have no entry of their own.
            arguments=result.call.arguments[:_MAX_ARGUMENT_CHARS]
            if result.outcome in ("unknown", "invalid")
            else None,
            chars=len(result.content),
            seconds=round(result.seconds, 6),
        )

    async def _is_approved(self, tool: Tool, arguments: Mapping[str, Any], reason: str) -> bool:
        if self._approve is None:
            return False
        request = ApprovalRequest(
            agent=self._agent,
            user=self._user.name if self._user else "",
            session=self._session,
            tool=tool.name,
            arguments=arguments,
            reason=reason,
        )
        try:
            async with asyncio.timeout(self._policy.approval_seconds):
                answer = await asyncio.to_thread(self._approve, request)
                if inspect.isawaitable(answer):
                    answer = await answer
        except Exception as error:
            _log.warning("the call of %s is not approved: %r", tool.name, error)
            return False
        return answer is True


def _shown(arguments: Mapping[str, Any]) -> Any:
    told = pydantic_core.to_jsonable_python(dict(arguments), fallback=str)
    return {
        key: value[:_MAX_ARGUMENT_CHARS] if isinstance(value, str) else value
        for key, value in told.items()
    }
