"""Kept conversations of an agent as examples to learn from, in the form of OpenAI's fine-tuning."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jsonschema

from pyslm.agents.turn import is_cut_off

if TYPE_CHECKING:
    from pyslm.agents.agent import Agent

__all__ = ["exported_sessions"]


def exported_sessions(agent: Agent) -> Iterator[tuple[dict[str, Any], int]]:
    """Of each of its sessions `{"messages": [...], "tools": [...]}`, and how many of its turns are
    left out: those that were interrupted, and those with calls that its tools would not take now.
    Sessions of which nothing is left are not told.
    """
    schemas = {tool.name: dict(tool.parameters) for tool in agent.tools}
    tools = [tool.described() for tool in agent.tools]
    system = agent.config.system_message
    first = [{"role": "system", "content": system}] if system else []
    store = agent.sessions
    for session in store.sessions():
        if session.agent != agent.name:
            continue
        turns = store.turns(session.id)
        whole = [turn for turn in turns if _is_example(turn, schemas)]
        if whole:
            messages = [*first, *(message for turn in whole for message in turn)]
            yield {"messages": messages, "tools": tools}, len(turns) - len(whole)


def _is_example(
    turn: Sequence[Mapping[str, Any]], schemas: Mapping[str, Mapping[str, Any]]
) -> bool:
    last = turn[-1]
    if last["role"] != "assistant" or last.get("tool_calls") or not last.get("content"):
        return False
    if any(map(is_cut_off, turn)):
        return False
    return all(
        _is_valid(call["function"], schemas)
        for message in turn
        for call in message.get("tool_calls") or ()
    )


def _is_valid(function: Mapping[str, Any], schemas: Mapping[str, Mapping[str, Any]]) -> bool:
    try:
        jsonschema.validate(json.loads(function["arguments"] or "{}"), schemas[function["name"]])
    except (KeyError, ValueError, jsonschema.ValidationError):
        return False
    return True
