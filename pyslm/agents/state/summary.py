"""Summaries of what no longer fits a model's context, by the model itself."""

from __future__ import annotations

import json
from collections.abc import Sequence

from pyslm.agents.models.model import ChatModel, Message, ModelRequest, Reply

__all__ = ["summarize"]

_ASKED = (
    "Summarize this conversation in at most five sentences, for someone who has to go on with it. "
    "Keep names, numbers, decisions and open questions."
)
_MAX_TOKENS = 256
_MAX_CHARS_OF_MESSAGE = 1000
_BYTES_PER_TOKEN = 3


async def summarize(model: ChatModel, messages: Sequence[Message], summary: str) -> str:
    """One summary of a summary and of what came after it."""
    lines = [f"Before: {summary}"] if summary else []
    lines += [_line(message) for message in messages]
    room = (model.context_length or 4096) // 2 * _BYTES_PER_TOKEN
    text = "\n".join(lines)
    if len(text) > room:  # the latest matters most
        text = f"...{text[-room:]}"
    request = ModelRequest(
        messages=[{"role": "user", "content": f"{_ASKED}\n\n{text}"}],
        max_tokens=_MAX_TOKENS,
        temperature=0.0,
        thinking=False,
    )
    reply = await Reply.collect(model.stream(request))
    return reply.text.strip()


def _line(message: Message) -> str:
    content = message.get("content") or ""
    said = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    calls = [call["function"]["name"] for call in message.get("tool_calls") or ()]
    called = f" [calls {', '.join(calls)}]" if calls else ""
    return f"{message.get('role')}: {said[:_MAX_CHARS_OF_MESSAGE]}{called}"
