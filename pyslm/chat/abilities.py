"""What a chat template can say about tools, found out by trying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pyslm.chat.template import ChatTemplate, Message
from pyslm.errors import ChatTemplateError

__all__ = ["Abilities", "abilities_of"]

_USER = {"role": "user", "content": "zquser"}
_NAMES = ("zqfirst", "zqsecond")
_RESULT = "zqresult"
_TOOLS = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": "d",
            "parameters": {
                "type": "object",
                "properties": {"zqkey": {"type": "string", "description": "d"}},
                "required": ["zqkey"],
            },
        },
    }
    for name in ("zqtool", *_NAMES)
]
_IDS = ("call_000000000000000000000001", "call_000000000000000000000002")
_SHORT_IDS = ("zq0000001", "zq0000002")


@dataclass(frozen=True, slots=True)
class Abilities:
    """What comes out of a template that was put in.

    `several_calls`: more than one in a message. `long_ids`: ids of calls may be of any form, not
    just nine letters and digits. `null_content`: a message with calls may have no content.
    """

    tools: bool
    calls: bool
    several_calls: bool
    results: bool
    long_ids: bool
    null_content: bool


def abilities_of(template: ChatTemplate) -> Abilities:
    """Renders a few conversations and looks for their words."""
    long_ids = _says(template, [_USER, _call(1, _IDS)], _TOOLS, _NAMES[0])
    ids = _IDS if long_ids else _SHORT_IDS
    null_content = _says(template, [_USER, _call(1, ids, None)], _TOOLS, _NAMES[0])
    content = None if null_content else ""
    calls = long_ids or _says(template, [_USER, _call(1, ids, content)], _TOOLS, _NAMES[0])
    said: Message = _call(1, ids, content) if calls else {"role": "assistant", "content": "zqsaid"}
    result = {"role": "tool", "tool_call_id": ids[0], "name": _NAMES[0], "content": _RESULT}
    return Abilities(
        tools=_says(template, [_USER], _TOOLS, "zqtool"),
        calls=calls,
        several_calls=_says(template, [_USER, _call(2, ids, content)], _TOOLS, *_NAMES),
        results=_says(template, [_USER, said, result], _TOOLS, _RESULT),
        long_ids=long_ids or not calls,
        null_content=null_content,
    )


def _call(count: int, ids: tuple[str, str], content: str | None = "") -> Message:
    calls = [
        {"id": ids[i], "type": "function",
         "function": {"name": _NAMES[i], "arguments": {"zqkey": f"zqvalue{i}"}}}
        for i in range(count)
    ]  # fmt: skip
    return {"role": "assistant", "content": content, "tool_calls": calls}


def _says(template: ChatTemplate, messages: Sequence[Message], tools: Any, *words: str) -> bool:
    """Whether the words come out, more often than the list of tools alone brings them."""
    try:
        text = template.render(messages, tools=tools)
        tools_alone = template.render([_USER], tools=tools) if len(messages) > 1 else ""
    except ChatTemplateError:
        return False
    return all(text.count(word) > tools_alone.count(word) for word in words)
