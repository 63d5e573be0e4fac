"""Conversations with tools, in words that a model's chat template can say.

Some templates know nothing of tools, drop calls, take one call a message, or no results. What one
cannot say is written into the messages instead, in the model's tool format.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pyslm.chat.abilities import Abilities, abilities_of
from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join
from pyslm.chat.template import ChatTemplate, Message
from pyslm.chat.tool_formats import ToolFormat
from pyslm.chat.tools import Tool, tools_of
from pyslm.errors import ChatTemplateError

__all__ = ["Conversation", "ToolPrompts"]

_GAP = "\n\n"


@dataclass(frozen=True, slots=True)
class Conversation:
    """What to give to `ChatTemplate.render` or `encode`."""

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


class ToolPrompts:
    """Prepares conversations for one template. Safe to share by threads."""

    def __init__(self, template: ChatTemplate, tool_format: ToolFormat) -> None:
        self._template = template
        self._format = tool_format
        self._abilities = abilities_of(template)
        self._describes = functools.lru_cache(maxsize=64)(self._can_describe)

    @property
    def abilities(self) -> Abilities:
        return self._abilities

    def prepare(
        self, messages: Sequence[Message], tools: Iterable[Mapping[str, Any] | Tool] = ()
    ) -> Conversation:
        """The conversation as the template can say it.

        Args:
            messages: as OpenAI has them, with "tool_calls" and the role "tool".
            tools: those the model may call now.

        Raises:
            InvalidRequestError: a tool is malformed.
        """
        offered = list(tools_of(tools).values())
        able = self._abilities
        prepared = [_with_reasoning(dict(message)) for message in messages]
        if not able.long_ids:
            prepared = [_with_short_ids(message) for message in prepared]
        if able.calls and not able.several_calls:
            prepared = _one_call_each(prepared)
        if not able.results:
            prepared = _results_as_user(prepared)
        prepared = [self._said(message) for message in prepared]
        described = [tool.described() for tool in offered]
        if not offered:
            return Conversation(prepared, None)
        if able.tools and self._describes(json.dumps(described)):
            return Conversation(prepared, described)
        text = self._format.system_text(offered)
        return Conversation(_with_system(prepared, text), None)

    def _can_describe(self, tools: str) -> bool:
        """Whether the template takes these very tools: some fail on a list of numbers."""
        try:
            self._template.render([{"role": "user", "content": ""}], tools=json.loads(tools))
        except ChatTemplateError:
            return False
        return True

    def _said(self, message: dict[str, Any]) -> dict[str, Any]:
        """A message whose calls the template can say, or has no need to."""
        calls = message.get("tool_calls")
        if message.get("role") != "assistant" or not calls:
            return message
        if self._abilities.calls:
            empty = None if self._abilities.null_content else ""
            return {**message, "content": message.get("content") or empty}
        del message["tool_calls"]
        said = message.get("content")
        parts = [said, _GAP] if isinstance(said, str) and said else []
        return {**message, "content": join([*parts, self._format.write(list(map(_call, calls)))])}


def _with_reasoning(message: dict[str, Any]) -> dict[str, Any]:
    """Earlier reasoning under each name by which templates know it."""
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    if not reasoning or message.get("role") != "assistant":
        return message
    message |= {"reasoning_content": reasoning, "reasoning": reasoning}
    if not (message.get("content") and message.get("tool_calls")):  # or gpt-oss refuses
        message.setdefault("thinking", reasoning)
    return message


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function", call)
    arguments = function.get("arguments") or "{}"
    if not isinstance(arguments, str):
        arguments = json.dumps(arguments, ensure_ascii=False)
    return ToolCall(str(function.get("name", "")), arguments, str(call.get("id") or ""))


def _with_short_ids(message: dict[str, Any]) -> dict[str, Any]:
    if "tool_call_id" in message:
        return {**message, "tool_call_id": _short_id(message["tool_call_id"])}
    calls = message.get("tool_calls")
    if not calls:
        return message
    return {**message, "tool_calls": [{**c, "id": _short_id(c.get("id"))} for c in calls]}


def _short_id(call_id: object) -> str:
    """Nine letters and digits, the same for the same id."""
    text = str(call_id or "")
    if len(text) == 9 and text.isascii() and text.isalnum():
        return text
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()[:9]


def _one_call_each(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls made at once told one after the other, each with its result."""
    result: list[dict[str, Any]] = []
    at = 0
    while at < len(messages):
        message = messages[at]
        at += 1
        calls = message.get("tool_calls") or ()
        if len(calls) < 2:
            result.append(message)
            continue
        results: list[dict[str, Any]] = []
        while at < len(messages) and messages[at].get("role") == "tool":
            results.append(messages[at])
            at += 1
        for i, call in enumerate(calls):
            content = message.get("content") if i == 0 else ""
            result.append({**message, "content": content, "tool_calls": [call]})
            own = [r for r in results if r.get("tool_call_id") in (call.get("id"), None)][:1]
            result += own
            results = [r for r in results if not any(r is o for o in own)]
        result += results
    return result


def _results_as_user(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Results told by the user; what the user says next is part of the same message, for many
    templates want users and assistants to take turns."""
    names = {
        call.get("id"): call.get("function", {}).get("name")
        for message in messages
        for call in message.get("tool_calls") or ()
    }
    result: list[dict[str, Any]] = []
    after_result = False
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            name = message.get("name") or names.get(message.get("tool_call_id")) or "the tool"
            message = {"role": "user", "content": f"Result of {name}:\n{_text(content)}"}
        if after_result and message.get("role") == "user" and isinstance(message["content"], str):
            result[-1] = {
                "role": "user",
                "content": result[-1]["content"] + _GAP + message["content"],
            }
            continue
        after_result = role == "tool"
        result.append(message)
    return result


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    return json.dumps(content, ensure_ascii=False)


def _with_system(messages: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The system message says `text` too."""
    first = messages[0] if messages else {}
    if first.get("role") not in ("system", "developer"):
        return [{"role": "system", "content": text}, *messages]
    return [{**first, "content": join((_text(first.get("content")), _GAP, text))}, *messages[1:]]
