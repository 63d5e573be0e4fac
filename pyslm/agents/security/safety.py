"""What an agent heeds besides its task: policy, filters, privacy, and the record of all this."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from pyslm.agents.answer_format import AnswerFormat
from pyslm.agents.config import Config
from pyslm.agents.events import AgentEvent, AgentResult
from pyslm.agents.models.model import Message
from pyslm.agents.security.audit import AuditLog, default_audit
from pyslm.agents.security.compliance import Profile, profile_of
from pyslm.agents.security.filters import Redactor, RefusedTextError, TextFilter
from pyslm.agents.security.guard import Record, RunGuard
from pyslm.agents.security.policy import ApprovalHook, Policy, User
from pyslm.agents.security.privacy import no_egress
from pyslm.agents.toolbox import ToolResult
from pyslm.agents.tools import Tool

__all__ = ["AgentRequest", "Safety", "Watch"]

_WITHHELD = "The answer was withheld: "


@dataclasses.dataclass(frozen=True, slots=True)
class AgentRequest:
    """What `Agent.run` was asked."""

    text: str
    form: AnswerFormat | None = None
    session: str | None = None
    user: User | None = None
    before: Sequence[Message] = ()
    emit: Callable[[AgentEvent], None] = lambda event: None
    more_tools: Sequence[Tool] = ()
    """For this request alone."""
    hands_over: Callable[[Sequence[ToolResult]], bool] | None = None
    """Whether results end the request, for another agent to go on."""
    trail: list[Message] | None = None
    """Gets each message that is added; what there is of them when the request fails."""

    @property
    def user_name(self) -> str:
        """Empty: nobody was named."""
        return self.user.name if self.user else ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Safety:
    """The rules of one agent."""

    policy: Policy
    roles: tuple[str, ...]
    approve: ApprovalHook | None
    audit: AuditLog | None
    profile: Profile
    redact: TextFilter | None
    is_private: bool
    input_filters: tuple[TextFilter, ...]
    output_filters: tuple[TextFilter, ...]

    @classmethod
    def of(
        cls,
        config: Config,
        *,
        policy: Policy | None,
        roles: Sequence[str],
        approve: ApprovalHook | None,
        audit: AuditLog | str | os.PathLike[str] | None,
        input_filters: Sequence[TextFilter],
        output_filters: Sequence[TextFilter],
    ) -> Safety:
        """As the agent was made; see there."""
        profile = profile_of(config.compliance)
        if audit is None:
            log = default_audit() if profile.audit else None
        else:
            log = audit if isinstance(audit, AuditLog) else AuditLog(audit)
        redact = Redactor() if config.privacy_mode else None
        return cls(
            policy=policy or Policy(default="allow"),
            roles=(roles,) if isinstance(roles, str) else tuple(roles),
            approve=approve,
            audit=log,
            profile=profile,
            redact=redact,
            is_private=config.privacy_mode,
            input_filters=tuple(input_filters),
            output_filters=tuple(output_filters),
        )

    def filtered_input(self, text: str) -> str:
        """Raises RefusedTextError."""
        for each in self.input_filters:
            text = each(text)
        return text

    @property
    def output_filter(self) -> TextFilter | None:
        """All output filters in one, which says where one has refused."""

        def apply(text: str) -> str:
            try:
                for each in self.output_filters:
                    text = each(text)
            except RefusedTextError as refusal:
                return _WITHHELD + str(refusal)
            return text

        return apply if self.output_filters else None

    def measures(self, text: str) -> dict[str, Any]:
        """What tells a text without holding it; a hash of few words would tell them, in private."""
        if self.redact is not None:
            return {"chars": len(text)}
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        return {"chars": len(text), "sha256": digest}

    @contextlib.asynccontextmanager
    async def watched(self, agent: str, request: AgentRequest) -> AsyncIterator[Watch]:
        """Records a request from its begin to its end, in private where that is asked for."""
        record = Record(
            self.audit,
            self.redact,
            agent=agent,
            user=request.user_name or None,
            session=request.session,
            request=secrets.token_hex(8),
        )
        record.add("request", **self.measures(request.text))
        with contextlib.ExitStack() as stack:
            if self.is_private:
                stack.enter_context(no_egress(lambda reason: record.add("egress", reason=reason)))
            try:
                yield Watch(self, record, agent, request)
            except BaseException as error:
                record.add("error", error=type(error).__name__, reason=str(error))
                raise


class Watch:
    """Looks after one request."""

    def __init__(self, safety: Safety, record: Record, agent: str, request: AgentRequest) -> None:
        self._safety = safety
        self._record = record
        self._agent = agent
        self._request = request

    def guard(self, untrusted: bool) -> RunGuard:
        """That of the calls. `untrusted`: the conversation holds what strangers wrote."""
        return RunGuard(
            self._safety.policy,
            self._record,
            agent=self._agent,
            roles=self._safety.roles,
            user=self._request.user,
            session=self._request.session,
            approve=self._safety.approve,
            untrusted=untrusted,
        )

    def answered(self, result: AgentResult) -> None:
        """The request is done."""
        self._record.add(
            "answer",
            model=result.model or None,
            finish=result.finish_reason,
            steps=result.steps,
            seconds=round(result.seconds, 6),
            **self._safety.measures(result.text),
        )
