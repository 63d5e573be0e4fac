"""Running the parser over an output, and what a test wants to know of the result."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pyslm.chat.events import (
    ContentDelta,
    Event,
    ReasoningDelta,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from pyslm.chat.output import OutputParser
from pyslm.chat.reasoning import ReasoningStyle
from pyslm.chat.tool_formats import ToolFormat

Piece = tuple[str, bool]

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "description": "The city"},
                "days": {"type": "integer"},
                "options": {"type": "object"},
                "exact": {"type": "boolean"},
                "heights": {"type": "array", "items": {"type": "number"}},
            },
            "required": ["city"],
        },
    },
}
CLOCK: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "clock",
        "description": "The time",
        "parameters": {"type": "object", "properties": {"zone": {"type": ["string", "null"]}}},
    },
}
TOOLS = [WEATHER, CLOCK]


@dataclass
class Result:
    """All that was told, joined."""

    content: str = ""
    reasoning: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    order: list[tuple[str, Any]] = field(default_factory=list)


def joined(events: Iterable[Event]) -> Result:
    """Checks the order of the events of each call on the way."""
    result = Result()
    open_call: ToolCallStart | None = None
    arguments = ""
    for event in events:
        match event:
            case ContentDelta(text):
                assert text
                assert open_call is None
                result.content += text
                _append(result.order, "content", text)
            case ReasoningDelta(text):
                assert text
                result.reasoning += text
                _append(result.order, "reasoning", text)
            case ToolCallStart(index):
                assert index == len(result.calls)
                assert open_call is None
                open_call, arguments = event, ""
            case ToolCallArguments(index, text):
                assert open_call
                assert index == open_call.index
                arguments += text
            case ToolCallEnd(index):
                assert open_call
                assert index == open_call.index
                result.calls.append((open_call.name, json.loads(arguments)))
                result.ids.append(open_call.id)
                result.order.append(("call", (open_call.name, arguments)))
                open_call = None
    assert open_call is None
    return result


def _append(order: list[tuple[str, Any]], kind: str, text: str) -> None:
    if order and order[-1][0] == kind:
        text = order.pop()[1] + text
    order.append((kind, text))


def read(
    tool_format: ToolFormat,
    pieces: str | Sequence[Piece],
    *,
    tools: Sequence[Mapping[str, Any]] = TOOLS,
    reasoning: ReasoningStyle | None = None,
    in_reasoning: bool = False,
    control: Mapping[str, int] | None = None,
) -> Result:
    numbers = itertools.count()
    parser = OutputParser(
        tool_format,
        tools,
        reasoning=reasoning,
        in_reasoning=in_reasoning,
        control=control,
        new_id=lambda: f"id{next(numbers)}",
    )
    events: list[Event] = []
    for text, special in [(pieces, False)] if isinstance(pieces, str) else pieces:
        events += parser.feed(text, special=special)
    return joined([*events, *parser.finish()])


def control_of(*owners: Any) -> dict[str, int]:
    """A vocabulary in which every marker is a control token."""
    markers = {marker for owner in owners if owner for marker in owner.markers}
    return {marker: 1000 + i for i, marker in enumerate(sorted(markers)) if marker.strip()}


def as_tokens(text: str, control: Mapping[str, int]) -> list[Piece]:
    """The text with its markers as control tokens, in pieces."""
    if not control:
        return [(text, False)]
    longest_first = sorted(control, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, longest_first))})", text)
    return [(part, part in control) for part in parts if part]
