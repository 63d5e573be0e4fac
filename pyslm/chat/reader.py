"""Reading a model's output while it comes.

A parser is a generator that reads top down, as if all the output were there; where more is needed,
it yields. It decides only what later text cannot change, so that the result does not depend on how
the output was cut into pieces.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import TypeAlias, TypeVar

from pyslm.chat.events import (
    ContentDelta,
    Event,
    ReasoningDelta,
    ToolCall,
    ToolCallArguments,
    ToolCallEnd,
    ToolCallStart,
)
from pyslm.chat.markers import Markers
from pyslm.chat.tools import Tool

__all__ = ["MAX_CALL_CHARS", "MAX_REJECTED", "Reader", "Steps", "new_call_id"]

_T = TypeVar("_T")
Steps: TypeAlias = Generator[None, None, _T]
"""A reading that yields where it needs more output, and returns what it read."""

MAX_CALL_CHARS = 1 << 20
MAX_REJECTED = 32
"""After so many things that looked like calls and were none, all the rest is content: the work
stays linear in the length of the output."""

MAX_SPACES = 64
"""White space before a call, or around reasoning, is left out; of a longer run, the last of it."""

_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_CONTROL = "\ud800-\udfff"


def new_call_id() -> str:
    return f"call_{secrets.token_hex(12)}"


class Reader:
    """The output that has not been told yet, and the events that have.

    `text[:pos]` is what the parser has looked at since the last decision: `accept` tells it as
    calls, `reject` as content.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        markers: Markers,
        new_id: Callable[[], str] = new_call_id,
    ) -> None:
        self.tools = tools
        self.markers = markers
        self.text = ""
        self.pos = 0
        self.ended = False
        self._new_id = new_id
        self._events: list[Event] = []
        self._num_calls = 0
        self._num_rejected = 0
        self._opened = 0  # text[:_opened] is what announced the call that is being read
        self._after_call = False

    # What the caller of the parser does.

    def push(self, text: str, special: bool) -> None:
        self.text += self.markers.encode(text, special)

    def take_events(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # What parsers do: look.

    def more(self) -> Steps[bool]:
        """Waits for more output; False if there is none."""
        if self.ended:
            return False
        yield
        return True

    def skip_space(self) -> Steps[None]:
        while True:
            rest = self.text[self.pos :]
            self.pos += len(rest) - len(rest.lstrip())
            if self.pos < len(self.text) or not (yield from self.more()):
                return

    def take(self, *options: str) -> Steps[str | None]:
        """Reads the first of `options` that comes next."""
        for option in options:
            while len(self.text) - self.pos < len(option):
                if not option.startswith(self.text[self.pos :]) or not (yield from self.more()):
                    break
            if self.text.startswith(option, self.pos):
                self.pos += len(option)
                return option
        return None

    def until(self, *ends: str, limit: int = MAX_CALL_CHARS) -> Steps[tuple[str, str] | None]:
        """Reads up to and with the first of `ends`: what comes before it, and which it is.

        None, and nothing read, if none comes within `limit` characters.
        """
        pattern = _any_of(ends)
        longest = max(map(len, ends))
        start = scanned = self.pos
        while True:
            found = pattern.search(self.text, scanned)
            if found:
                if found.start() - start > limit:
                    return None
                self.pos = found.end()
                return self.text[start : found.start()], found[0]
            if len(self.text) - start > limit + longest:
                return None
            scanned = max(start, len(self.text) - longest + 1)
            if not (yield from self.more()):
                return None

    def balanced(self, opening: str = "{", quotes: str = '"') -> Steps[str | None]:
        """Reads brackets, from one of `opening` to where it closes, past quoted strings.

        None, and nothing read, if another character comes, they never close or a control token
        comes between.
        """
        while self.pos == len(self.text):
            if not (yield from self.more()):
                return None
        if self.text[self.pos] not in opening:
            return None
        structure = re.compile(f"[][(){{}}{quotes}{_CONTROL}]")
        start = at = self.pos
        closers: list[str] = []
        quote = ""
        while True:
            wanted = _in_string(quote) if quote else structure
            found = wanted.search(self.text, at)
            if found is None or (found[0] == "\\" and found.end() == len(self.text)):
                at = found.start() if found else len(self.text)
                if at - start > MAX_CALL_CHARS or not (yield from self.more()):
                    return None
                continue
            character, at = found[0], found.end()
            if at - start > MAX_CALL_CHARS:
                return None
            if character == "\\":
                at += 1
            elif quote:
                if character != quote:
                    return None
                quote = ""
            elif character in quotes:
                quote = character
            elif character in _BRACKETS:
                closers.append(_BRACKETS[character])
            elif not closers or closers.pop() != character:
                return None
            elif not closers:
                self.pos = at
                return self.text[start:at]

    def skip_closing(self, *options: str) -> Steps[None]:
        """Drops what closes a call: each of `options` in turn, if it is there, and white space
        before it. Small models forget them."""
        for option in options:
            yield from self.skip_space()
            if (yield from self.take(option)):
                self.drop(self.pos)
            self.pos = 0

    # What parsers do: tell.

    def content_until(self, *markers: str) -> Steps[str | None]:
        """Tells what comes as content, up to the next of `markers`, and reads that.

        White space beside a call is no content. None once the output has ended.
        """
        if not markers or self._num_rejected >= MAX_REJECTED:
            while True:
                self.tell_content(len(self.text))
                if not (yield from self.more()):
                    return None
        pattern = _any_of(markers)
        while True:
            found = pattern.search(self.text)
            end = found.start() if found else len(self.text) - _held(self.text, markers)
            num_spaces = min(end - len(self.text[:end].rstrip()), MAX_SPACES)
            self.tell_content(end - num_spaces)
            if found:
                self._opened = self.pos = num_spaces + len(found[0])
                return found[0]
            if not (yield from self.more()):
                if not (self._after_call and self.text.isspace()):
                    self.tell_content(len(self.text))
                self.drop(len(self.text))
                return None

    def reasoning_until(self, *markers: str) -> Steps[str | None]:
        """Tells what comes as reasoning, less the white space around it; see `content_until`."""
        pattern = _any_of(markers)
        yield from self.skip_space()
        self.text, self.pos = self.text[self.pos :], 0
        while True:
            found = pattern.search(self.text)
            end = found.start() if found else len(self.text) - _held(self.text, markers)
            told = max(len(self.text[:end].rstrip()), end - MAX_SPACES)
            if told > 0:
                self._events.append(ReasoningDelta(self.markers.decode(self.text[:told])))
            if found:
                self.drop(found.end())
                return found[0]
            self.drop(max(told, 0))
            if not (yield from self.more()):
                if self.text.strip():
                    self._events.append(ReasoningDelta(self.markers.decode(self.text)))
                self.drop(len(self.text))
                return None

    def tell_content(self, num_chars: int) -> None:
        if num_chars:
            self._events.append(ContentDelta(self.markers.decode(self.text[:num_chars])))
            self._after_call = False
        self.drop(num_chars)

    def drop(self, num_chars: int) -> None:
        """Forgets the first characters: the frame of a message, which nobody needs to see."""
        self.text = self.text[num_chars:]
        self.pos = self._opened = 0

    def accept(self, calls: Sequence[ToolCall]) -> None:
        """What has been read is these calls."""
        for call in calls:
            index = self._num_calls
            self._events += (
                ToolCallStart(index, call.id or self._new_id(), call.name),
                ToolCallArguments(index, call.arguments),
                ToolCallEnd(index),
            )
            self._num_calls += 1
        self._after_call = True
        self.drop(self.pos)

    def accept_or_leave(self, calls: Sequence[ToolCall] | None) -> None:
        """What has been read is these calls; if there are none, it has not been read."""
        if calls:
            self.accept(calls)
        self.pos = 0

    def accept_or_reject(self, calls: Sequence[ToolCall] | None) -> bool:
        """What has been read is these calls; if there are none, it was no call."""
        if calls:
            self.accept(calls)
        else:
            self.reject()
        return bool(calls)

    def reject(self) -> None:
        """It was no call: what announced it is content, and reading goes on right after that."""
        self._num_rejected += 1
        self.tell_content(self._opened)


def _any_of(texts: Sequence[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, texts)))


def _in_string(quote: str) -> re.Pattern[str]:
    return re.compile(rf"[{quote}\\{_CONTROL}]")


def _held(text: str, markers: Sequence[str]) -> int:
    """How many of the last characters may be the beginning of a marker."""
    longest = min(len(text), max(map(len, markers)) - 1)
    if longest == 0 or not any(marker[0] in text[-longest:] for marker in markers):
        return 0
    for length in range(longest, 0, -1):
        ending = text[-length:]
        if any(marker.startswith(ending) for marker in markers):
            return length
    return 0
