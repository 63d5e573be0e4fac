"""What agents remember beyond a session, as tools that the model may call."""

from __future__ import annotations

from typing import Annotated

import pydantic

from pyslm.agents.state.sessions import SessionStore
from pyslm.agents.tools import Tool

__all__ = ["memory_tools"]

_Fact = Annotated[str, pydantic.Field(min_length=1, max_length=2000)]


def memory_tools(store: SessionStore, agent: str, user: str = "") -> list[Tool]:
    """`remember` and `recall`, for one agent and one user."""

    def remember(fact: _Fact) -> str:
        """Remember a fact for later conversations.

        Args:
            fact: one sentence that stands for itself
        """
        store.remember(fact, scope=agent, user=user)
        return "remembered"

    def recall(query: str = "") -> list[str]:
        """Look up what was remembered in earlier conversations.

        Args:
            query: words of what is sought; empty: the latest facts
        """
        return [memory.text for memory in store.recall(query, scope=agent, user=user)]

    return [Tool(remember, builtin=True), Tool(recall, builtin=True)]
