"""The conversation of one request: what came before it, what it adds, and what of it fits.

Prompts only grow, so that each begins with the one before and a prefix cache computes no more than
what is new. When a prompt does not fit, so many old turns go at once that the next ones do.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from pyslm.agents.models.model import ChatModel, Message

__all__ = ["DEFAULT_CONTEXT", "History", "Kept", "turns_of"]

DEFAULT_CONTEXT = 4096
"""Tokens, of a model that does not say."""
_KEPT_SHARE = 0.7  # of the room that there is, after old turns went
_TOKENS_PER_MESSAGE = 16  # of the template, at most
_SHORT_CHARS = 200
_SUMMARY = "Summary of what was said before:\n"

Summarizer = Callable[[Sequence[Message], str], Awaitable[str]]
"""Makes one summary of messages and of the summary of what came before them."""


class Kept(Protocol):
    """Where a conversation is kept, if it is."""

    def add(self, message: Mapping[str, Any]) -> None:
        """A message has been said."""
        ...

    def leave_out(self, num_turns: int, summary: str) -> None:
        """The oldest turns are not given to the model any more."""
        ...


class History:
    """Messages in OpenAI's shape; the system message stands apart."""

    def __init__(
        self,
        system: str = "",
        turns: Sequence[Sequence[Message]] = (),
        *,
        room_for_reply: int = 512,
        context_tokens: int | None = None,
        kept: Kept | None = None,
        trail: list[Message] | None = None,
        summary: str = "",
        summarize: Summarizer | None = None,
    ) -> None:
        """
        Args:
            system: the system message; empty: none.
            turns: the conversation so far, turn by turn.
            room_for_reply: tokens that the prompt leaves free.
            context_tokens: of prompt and reply; None: as the model says.
            kept: where it is kept; None: nowhere.
            trail: gets each message that is added, too.
            summary: of what came before `turns`.
            summarize: None: what does not fit is left out without a word.
        """
        self._system = system
        self._turns = [[dict(message) for message in turn] for turn in turns]
        self._added: list[dict[str, Any]] = []
        self._room_for_reply = room_for_reply
        self._context_tokens = context_tokens
        self._kept = kept
        self._trail = trail
        self._summary = summary
        self._summarize = summarize
        self._known = (0, 0)  # (messages, tokens at most of a prompt of these)

    @property
    def added(self) -> list[dict[str, Any]]:
        """What this request has added."""
        return self._added

    @property
    def before(self) -> list[dict[str, Any]]:
        """What came before this request, as far as it is still told."""
        return [message for turn in self._turns for message in turn]

    def add(self, message: Mapping[str, Any]) -> None:
        """Goes on."""
        self._added.append(dict(message))
        if self._trail is not None:
            self._trail.append(dict(message))
        if self._kept is not None:
            self._kept.add(message)

    async def prompt(self, model: ChatModel, tools: Sequence[Mapping[str, Any]]) -> list[Message]:
        """What the model is given: all of it, or as much as fits."""
        messages = self._messages()
        limit = await self._limit(model, messages)
        if self._at_most(messages, tools) <= limit:
            return messages
        if await self._count(model, messages, tools) > limit:
            await self._leave_out_turns(model, tools, limit)
            messages = await self._with_short_results(model, tools, limit)
        return messages

    def _messages(self) -> list[Message]:
        system = self._system
        if self._summary:
            system = "\n\n".join(part for part in (system, _SUMMARY + self._summary) if part)
        first = [{"role": "system", "content": system}] if system else []
        return [*first, *(message for turn in self._turns for message in turn), *self._added]

    async def _limit(self, model: ChatModel, messages: Sequence[Message]) -> int:
        if self._context_tokens is None and model.context_length is None:
            await model.count_tokens(messages[:1] or [{"role": "user", "content": ""}])
        context = self._context_tokens or model.context_length or DEFAULT_CONTEXT
        return max(context - min(self._room_for_reply, context // 2), 1)

    def _at_most(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> int:
        """Tokens, without counting them: none is shorter than a byte."""
        num_known, num_tokens = self._known
        if num_known > len(messages) or not num_known:
            num_known, num_tokens = 0, sum(map(_num_bytes, tools))
        new = messages[num_known:]
        num_tokens += sum(map(_num_bytes, new)) + _TOKENS_PER_MESSAGE * len(new)
        self._known = (len(messages), num_tokens)
        return num_tokens

    async def _count(
        self, model: ChatModel, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> int:
        count = await model.count_tokens(messages, tools)
        self._known = (len(messages), count)
        return count

    async def _leave_out_turns(
        self, model: ChatModel, tools: Sequence[Mapping[str, Any]], limit: int
    ) -> None:
        """The oldest, as few as bring the rest below a share of the limit."""
        if not self._turns:
            return
        turns = self._turns
        low, high = 1, len(turns)
        while low < high:  # the smallest number of turns to leave out
            middle = (low + high) // 2
            self._turns = turns[middle:]
            if await self._count(model, self._messages(), tools) <= limit * _KEPT_SHARE:
                high = middle
            else:
                low = middle + 1
        gone, self._turns = turns[:low], turns[low:]
        if self._summarize is not None:
            said = [message for turn in gone for message in turn]
            self._summary = await self._summarize(said, self._summary)
        if self._kept is not None:
            self._kept.leave_out(len(gone), self._summary)

    async def _with_short_results(
        self, model: ChatModel, tools: Sequence[Mapping[str, Any]], limit: int
    ) -> list[Message]:
        """Where one turn alone is too long: its results shortened, from the oldest on."""
        count = await self._count(model, self._messages(), tools)
        for message in self._added:
            content = str(message.get("content"))
            if count <= limit:
                break
            if message["role"] == "tool" and len(content) > 2 * _SHORT_CHARS:
                left_out = len(content) - _SHORT_CHARS
                # Here, for all further prompts; what is kept on disk stays whole.
                message["content"] = (
                    f"{content[:_SHORT_CHARS]}\n[left out: {left_out} more characters]"
                )
                count = await self._count(model, self._messages(), tools)
        return self._messages()


def turns_of(messages: Sequence[Message]) -> list[list[Message]]:
    """A conversation turn by turn: each begins with what the user says."""
    turns: list[list[Message]] = []
    for message in messages:
        if message.get("role") == "user" or not turns:
            turns.append([])
        turns[-1].append(message)
    return turns


def _num_bytes(value: Mapping[str, Any]) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))
