"""`Asking`: the ways to ask an agent; all of them end in one request."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, overload

from pyslm.agents.answer_format import AnswerFormat
from pyslm.agents.events import AgentEvent, AgentResult
from pyslm.agents.models.model import Message
from pyslm.agents.portal import portal
from pyslm.agents.security.policy import User
from pyslm.agents.security.safety import AgentRequest
from pyslm.agents.stream import AgentStream

__all__ = ["Asking"]

_T = TypeVar("_T")


class Asking(ABC):
    """What answers requests can be asked to wait or not, for text or data, at once or in pieces."""

    @abstractmethod
    async def run_request(self, request: AgentRequest) -> AgentResult:
        """As `run`, for those who set up agents to work together."""

    @overload
    def chat(self, text: str, *, session: str | None = ..., user: str | User = ...) -> str: ...
    @overload
    def chat(
        self,
        text: str,
        *,
        response_format: type[_T],
        session: str | None = ...,
        user: str | User = ...,
    ) -> _T: ...
    @overload
    def chat(
        self,
        text: str,
        *,
        response_format: Mapping[str, Any],
        session: str | None = ...,
        user: str | User = ...,
    ) -> Any: ...
    def chat(self, text: str, *, response_format: Any = None, **of: Any) -> Any:
        """Answers; waits for it.

        Args:
            response_format: a pydantic model, or another type that pydantic knows, or a JSON
                schema: the answer is one of these then, not text.
            session: go on with the conversation of this name, and keep it.
            user: whose request it is.

        Raises:
            ModelCallError: the model cannot be asked, or takes too long.
            ReplyError: the answer does not have the form of `response_format`.
            SessionError: the conversation cannot be read or kept, or is another user's.
        """
        return portal().run(self.chat_async(text, response_format=response_format, **of))

    @overload
    async def chat_async(
        self, text: str, *, session: str | None = ..., user: str | User = ...
    ) -> str: ...
    @overload
    async def chat_async(
        self,
        text: str,
        *,
        response_format: type[_T],
        session: str | None = ...,
        user: str | User = ...,
    ) -> _T: ...
    @overload
    async def chat_async(
        self,
        text: str,
        *,
        response_format: Mapping[str, Any],
        session: str | None = ...,
        user: str | User = ...,
    ) -> Any: ...
    async def chat_async(self, text: str, *, response_format: Any = None, **of: Any) -> Any:
        """As `chat`, while the event loop goes on."""
        result = await self.run(text, response_format=response_format, **of)
        return result.text if response_format is None else result.data

    def stream(
        self, text: str, *, session: str | None = None, user: str | User = ""
    ) -> AgentStream:
        """As `chat`, in pieces as they come: for `for` and for `async for`."""

        async def start(emit: Callable[[AgentEvent], None]) -> None:
            await self.run(text, session=session, user=user, emit=emit)

        return AgentStream(start)

    async def run(
        self,
        text: str,
        *,
        response_format: Any = None,
        session: str | None = None,
        user: str | User = "",
        history: Sequence[Message] = (),
        emit: Callable[[AgentEvent], None] | None = None,
    ) -> AgentResult:
        """As `chat_async`; gives all that was done.

        Args:
            history: messages that came before, in OpenAI's shape; those of the session come first.
            emit: told of each event as it happens, on the event loop.
        """
        emit = emit or _ignore
        form = None if response_format is None else AnswerFormat(response_format)
        who = user if isinstance(user, User) else User(user) if user else None
        return await self.run_request(AgentRequest(text, form, session, who, history, emit))


def _ignore(event: AgentEvent) -> None:
    """For callers that want the result alone."""
