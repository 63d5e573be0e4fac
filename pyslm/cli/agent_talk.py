"""Agents on the terminal: their answers as they come, and what they called."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pyslm.errors import InvalidRequestError

if TYPE_CHECKING:
    from pyslm.agents import Agent, AgentResult

__all__ = ["converse", "prompt_text", "run_agent", "show_answer", "show_call", "typed_lines"]


def run_agent(agent: Agent, text: str, session: str | None = None, user: str = "") -> AgentResult:
    """All that came of one request."""
    from pyslm.agents.portal import portal

    return portal().run(agent.run(text, session=session, user=user))


def show_answer(agent: Agent, text: str, session: str | None = None, user: str = "") -> AgentResult:
    """The answer on stdout as it comes, then the calls on stderr.

    Raises:
        InvalidRequestError: a filter or a policy refused the request.
    """
    stream = agent.stream(text, session=session, user=user)
    for piece in stream:
        sys.stdout.write(piece)
        sys.stdout.flush()
    result = stream.result
    if result.finish_reason == "refused":
        raise InvalidRequestError(result.text)
    print()
    for each in result.tool_results:
        show_call(f"{each.call.name} {each.call.arguments}", each.outcome, each.seconds)
    return result


def show_call(call: str, outcome: str, seconds: float) -> None:
    """One line on stderr."""
    print(f"[{call}: {outcome}, {seconds * 1e3:.0f} ms]", file=sys.stderr)


def converse(agent: Agent, session: str, user: str = "") -> None:
    """Answers what somebody types, until they end it."""
    for text in typed_lines():
        show_answer(agent, text, session, user)


def typed_lines() -> Iterator[str]:
    """What somebody types, until they end it."""
    while True:
        try:
            text = input("> ")
        except EOFError:
            return
        if text.strip():
            yield text


def prompt_text(given: str) -> str:
    """The text of a PROMPT argument; - reads stdin."""
    text = sys.stdin.read() if given == "-" else given
    if not text.strip():
        raise InvalidRequestError("the prompt is empty")
    return text
