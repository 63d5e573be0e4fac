"""Which argument to ask for: the one whose value the best call had to make up.

A very small model knows that something is missing before it knows what: its question may name an
argument that was given. The call that it would make tells: a value that was said is copied with
certainty, and one that was not is drawn from anywhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence

from pyslm.chat.tools import Tool
from pyslm.identifiers import spoken
from pyslm.tokenizer import Tokenizer

__all__ = ["Question"]

_SURE = math.log(0.9)
"""Likelier values were said; where all are, the model asks as it does by itself."""


class Question:
    """How one model asks for arguments of the tools of a request."""

    def __init__(
        self, text: str, tokenizer: Tokenizer, tools: Mapping[tuple[int, ...], Tool]
    ) -> None:
        """
        Args:
            text: with `{}` where the argument's name stands.
            tools: by the tokens of their calls, up to the arguments.
        """
        self._text = text
        self._tokenizer = tokenizer
        self._tools = tools
        self.opening = self._encoded(text.partition("{}")[0].rstrip())[0]
        """The token that questions begin with."""

    def about(
        self, head: tuple[int, ...], call: Sequence[int], logprobs: Sequence[float]
    ) -> tuple[int, ...] | None:
        """Asks for the required argument that is least certain; None: all are certain.

        Args:
            head: what the call begins with, up to its arguments.
            call: its tokens.
            logprobs: of each of them.
        """
        tool = self._tools[head]
        doubts = self._doubts(list(tool.properties), call, logprobs)
        required = [key for key in tool.parameters.get("required") or () if key in doubts]
        key = min(required, key=lambda key: doubts[key], default=None)
        if key is None or doubts[key] > _SURE:
            return None
        return tuple(self._encoded(self._text.replace("{}", spoken(key))))

    def _doubts(
        self, keys: Sequence[str], ids: Sequence[int], logprobs: Sequence[float]
    ) -> dict[str, float]:
        """Log-probability of each argument's value, by its key; `keys` are in their order."""
        call = self._tokenizer.decode(list(ids))
        ends = [len(self._tokenizer.decode(list(ids[: i + 1]))) for i in range(len(ids))]
        values: list[tuple[str, int]] = []
        borders = []
        for key in keys:
            written = re.compile(re.escape(json.dumps(key, ensure_ascii=False)) + r":\s*")
            if found := written.search(call, values[-1][1] if values else 0):
                values.append((key, found.end()))
                borders.append(found.start())
        return {
            key: sum(p for p, end in zip(logprobs, ends, strict=True) if begin < end <= until)
            for (key, begin), until in zip(values, [*borders, len(call)][1:], strict=True)
        }

    def _encoded(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False)
