"""The conversation of one request: what came before it, and what it adds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pyslm.agents.models.model import ChatModel, Message

__all__ = ["History"]


class History:
    """Messages in OpenAI's shape; the system message stands apart."""

    def __init__(
        self,
        system: str = "",
        before: Sequence[Message] = (),
        *,
        keep: Callable[[Message], None] | None = None,
    ) -> None:
        """
        Args:
            system: the system message; empty: none.
            before: the conversation so far.
            keep: told of each message that is added, as it is added.
        """
        self._system = system
        self._before = [dict(message) for message in before]
        self._added: list[dict[str, Any]] = []
        self._keep = keep

    @property
    def added(self) -> list[dict[str, Any]]:
        """What this request has added."""
        return self._added

    def add(self, message: Mapping[str, Any]) -> None:
        """Goes on."""
        self._added.append(dict(message))
        if self._keep is not None:
            self._keep(message)

    async def prompt(
        self,
        model: ChatModel,  # noqa: ARG002
        tools: Sequence[Mapping[str, Any]],  # noqa: ARG002
    ) -> list[Message]:
        """What the model is given."""
        system = [{"role": "system", "content": self._system}] if self._system else []
        return [*system, *self._before, *self._added]
