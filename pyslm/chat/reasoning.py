"""What a model thinks before it answers, told apart from the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyslm.chat.reader import Reader, Steps

if TYPE_CHECKING:
    from pyslm.chat.tool_formats.lark import Lark

__all__ = ["REASONING_STYLES", "ReasoningStyle", "detect_reasoning"]


@dataclass(frozen=True, slots=True)
class ReasoningStyle:
    """A pair of markers, around text at the start of an output.

    `markers` are those of their parts that may be control tokens.
    """

    name: str
    opening: tuple[str, ...]
    """What opens it: marker after marker, each a control token or text."""
    closing: str

    @property
    def markers(self) -> tuple[str, ...]:
        return (*self.opening, self.closing)

    def opened_by(self, prompt: str) -> bool:
        """Whether the prompt has opened the reasoning, so that the output starts inside it."""
        return prompt.rstrip().endswith("".join(self.opening).rstrip())

    def read(self, reader: Reader, opened: bool) -> Steps[None]:
        """Tells reasoning at the start of an output; the white space after it is dropped."""
        if not opened:
            yield from reader.skip_space()
            for part in self.opening:
                if not (yield from reader.take(reader.markers[part])):
                    reader.pos = 0
                    return
            reader.drop(reader.pos)
        closing, *opening = (reader.markers[part] for part in (self.closing, *self.opening))
        yield from reader.skip_space()  # some write the opening again that the prompt has written
        at = reader.pos
        for part in opening:
            if not (yield from reader.take(part)):
                reader.pos = at
                break
        reader.drop(reader.pos)
        yield from reader.reasoning_until(closing)
        yield from reader.skip_space()
        reader.drop(reader.pos)

    def grammar(self, lark: Lark, opened: bool) -> str:
        """Reasoning in any words, before what is constrained."""
        space = "/[ \\n]{0,2}/"
        rest = f"{lark.text_before(self.closing)} {space}"
        if opened:
            return rest
        opening = " ".join(map(lark.mark, self.opening))
        return f"({opening} {rest})?"


REASONING_STYLES = {
    style.name: style
    for style in (
        ReasoningStyle("think", ("<think>",), "</think>"),
        ReasoningStyle("think_brackets", ("[THINK]",), "[/THINK]"),
        ReasoningStyle("thought_channel", ("<|channel>", "thought\n"), "<channel|>"),
        ReasoningStyle("seed", ("<seed:think>",), "</seed:think>"),
    )
}


def detect_reasoning(template: str | None) -> ReasoningStyle | None:
    """How a model with this chat template marks its reasoning; None if it does not, or if its tool
    format frames the reasoning too."""
    for style in REASONING_STYLES.values():
        if template and style.closing in template:
            return style
    return None
