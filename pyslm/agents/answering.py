"""`Answering`: one request of an agent, from the user's words to the result."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from pyslm.agents.config import Config
from pyslm.agents.events import AgentResult
from pyslm.agents.loop import AgentLoop, LoopEnd
from pyslm.agents.models.model import ChatModel, Message
from pyslm.agents.planning import add_plan
from pyslm.agents.security.filters import RefusedTextError
from pyslm.agents.security.safety import AgentRequest, Safety, Watch
from pyslm.agents.state.history import History, turns_of
from pyslm.agents.state.memory import memory_tools
from pyslm.agents.state.sessions import SessionStore
from pyslm.agents.state.summary import summarize
from pyslm.agents.toolbox import Toolbox

if TYPE_CHECKING:
    from pyslm.agents.mcp.server_tools import ServerTools

__all__ = ["Answering"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """What an agent brings to a request."""

    config: Config
    safety: Safety
    tools: Toolbox
    servers: Sequence[ServerTools]
    """Asked at each request what tools they have."""
    store: Callable[[], SessionStore]
    """Called once something is to be kept or remembered."""
    model: Callable[[], Awaitable[ChatModel]]
    """Finds and loads it; not called for what the filters refuse."""

    async def answer(self, request: AgentRequest, watch: Watch) -> AgentResult:
        """The whole of it.

        Raises:
            ModelCallError: the model cannot be asked, or takes too long.
            ReplyError: the answer has not the form that was asked for.
            SessionError: the conversation cannot be read or kept, or is another user's.
        """
        began = time.perf_counter()
        config = self.config
        try:
            text = self.safety.filtered_input(request.text)
        except RefusedTextError as refusal:
            return AgentResult(text=str(refusal), finish_reason="refused", agent=config.name)
        model = await self.model()
        tools = await self._tools(request)
        history = self._history(model, request)
        guard = watch.guard(_holds_untrusted(history, tools))
        history.add({"role": "user", "content": text})
        if config.plan:
            await add_plan(model, tools, history, config)
        loop = AgentLoop(
            model,
            tools,
            history,
            config,
            request.emit,
            form=request.form,
            guard=guard,
            output_filter=self.safety.output_filter,
            hands_over=request.hands_over,
        )
        result = _result(config.name, model, await loop.run(), history)
        return dataclasses.replace(result, seconds=time.perf_counter() - began)

    async def _tools(self, request: AgentRequest) -> Toolbox:
        """The agent's own, and those of this request, of its memory and of its servers."""
        more = list(request.more_tools)
        if self.config.memory:
            more += memory_tools(self.store(), self.config.name, request.user_name)
        for offered in await asyncio.gather(*(server.offered() for server in self.servers)):
            more += offered
        refused = {name: why for server in self.servers for name, why in server.refused.items()}
        return self.tools.with_more(more, refused) if more or refused else self.tools

    def _history(self, model: ChatModel, request: AgentRequest) -> History:
        config = self.config
        turn = None
        if request.session is not None:
            store = self.store()
            if self.safety.profile.retention_days is not None:
                store.prune(self.safety.profile.retention_days)
            turn = store.begin(request.session, agent=config.name, user=request.user_name)
        turns: list[Sequence[Message]] = [*turn.before()] if turn else []
        return History(
            config.system_message,
            [*turns, *turns_of(request.before)],
            room_for_reply=config.max_tokens,
            context_tokens=config.context_tokens,
            kept=turn,
            trail=request.trail,
            summary=turn.summary() if turn else "",
            summarize=partial(summarize, model) if config.summarize else None,
        )


def _holds_untrusted(history: History, tools: Toolbox) -> bool:
    """Whether strangers' words stand in what came before."""
    suspects = {tool.name for tool in tools if not tool.trusted}
    return any(m.get("role") == "tool" and m.get("name") in suspects for m in history.before)


def _result(agent: str, model: ChatModel, end: LoopEnd, history: History) -> AgentResult:
    return AgentResult(
        text=end.text,
        data=end.data,
        finish_reason=end.reason,
        messages=tuple(history.added),
        tool_results=tuple(end.results),
        steps=end.steps,
        usage=end.usage,
        model=model.name,
        agent=agent,
    )
