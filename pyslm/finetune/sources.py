"""Where in a conversation stands what the model is to copy: names, keys and values of calls.

Heads are told to look there: while a little of every name is better than none, the loss of what is
said hardly tells one of them which to prefer.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from pyslm.finetune.dialect import ARGUMENTS, CALL, CONTROL

__all__ = ["Sources"]

_CONTROL = "|".join(map(re.escape, CONTROL))
_CALLED = re.compile(rf"{re.escape(CALL)}(.*?){re.escape(ARGUMENTS)}(.*?)(?={_CONTROL}|$)", re.S)
_STRING = r'"(?:[^"\\]|\\.)*"'
# Of byte-level tokens: "Ġ" is a space.
_ARGUMENT = re.compile(rf'[{{,]Ġ?"([^"\\]+)":Ġ?({_STRING}|\[[^\]]*\]|[^,}}]+)')
_WHOLE = r"(?<![0-9A-Za-z]){}(?![0-9A-Za-z]|\.[0-9])"  # a 5, and not that of 15 or of 5.5
_ITEM = re.compile(rf"{_STRING}|[^\[\],Ġ]+")


class Sources:
    """Finds them in the conversations of one scene."""

    def __init__(self, prefix: Sequence[str]) -> None:
        """`prefix` are the tokens, as texts, of the system prompt and the tools."""
        self._prefix = list(prefix)
        self._text = "".join(prefix)
        self._tools = {m[1]: m for m in _CALLED.finditer(self._text)}

    def find(self, tokens: Sequence[str], is_route: bool) -> list[tuple[int, int]]:
        """Pairs of tokens: the first that is copied, and where it is copied from.

        Args:
            tokens: of a conversation, as texts.
            is_route: the answer is the name of an agent in the system prompt.

        Returns:
            Places in the conversation and in prefix and conversation together.
        """
        everything = [*self._prefix, *tokens]
        text = "".join(everything)
        ends = itertools.accumulate(map(len, everything), initial=0)
        place = {start: i for i, start in enumerate(ends)}
        pairs = self._route(text) if is_route else self._calls(text)
        first = len(self._prefix)
        return [(place[to] - first, place[of]) for to, of in pairs if to in place and of in place]

    def _route(self, text: str) -> Iterator[tuple[int, int]]:
        begin = text.rindex("<|assistant|>") + len("<|assistant|>")
        name = text[begin:].partition("<|end|>")[0]
        # Where the agent is described, not where another's description has the word.
        described = re.compile(rf"(?<![0-9A-Za-z_.]){re.escape(name)}(?=:|Ġ-|Ġ\()")
        if found := described.search(self._text):
            yield begin, found.start()

    def _calls(self, text: str) -> Iterator[tuple[int, int]]:
        for call in _CALLED.finditer(text, len(self._text)):
            tool = self._tools.get(call[1])
            if tool is None:
                continue
            yield call.start(1), tool.start(1)
            request = text.rindex("<|user|>", 0, call.start())
            for argument in _ARGUMENT.finditer(text, call.start(2), call.end(2)):
                key = self._text.find(f'"{argument[1]}":', tool.start(2), tool.end(2))
                if key < 0:
                    continue
                yield argument.start(1), key + 1
                for item in _ITEM.finditer(text, argument.start(2), argument.end(2)):
                    quoted = item[0].startswith('"')
                    begin, value = item.start() + quoted, item[0].strip('"')
                    whole = re.compile(_WHOLE.format(re.escape(value)))
                    found = whole.search(text, request, call.start())
                    if found is None and quoted:  # an allowed value, in other words
                        found = whole.search(self._text, key, tool.end(2))
                    if value and found is not None:
                        yield begin, found.start()
