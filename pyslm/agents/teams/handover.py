"""What an orchestrator says of requests that go from one agent to another."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Sequence

from pyslm.agents.agent import Agent
from pyslm.agents.events import AgentResult
from pyslm.agents.models.model import Message
from pyslm.agents.security.safety import AgentRequest
from pyslm.agents.tools import Tool
from pyslm.agents.turn import mended
from pyslm.errors import AgentConfigError

__all__ = ["STRATEGIES", "falls_short", "handoff_tool", "joined", "strategy", "taken_over"]

STRATEGIES = (
    "intent-based", "keyword", "round-robin", "least-loaded", "complexity", "hierarchical",
    "sequential", "concurrent", "handoff",
)  # fmt: skip
_SHORT_NAMES = {"intent": "intent-based", "load": "least-loaded", "load-based": "least-loaded",
                "keywords": "keyword", "complexity-based": "complexity"}  # fmt: skip
_UNSURE = re.compile(
    r"\b(i (do not|don't|cannot|can't|am not able to|am unable to)|not sure|no idea)\b", re.I
)


def strategy(name: str) -> str:
    """The strategy of this name, or of one that means the same; AgentConfigError: there is none."""
    plain = str(name).lower().replace("_", "-").replace(" ", "-")
    plain = _SHORT_NAMES.get(plain, plain)
    if plain not in STRATEGIES:
        near = difflib.get_close_matches(plain, STRATEGIES, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise AgentConfigError(
            f"routing_strategy is {name!r:.80}; {hint}allowed: {', '.join(STRATEGIES)}"
        )
    return plain


def falls_short(result: AgentResult) -> bool:
    """Whether an answer was cut off, made in a loop, or says that it does not know."""
    cut_off = result.finish_reason in ("length", "loop", "max_steps")
    return cut_off or not result.text.strip() or bool(_UNSURE.search(result.text[:200]))


def taken_over(request: AgentRequest, trail: Sequence[Message], note: str) -> AgentRequest:
    """The same request for another agent, which sees what was done: nothing is done twice."""
    if not any(message.get("role") != "user" for message in trail):
        return request
    request = dataclasses.replace(request, text=f"{request.text}\n\n({note})")
    if request.session is not None:  # where it was kept, it is found
        return request
    return dataclasses.replace(request, before=[*request.before, *mended(trail)])


def handoff_tool(agent: Agent, chosen: list[str]) -> Tool:
    """What a model calls to hand over to an agent; `chosen` gets its name."""

    def hand_over() -> str:
        chosen.append(agent.name)
        return f"{agent.name} goes on"

    jobs = ", ".join(agent.config.specialties) or agent.config.role or agent.name
    name = "handoff_to_" + re.sub(r"[^\w]", "_", agent.name)
    return Tool(hand_over, name, f"Hand the conversation over to {jobs}.", builtin=True)


def joined(results: Sequence[AgentResult]) -> AgentResult:
    """Several answers to the same in one."""
    text = "\n\n".join(f"{result.agent}: {result.text}" for result in results)
    first = results[0]
    return dataclasses.replace(
        first,
        text=text,
        agent=", ".join(result.agent for result in results),
        tool_results=tuple(each for result in results for each in result.tool_results),
        steps=sum(result.steps for result in results),
        seconds=max(result.seconds for result in results),
    )
