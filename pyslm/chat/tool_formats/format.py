"""What one way of writing tool calls has to tell: the contract of this folder's formats."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pyslm.chat.events import ToolCall
from pyslm.chat.marked import join
from pyslm.chat.reader import Reader, Steps, new_call_id
from pyslm.chat.reasoning import ReasoningStyle
from pyslm.chat.tool_formats.lark import Lark
from pyslm.chat.tool_formats.values import json_text
from pyslm.chat.tools import Tool
from pyslm.errors import InvalidRequestError

__all__ = ["ToolFormat"]


class ToolFormat(ABC):
    """One way in which models write tool calls. It has no state; `register` adds it to the table.

    `read` and `write` are inverse to each other, and all that `grammar` accepts `read` takes for
    calls that the tools' schemas allow.
    """

    name: ClassVar[str]
    markers: ClassVar[tuple[str, ...]] = ()
    """Texts that `read` looks for and that may be control tokens of the model."""
    trigger: ClassVar[str]
    """What a call begins with: the grammar of a call begins right after it."""
    anchored: ClassVar[bool] = False
    """Calls stand at the start of the output only, for the trigger may occur in any text."""
    framed: ClassVar[bool] = False
    """The format frames answers too, so that it has to be read even where there are no tools."""

    @abstractmethod
    def detect(self, template: str) -> int:
        """How sure it is that a model with this chat template writes so; 0 if it does not."""

    @abstractmethod
    def read(self, reader: Reader) -> Steps[None]:
        """Reads an output to its end. What is no call is told as content, never as an error."""

    @abstractmethod
    def write(self, calls: Sequence[ToolCall]) -> str:
        """The text of calls, control tokens marked, for templates that cannot write them."""

    @abstractmethod
    def rest(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        """The grammar of what follows the trigger, to the end of the output."""

    def head(self, tool: Tool) -> str | None:  # noqa: ARG002
        """A call of the tool up to its arguments, control tokens marked; None: not known so far."""
        return None

    def system_text(self, tools: Sequence[Tool]) -> str:
        """What tells a model of the tools and of the format, where its template does not."""
        listed = "\n".join(json_text(tool.described()["function"]) for tool in tools)
        example = self.write([ToolCall("<name of the tool>", '{"<argument>": "<value>"}')])
        return join(
            (
                f"You can call these tools:\n{listed}\n\n"
                "To call one, answer with nothing but this, filled in:\n",
                example,
                "\nYou then get the result, and answer. "
                "If no tool is needed, answer in plain text.",
            )
        )

    def new_id(self) -> str:
        """An id for a call, such as the model's template takes."""
        return new_call_id()

    def grammar(
        self,
        tools: Mapping[str, Tool],
        choice: str = "auto",
        *,
        parallel: bool = True,
        control: Mapping[str, int] | None = None,
        reasoning: ReasoningStyle | None = None,
        in_reasoning: bool = False,
        quotable: Sequence[str] = (),
    ) -> str | None:
        """The grammar of a whole output, as llguidance's Lark.

        Args:
            tools: those that the model may call.
            choice: "none", "auto" (text, or calls), "required", or the name of a tool.
            parallel: more than one call is allowed.
            control: the vocabulary's control tokens, text -> id; without, markers are text.
            reasoning: how the model may reason first, in free text.
            in_reasoning: the prompt has opened the reasoning.
            quotable: where texts in arguments must be quoted, of what: chunks of `quoted.quotable`.

        Raises:
            InvalidRequestError: no such tool, or a schema that cannot be enforced.
        """
        if choice == "none" or (choice == "auto" and not tools):
            return None
        offered = list(tools.values())
        if choice not in ("auto", "required"):
            if choice not in tools:
                raise InvalidRequestError(
                    f"tool_choice names {choice!r:.80}; allowed: auto, none, required, or one of "
                    f"{', '.join(tools) or 'the tools, of which there are none'}"
                )
            offered = [tools[choice]]
        if not offered:
            raise InvalidRequestError("tool_choice is required, but there are no tools")
        lark = Lark(control, quotable)
        before = reasoning.grammar(lark, in_reasoning) if reasoning else ""
        if choice == "auto":
            output = self.optional(lark, offered, parallel)
        else:
            output = f"{lark.mark(self.trigger)} {self.rest(lark, offered, parallel)}"
        return lark.source(f"{before} {output}".strip())

    def optional(self, lark: Lark, tools: Sequence[Tool], parallel: bool) -> str:
        """The grammar of an output that may be an answer, calls, or an answer and then calls."""
        rest = self.rest(lark, tools, parallel)
        if self.anchored:
            answer = lark.text_not_beginning(self.trigger)
            return lark.any_of((answer, f"{lark.mark(self.trigger)} {rest}"))
        return lark.any_of((lark.any_text(), f"{lark.text_before(self.trigger)} {rest}"))
