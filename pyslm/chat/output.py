"""A model's output as it comes: answer, reasoning and tool calls told apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyslm.chat.events import Event
from pyslm.chat.markers import Markers
from pyslm.chat.reader import Reader, Steps
from pyslm.chat.reasoning import ReasoningStyle
from pyslm.chat.tool_formats import ToolFormat
from pyslm.chat.tools import Tool, tools_of

__all__ = ["OutputParser"]


class OutputParser:
    """Reads one output, piece by piece.

    However the output is cut into pieces, what is told is the same when joined together. A call is
    told once it is complete and found to be one; what is none comes out as content, word for word.
    White space beside calls and around reasoning is left out. No output is an error.
    """

    def __init__(
        self,
        tool_format: ToolFormat,
        tools: Iterable[Mapping[str, Any] | Tool] = (),
        *,
        reasoning: ReasoningStyle | None = None,
        in_reasoning: bool = False,
        control: Mapping[str, int] | None = None,
        new_id: Callable[[], str] | None = None,
    ) -> None:
        """
        Args:
            tool_format: how the model writes calls; see `detect_tool_format`.
            tools: those it may call; without any, nothing is taken for a call.
            reasoning: how it marks its reasoning; see `detect_reasoning`.
            in_reasoning: the prompt has opened the reasoning; see `ReasoningStyle.opened_by`.
            control: the vocabulary's control tokens, text -> id. A marker that is one of them
                counts only in a piece that is `special`. Without, markers are text.
            new_id: makes ids for calls to which the model gives none.

        Raises:
            InvalidRequestError: a tool is malformed.
        """
        self.markers = (*tool_format.markers, *(reasoning.markers if reasoning else ()))
        self._reader = Reader(
            tools_of(tools), Markers(self.markers, control), new_id or tool_format.new_id
        )
        self._format = tool_format
        self._reasoning = reasoning
        self._in_reasoning = in_reasoning
        self._steps = self._read()
        next(self._steps)

    def feed(self, text: str, *, special: bool = False) -> list[Event]:
        """Takes more output.

        Args:
            text: whole characters. Of control tokens, give those that are in `markers`.
            special: `text` is one control token.

        Returns:
            What is certain by now.
        """
        self._reader.push(text, special)
        next(self._steps)
        return self._reader.take_events()

    def finish(self) -> list[Event]:
        """The output has ended: tells the rest. Nothing may be fed after."""
        self._reader.ended = True
        for _ in self._steps:
            pass
        return self._reader.take_events()

    def _read(self) -> Steps[None]:
        yield
        if self._reasoning:
            yield from self._reasoning.read(self._reader, self._in_reasoning)
        if self._reader.tools or self._format.framed:
            yield from self._format.read(self._reader)
        yield from self._reader.content_until()
