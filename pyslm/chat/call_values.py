"""The texts and numbers in a call's arguments, and where a text says them."""

from __future__ import annotations

import json
import re
from typing import NamedTuple

__all__ = ["CallValue", "call_values", "saying"]

_PART = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"\s*:)|(?P<text>"(?:[^"\\]|\\.)+")|(?P<number>-?\d+(?:\.\d+)?)'
)


class CallValue(NamedTuple):
    """One of them, alone or in a list."""

    said: str
    """As a conversation would say it."""
    place: int
    """Of its first character, after a quotation mark."""
    comma: int | None
    """Place of the one before it, or before its key; None: there is none."""


def call_values(call: str) -> list[CallValue]:
    """Those of arguments in JSON, which may be cut off, with anything before them."""
    found = []
    key = None
    for match in _PART.finditer(call):
        if match["key"]:
            key = match
            continue
        member = key if key is not None and not call[key.end() : match.start()].strip() else match
        before = call[: member.start()].rstrip()
        comma = len(before) - 1 if before.endswith(",") else None
        place = match.start() + (match["text"] is not None)
        found.append(CallValue(_plain(match[0]), place, comma))
    return found


def saying(value: str) -> re.Pattern[str]:
    """Finds where a text says it, from the beginning of a word to the end of one."""
    return re.compile(rf"(?<!\w){re.escape(value)}(?!\w)")


def _plain(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:  # an escape that is none
        return value[1:-1]
