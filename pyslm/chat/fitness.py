"""How well tools, and described choices, fit what a conversation begins with."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyslm.chat.call_values import call_values, saying
from pyslm.chat.exchanges import text_of
from pyslm.chat.nearness import Nearness, NearnessWeights
from pyslm.chat.tools import Tool
from pyslm.identifiers import spoken

__all__ = ["Fit", "Fitness", "request_of"]

_BULLET = re.compile(r"^\s*(?:[-*+•]|\d+[.)])?\s*")


def request_of(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """What a user asks at the beginning; None: it has gone on since, and takes all to understand.

    An answer to a question, or "and tomorrow?", is near to nothing.
    """
    said = [message for message in messages if message.get("role") not in ("system", "developer")]
    if len(said) != 1 or said[0].get("role") != "user":
        return None
    return text_of(said[0])


@dataclasses.dataclass(frozen=True, slots=True)
class Fit:
    """What nearness in meaning says of calls."""

    of: Callable[[tuple[int, ...], Sequence[int]], float]
    """The cosine of a call, given by its head and the tokens of its arguments."""
    weights: NearnessWeights
    refusal: int
    """The token that refusals begin with, and no other answer."""


class Fitness:
    """Of one request."""

    def __init__(self, nearness: Nearness, request: str) -> None:
        self._nearness = nearness
        self._request = request
        self.weights = nearness.weights

    def of_call(self, tool: Tool, arguments: str) -> float:
        """Cosine of a tool and of the request: the mean of that with and of that without what the
        values of `arguments` say in it.

        Most values tell nothing of what is to be done with them; some do, as "rain" in a title.
        """
        rest, about = self._request, _about(tool)
        found = {value.said for value in call_values(arguments)}
        for value in sorted(found, key=len, reverse=True):
            rest = saying(value).sub(" ", rest)
        whole, beside = (self._nearness.cosine(text, about) for text in (self._request, rest))
        return (whole + beside) / 2

    def of_choices(
        self, choices: Sequence[str], messages: Sequence[Mapping[str, Any]]
    ) -> list[float] | None:
        """Cosines of the request and of what a list in a system prompt says of each choice; None:
        it does not speak of all."""
        said = "\n".join(text_of(message) or "" for message in messages[:-1])
        lines = [_BULLET.sub("", line) for line in said.splitlines()]
        found = []
        for choice in choices:
            about = [line for line in lines if _begins(line, choice)]
            if not choice.strip() or len(about) != 1:
                return None
            name, rest = spoken(choice), about[0][len(choice) :]
            found.append(self._nearness.cosine(self._request, f"{name}. {rest.strip(' :-(),')}"))
        return found


def _about(tool: Tool) -> str:
    """What a tool is for, and what it takes."""
    said = [spoken(tool.name), tool.description]
    for key, schema in tool.properties.items():
        described = schema.get("description") if isinstance(schema, Mapping) else None
        said.append(f"{spoken(key)} {described or ''}")
    return ". ".join(said)


def _begins(line: str, name: str) -> bool:
    rest = line[len(name) :]
    return line.startswith(name) and bool(rest) and not (rest[0].isalnum() or rest[0] == "_")
