"""Magentic's ledger by grammar.

The manager of the framework's Magentic orchestration asks its model for a "progress ledger" as
JSON, in words alone, and gives up on models that write it wrongly: small ones mostly do. This
middleware recognises the question and asks for the answer under its schema, with the team's names
as the only speakers.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from agent_framework import ChatContext, chat_middleware

__all__ = ["constrain_ledger"]

_NAMES = re.compile(r"string \(select from: (.+)\)")
_JUDGED = ("is_request_satisfied", "is_in_loop", "is_progress_being_made")
_MAX_REASON_CHARS = 200
_MAX_INSTRUCTION_CHARS = 1000


@chat_middleware
async def constrain_ledger(context: ChatContext, call_next: Callable[[], Awaitable[None]]) -> None:
    """Chat middleware for the manager: `Agent(client, middleware=[constrain_ledger])`."""
    asked = context.messages[-1].text if context.messages else ""
    names = _NAMES.search(asked)
    if names is not None and all(key in asked for key in _JUDGED):
        options = dict(context.options or {})
        options["response_format"] = ledger_schema(names[1].split(", "))
        context.options = options
    await call_next()


def ledger_schema(names: Sequence[str]) -> dict[str, Any]:
    """What the manager reads: a reason and an answer to each question. Reasons are short, for they
    are written at every round."""
    answers: dict[str, Any] = {key: {"type": "boolean"} for key in _JUDGED}
    answers["next_speaker"] = {"type": "string", "enum": list(names)}
    answers["instruction_or_question"] = {"type": "string", "maxLength": _MAX_INSTRUCTION_CHARS}
    return _object({
        question: _object({
            "reason": {"type": "string", "maxLength": _MAX_REASON_CHARS}, "answer": answer,
        })
        for question, answer in answers.items()
    })  # fmt: skip


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }
