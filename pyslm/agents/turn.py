"""`Turn`: one request of a user in a kept conversation, and all that came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

__all__ = ["Turn", "is_cut_off", "mended"]

_INTERRUPTED = json.dumps({"error": "interrupted: it is not known whether this was done"})
_CUT_OFF = "(This reply was cut off.)"


class _Store(Protocol):
    """What turns need of the store that they are kept in."""

    def turns(self, session: str, *, before: int | None = None) -> list[list[dict[str, Any]]]: ...
    def summary(self, session: str) -> str: ...
    def leave_out(self, session: str, num_turns: int, summary: str) -> None: ...
    def append(
        self, session: str, turn: int, position: int, message: Mapping[str, Any]
    ) -> None: ...


class Turn:
    """One request in a session; its messages are stored as they come."""

    def __init__(self, store: _Store, session: str, number: int) -> None:
        self._store = store
        self._session = session
        self._position = 0
        self.number = number

    def before(self) -> list[list[dict[str, Any]]]:
        """The turns that came before this one."""
        return self._store.turns(self._session, before=self.number)

    def summary(self) -> str:
        """What stands for the turns that are left out."""
        return self._store.summary(self._session)

    def leave_out(self, num_turns: int, summary: str) -> None:
        """See `SessionStore.leave_out`."""
        self._store.leave_out(self._session, num_turns, summary)

    def add(self, message: Mapping[str, Any]) -> None:
        """Stores the next message."""
        self._store.append(self._session, self.number, self._position, message)
        self._position += 1


def mended(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A turn as templates take it: each call with its result, and an answer at the end."""
    results = {m["tool_call_id"]: dict(m) for m in messages if m.get("role") == "tool"}
    whole: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") == "tool":
            continue
        whole.append(dict(message))
        for call in message.get("tool_calls") or ():
            name = call["function"]["name"]
            lost = {"role": "tool", "tool_call_id": call["id"], "name": name}
            whole.append(results.get(call["id"]) or {**lost, "content": _INTERRUPTED})
    if whole and (whole[-1]["role"] != "assistant" or whole[-1].get("tool_calls")):
        whole.append({"role": "assistant", "content": _CUT_OFF})
    return whole


def is_cut_off(message: Mapping[str, Any]) -> bool:
    """Whether a message stands for what did not come to its end."""
    return message.get("content") in (_INTERRUPTED, _CUT_OFF)
