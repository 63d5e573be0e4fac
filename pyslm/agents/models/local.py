"""A model in this process: what it calls is valid by construction."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

from pyslm.agents.models.model import Finished, Message, ModelEvent, ModelRequest
from pyslm.async_llm import AsyncLLM
from pyslm.chat.events import ToolCallStart
from pyslm.chat.plan import ChatFormat, ChatPlan
from pyslm.chat.request import ChatRequest, ReasoningOptions
from pyslm.llm import LLM
from pyslm.request import SamplingParams

__all__ = ["LocalModel"]


class LocalModel:
    """An `LLM`, given, or leased from a pool for each reply.

    Where it may call tools, its output is constrained by a grammar made of the tools' schemas, from
    where a call begins. (A schema that no grammar can enforce is left to the check of arguments.)
    """

    place: Literal["process"] = "process"

    def __init__(
        self,
        llm: LLM | AsyncLLM | Callable[[], AbstractContextManager[LLM]],
        name: str | None = None,
    ) -> None:
        """
        Args:
            llm: a model that stays the caller's to close; or what gives one for a while.
            name: None: that of the file.
        """
        given = llm.llm if isinstance(llm, AsyncLLM) else llm
        self._lease: Callable[[], AbstractContextManager[LLM]]
        if isinstance(given, LLM):
            self.name = name or given.info.path.stem
            self.context_length: int | None = given.info.context_length
            self._lease = lambda: contextlib.nullcontext(given)
        else:
            self.name = name or "local"
            self.context_length = None
            self._lease = given
        self._formats: weakref.WeakKeyDictionary[LLM, ChatFormat] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    async def prepare(self) -> None:
        """Loads the model, unless it is loaded."""

        def load() -> None:
            with self._lease() as llm:
                self.context_length = llm.info.context_length

        if self.context_length is None:
            await asyncio.to_thread(load)

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """See `ChatModel`."""
        return self.reply(_chat_request(request))

    async def reply(self, request: ChatRequest) -> AsyncGenerator[ModelEvent]:
        """As `stream`, for requests that say more than agents do."""
        async with self.borrowed() as llm:
            plan, ids, params = await asyncio.to_thread(self._prepared, llm, request)
            engine = AsyncLLM(llm)
            params = await plan.decide(engine.generate, ids, params)
            output = plan.reader()
            called = False
            async with engine.stream(ids, params) as chunks:
                async for chunk in chunks:
                    for event in output.push(chunks.raw, chunk.token_ids):
                        called |= isinstance(event, ToolCallStart)
                        yield event
                for event in output.finish():
                    called |= isinstance(event, ToolCallStart)
                    yield event
                result = chunks.result
            stopped = result.finish_reason == "stop"
            yield Finished(
                "tool_calls" if called and stopped else result.finish_reason, result.usage
            )

    @contextlib.asynccontextmanager
    async def borrowed(self) -> AsyncIterator[LLM]:
        """The model itself; it stays loaded meanwhile."""
        lease = self._lease()
        llm = await asyncio.to_thread(lease.__enter__)
        try:
            self.context_length = llm.info.context_length
            yield llm
        finally:
            lease.__exit__(None, None, None)

    def count_text(self, text: str) -> int:
        """Tokens of a text."""
        with self._lease() as llm:
            return len(llm.tokenize(text))

    async def count_tokens(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """See `ChatModel`."""

        def count() -> int:
            with self._lease() as llm:
                self.context_length = llm.info.context_length
                request = ModelRequest(messages=messages, tools=tools)
                return len(self._encoded(llm, _chat_request(request))[1])

        return await asyncio.to_thread(count)

    def _prepared(
        self, llm: LLM, request: ChatRequest
    ) -> tuple[ChatPlan, list[int], SamplingParams]:
        plan, ids = self._encoded(llm, request)
        plan.see_prompt(ids)
        return plan, ids, plan.sampling()

    def _encoded(self, llm: LLM, request: ChatRequest) -> tuple[ChatPlan, list[int]]:
        form = self._format(llm)
        plan = form.plan(request)
        said = form.conversation(request, plan)
        names = request.reasoning.template_names()
        return plan, llm.encode_chat(said.messages, said.tools, **names)

    def _format(self, llm: LLM) -> ChatFormat:
        with self._lock:
            form = self._formats.get(llm)
            if form is None:
                form = ChatFormat(llm.chat_template, llm._host.tokenizer, llm._host.nearness)
                self._formats[llm] = form
            return form


def _chat_request(request: ModelRequest) -> ChatRequest:
    sampling = SamplingParams(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        seed=request.seed,
        json_schema=request.json_schema,
        choice=request.choice,
    )
    return ChatRequest(
        messages=request.messages,
        sampling=sampling,
        tools=list(request.tools) or None,
        tool_choice=request.tool_choice,
        parallel_tool_calls=request.parallel_tool_calls,
        reasoning=ReasoningOptions(enabled=request.thinking),
    )
