"""The conversation of a request, as Ollama's clients write it."""

from __future__ import annotations

from typing import Any

from pyslm.serve.openai import messages as openai
from pyslm.serve.protocol import ServeError

__all__ = ["Message", "refuse_images", "to_plain"]


class Message(openai.Message):
    """One turn; OpenAI's, with Ollama's names beside."""

    thinking: str | None = None
    tool_name: str | None = None
    images: list[Any] | None = None


def to_plain(messages: list[Message]) -> list[dict[str, Any]]:
    """The turns as the chat templates read them.

    Raises:
        ServeError: a turn holds an image.
    """
    for position, message in enumerate(messages):
        refuse_images(message.images, f"messages.{position}.images")
    plain = openai.plain_messages([_named(message) for message in messages])
    _link_results(plain)
    return plain


def refuse_images(images: list[Any] | None, where: str) -> None:
    """A ServeError where there are any."""
    if images:
        raise ServeError(
            "not_supported",
            f"{where}: {len(images)} given; this server reads text only, leave them out",
            param=where,
        )


def _named(message: Message) -> Message:
    return message.model_copy(
        update={
            "name": message.name or message.tool_name,
            "reasoning_content": message.reasoning_content or message.thinking,
        }
    )


def _link_results(messages: list[dict[str, Any]]) -> None:
    """Ollama's results name a function, or nothing; templates may want the id of the call."""
    open_calls: list[dict[str, Any]] = []
    for message in messages:
        open_calls += message.get("tool_calls", ())
        if message["role"] != "tool":
            continue
        ident, name = message.get("tool_call_id"), message.get("name")
        same = [c for c in open_calls if c["id"] == ident] if ident else open_calls
        fitting = [c for c in same if c["function"]["name"] == name] or same
        if fitting:
            message.setdefault("tool_call_id", fitting[0]["id"])
            open_calls.remove(fitting[0])
