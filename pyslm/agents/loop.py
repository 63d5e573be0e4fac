"""The loop: ask the model, run what it calls, tell it the results; until it answers.

It ends, whatever the model does:

- a reply without calls is the answer;
- the reply number `max_steps` may call no tools, so it is one;
- calls that come again with the same results are a loop: the next reply may call no tools;
- an answer that has not the form that was asked for is sent back, `MAX_REPAIRS` times.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Sequence

from pyslm.agents.answer_format import AnswerFormat
from pyslm.agents.config import Config
from pyslm.agents.events import (
    AgentEvent,
    EndReason,
    TextDelta,
    ThoughtDelta,
    ToolFinished,
    ToolStarted,
)
from pyslm.agents.models.model import ChatModel, ModelRequest, Reply
from pyslm.agents.repeats import Repeats
from pyslm.agents.security.filters import TextFilter
from pyslm.agents.state.history import History
from pyslm.agents.toolbox import CallGuard, Toolbox, ToolResult
from pyslm.chat.events import ContentDelta, ReasoningDelta
from pyslm.chat.request import ToolChoice
from pyslm.errors import ModelCallError, ReplyError
from pyslm.request import Usage

__all__ = ["AgentLoop", "LoopEnd"]

MAX_REPAIRS = 2


@dataclasses.dataclass(slots=True)
class LoopEnd:
    """What the loop has come to."""

    text: str = ""
    data: object = None
    reason: EndReason = "stop"
    steps: int = 0
    usage: Usage = dataclasses.field(default_factory=lambda: Usage(0, 0))
    results: list[ToolResult] = dataclasses.field(default_factory=list)


class AgentLoop:
    """One request of a user, from the first reply of the model to its answer."""

    def __init__(
        self,
        model: ChatModel,
        tools: Toolbox,
        history: History,
        config: Config,
        emit: Callable[[AgentEvent], None],
        *,
        form: AnswerFormat | None = None,
        guard: CallGuard | None = None,
        output_filter: TextFilter | None = None,
        hands_over: Callable[[Sequence[ToolResult]], bool] | None = None,
    ) -> None:
        self._model = model
        self._tools = tools
        self._described = tools.described()
        self._history = history
        self._config = config
        self._emit = emit
        self._form = form
        self._guard = guard
        self._filter = output_filter
        self._hands_over = hands_over
        self._repeats = Repeats(config.max_repeats)
        self._end = LoopEnd()

    async def run(self) -> LoopEnd:
        """The whole loop.

        Raises:
            ModelCallError: the model cannot be asked, or takes too long.
            ReplyError: its answer has not the form that was asked for.
        """
        end, repairs = self._end, 0
        while True:
            end.steps += 1
            must_answer = end.steps >= self._config.max_steps or self._repeats.is_loop
            reply = await self._ask(must_answer)
            if reply.calls and not must_answer:
                self._history.add(reply.message())
                results = await self._run_calls(reply)
                if self._hands_over is not None and self._hands_over(results):
                    end.text, end.reason = reply.text, "handoff"
                    return end
                continue
            end.text, end.reason = self._spoken(reply), self._reason(reply, must_answer)
            self._history.add({"role": "assistant", "content": end.text})
            problem = self._check(end.text)
            if problem is None:
                return end
            repairs += 1
            if repairs > MAX_REPAIRS or end.reason == "length":
                raise ReplyError(f"the model's answer has not the form asked for: {problem}")
            self._history.add({"role": "user", "content": f"Answer again, as asked: {problem}"})

    async def _ask(self, must_answer: bool) -> Reply:
        """One reply. What comes of it is told at once."""
        reply = Reply()
        config = self._config
        request = ModelRequest(
            messages=await self._history.prompt(self._model, self._described),
            tools=() if must_answer else self._described,
            tool_choice=ToolChoice("none" if must_answer or not self._described else "auto"),
            parallel_tool_calls=config.parallel_tool_calls,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=config.seed,
            json_schema=self._form.schema if self._form else None,
        )
        try:
            async with asyncio.timeout(config.timeout):
                async for event in self._model.stream(request):
                    reply.take(event)
                    if isinstance(event, ContentDelta) and self._filter is None:
                        self._emit(TextDelta(event.text))
                    elif isinstance(event, ReasoningDelta):
                        self._emit(ThoughtDelta(event.text))
        except TimeoutError as error:
            raise ModelCallError(
                f"{self._model.name} did not finish its reply within {config.timeout:g} s; raise "
                "timeout, lower max_tokens, or take a smaller model"
            ) from error
        if reply.finish is not None:
            self._end.usage = _sum(self._end.usage, reply.finish.usage)
        return reply

    async def _run_calls(self, reply: Reply) -> list[ToolResult]:
        for call in reply.calls:
            self._emit(ToolStarted(call))
        results = await self._tools.run(
            reply.calls, self._guard, lambda result: self._emit(ToolFinished(result))
        )
        for result in results:
            self._history.add(result.message())
        self._end.results += results
        self._repeats.see(results)
        return results

    def _reason(self, reply: Reply, must_answer: bool) -> EndReason:
        if reply.finish is not None and reply.finish.reason == "length":
            return "length"
        if self._repeats.is_loop:
            return "loop"
        return "max_steps" if must_answer and self._config.max_steps > 1 else "stop"

    def _spoken(self, reply: Reply) -> str:
        """The answer as it goes out: with a filter, no piece of it does before it is whole."""
        if self._filter is None:
            return reply.text
        text = self._filter(reply.text)
        self._emit(TextDelta(text))
        return text

    def _check(self, text: str) -> str | None:
        """What is wrong with an answer."""
        if self._form is None:
            return None
        try:
            self._end.data = self._form.parse(text)
        except (ValueError, RecursionError) as error:
            return str(error)
        return None


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.cached_tokens + other.cached_tokens,
    )
