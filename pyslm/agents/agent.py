"""`Agent`: a model with a job, tools and a memory."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from pyslm.agents.answer_format import AnswerFormat
from pyslm.agents.config import Config
from pyslm.agents.events import AgentEvent, AgentResult, Done, TextDelta
from pyslm.agents.history import History, turns_of
from pyslm.agents.loop import AgentLoop, LoopEnd
from pyslm.agents.memory import memory_tools
from pyslm.agents.models.choose import as_model, check_reach, choose_model
from pyslm.agents.models.model import ChatModel, Message
from pyslm.agents.planning import add_plan
from pyslm.agents.portal import portal
from pyslm.agents.sessions import SessionStore, default_store
from pyslm.agents.summary import summarize
from pyslm.agents.toolbox import Toolbox
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError, EngineError

__all__ = ["Agent", "AgentStream"]

_F = TypeVar("_F", bound=Callable[..., Any])
_T = TypeVar("_T")


class Agent:
    """A model with a job and tools.

    ::

        agent = pyslm.Agent(pyslm.Config(model_alias="qwen2.5-0.5b"))

        @agent.tool
        def get_current_time() -> str:
            \"\"\"Get the current time.\"\"\"
            return datetime.now().isoformat()

        print(agent.chat("What time is it?"))

    Each request stands alone unless it names a session. Several may run at once, from threads and
    from event loops. What is not ready when the agent is made (a service, a model's file) is
    looked for at the first request.

    Args:
        config: what the agent is; None: the defaults.
        model: an `LLM`, an `AsyncLLM`, a path or name, or a `ChatModel`; None: as `config` says.
        model_endpoint, api_key: those of `config`, given here.
        tools: functions or `Tool`s; see also the decorator `tool`.
        sessions: where conversations and memories are kept: a store or a path. None: the user's
            own file, once a session is named.

    Raises:
        AgentConfigError: something is set up wrongly.
        AccessDeniedError: the model is beyond this machine, and the config forbids that.
    """

    def __init__(
        self,
        config: Config | None = None,
        *,
        model: Any = None,
        model_endpoint: str | None = None,
        api_key: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        sessions: SessionStore | str | os.PathLike[str] | None = None,
    ) -> None:
        config = Config() if config is None else config
        if not isinstance(config, Config):
            raise AgentConfigError(f"config is {config!r:.80}; allowed: a Config")
        if model_endpoint is not None:
            config = config.replace(endpoint=model_endpoint)
        if api_key is not None:
            config = config.replace(api_key=api_key)
        self._config = config
        self._model: ChatModel | None = None
        if model is not None:
            self._model = as_model(model)
            check_reach(config, self._model)
        self._tools = Toolbox(timeout=config.timeout, max_result_chars=config.max_result_chars)
        for each in tools:
            self.add_tool(each)
        if sessions is not None and not isinstance(sessions, SessionStore):
            sessions = SessionStore(sessions)
        self._sessions = sessions

    @property
    def name(self) -> str:
        """That of the config."""
        return self._config.name

    @property
    def config(self) -> Config:
        """What the agent is."""
        return self._config

    @property
    def tools(self) -> tuple[Tool, ...]:
        """What it may call."""
        return tuple(self._tools)

    def add_tool(self, tool: Tool | Callable[..., Any]) -> Tool:
        """Offers a tool to the model.

        Raises:
            AgentConfigError: it cannot be a tool, or there is one of that name.
        """
        made = tool if isinstance(tool, Tool) else Tool(tool)
        self._tools.add(made)
        return made

    @overload
    def tool(self, function: _F, /) -> _F: ...
    @overload
    def tool(
        self,
        *,
        name: str = ...,
        description: str = ...,
        timeout: float | None = ...,
        sensitive: bool = ...,
        writes: bool = ...,
        trusted: bool = ...,
    ) -> Callable[[_F], _F]: ...
    def tool(self, function: Any = None, **settings: Any) -> Any:
        """Decorator that offers a function to the model, and leaves the function as it is."""

        def add(decorated: _F) -> _F:
            self.add_tool(decorated if isinstance(decorated, Tool) else Tool(decorated, **settings))
            return decorated

        return add if function is None else add(function)

    # --- requests ---------------------------------------------------------------------------

    @overload
    def chat(self, text: str, *, session: str | None = ..., user: str = ...) -> str: ...
    @overload
    def chat(
        self,
        text: str,
        *,
        response_format: type[_T],
        session: str | None = ...,
        user: str = ...,
    ) -> _T: ...
    @overload
    def chat(
        self,
        text: str,
        *,
        response_format: Mapping[str, Any],
        session: str | None = ...,
        user: str = ...,
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
    async def chat_async(self, text: str, *, session: str | None = ..., user: str = ...) -> str: ...
    @overload
    async def chat_async(
        self,
        text: str,
        *,
        response_format: type[_T],
        session: str | None = ...,
        user: str = ...,
    ) -> _T: ...
    @overload
    async def chat_async(
        self,
        text: str,
        *,
        response_format: Mapping[str, Any],
        session: str | None = ...,
        user: str = ...,
    ) -> Any: ...
    async def chat_async(self, text: str, *, response_format: Any = None, **of: Any) -> Any:
        """As `chat`, while the event loop goes on."""
        result = await self.run(text, response_format=response_format, **of)
        return result.text if response_format is None else result.data

    def stream(self, text: str, *, session: str | None = None, user: str = "") -> AgentStream:
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
        user: str = "",
        history: Sequence[Message] = (),
        emit: Callable[[AgentEvent], None] | None = None,
    ) -> AgentResult:
        """As `chat_async`; gives all that was done.

        Args:
            history: messages that came before, in OpenAI's shape; those of the session come first.
            emit: told of each event as it happens, on the event loop.
        """
        began = time.perf_counter()
        emit = emit or _ignore
        config = self._config
        form = None if response_format is None else AnswerFormat(response_format)
        model = await self._ready_model()
        tools = self._tools
        if config.memory:
            tools = tools.with_more(memory_tools(self._store(), self.name, user))
        conversation = self._history(model, session, user, history)
        conversation.add({"role": "user", "content": text})
        if config.plan:
            await add_plan(model, tools, conversation, config)
        end = await AgentLoop(model, tools, conversation, config, emit, form=form).run()
        result = _result(self.name, model, end, conversation)
        result = dataclasses.replace(result, seconds=time.perf_counter() - began)
        emit(Done(result))
        return result

    def _history(
        self, model: ChatModel, session: str | None, user: str, before: Sequence[Message]
    ) -> History:
        config = self._config
        turn = None
        if session is not None:
            turn = self._store().begin(session, agent=self.name, user=user)
        turns: list[Sequence[Message]] = [*turn.before()] if turn else []
        return History(
            config.system_message,
            [*turns, *turns_of(before)],
            room_for_reply=config.max_tokens,
            context_tokens=config.context_tokens,
            kept=turn,
            summary=turn.summary() if turn else "",
            summarize=partial(summarize, model) if config.summarize else None,
        )

    def _store(self) -> SessionStore:
        if self._sessions is None:
            self._sessions = default_store()
        return self._sessions

    async def _ready_model(self) -> ChatModel:
        if self._model is None:
            self._model = await asyncio.to_thread(choose_model, self._config)
        prepare = getattr(self._model, "prepare", None)
        if prepare is not None:  # loading takes its time, which is not that of a reply
            await prepare()
        return self._model

    def __repr__(self) -> str:
        return f"Agent({self.name!r}, {len(self._tools)} tools)"


class AgentStream:
    """The texts of one request as they come; `events` gives all that happens.

    The request starts when the first piece is asked for; leaving the loop ends it.
    """

    def __init__(self, start: Callable[[Callable[[AgentEvent], None]], Any]) -> None:
        self._start = start
        self._result: AgentResult | None = None

    @property
    def result(self) -> AgentResult:
        """What was done, once the stream has ended; an EngineError before."""
        if self._result is None:
            raise EngineError("the stream has not ended; its result comes with the last piece")
        return self._result

    def __iter__(self) -> Iterator[str]:
        for event in portal().items(self._start):
            yield from self._texts(event)

    async def __aiter__(self) -> AsyncIterator[str]:
        async for event in self.events():
            for text in self._texts(event):
                yield text

    async def events(self) -> AsyncIterator[AgentEvent]:
        """All events; the last one is `Done`."""
        come: asyncio.Queue[AgentEvent | None] = asyncio.Queue()
        task = asyncio.ensure_future(self._start(come.put_nowait))
        task.add_done_callback(lambda _: come.put_nowait(None))
        try:
            while (event := await come.get()) is not None:
                if isinstance(event, Done):
                    self._result = event.result
                yield event
            await task
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    def _texts(self, event: AgentEvent) -> Iterator[str]:
        if isinstance(event, Done):
            self._result = event.result
        elif isinstance(event, TextDelta):
            yield event.text


def _ignore(event: AgentEvent) -> None:
    """For callers that want the result alone."""


def _result(name: str, model: ChatModel, end: LoopEnd, conversation: History) -> AgentResult:
    return AgentResult(
        text=end.text,
        data=end.data,
        finish_reason=end.reason,
        messages=tuple(conversation.added),
        tool_results=tuple(end.results),
        steps=end.steps,
        usage=end.usage,
        model=model.name,
        agent=name,
    )
