"""Clients and tools for agents of Microsoft Agent Framework."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from reference.framework_script import CUES, REPLIES
from reference.scripted import write_scripted
from stories import stories

from pyslm import LLM


@pytest.fixture(scope="module")
def llm(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    """A model that asks for the weather and then tells it; as a desk it hands over, as a chair it
    gives the word to the expert once, and as a manager it plans and keeps the ledger."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    folder = tmp_path_factory.mktemp("framework")
    with LLM(write_scripted(stories(shared), folder / "m.gguf", REPLIES, template + CUES)) as llm:
        yield llm


@pytest.fixture
def client(llm: LLM) -> Any:
    from pyslm.agents.agent_framework import PySLMChatClient

    return PySLMChatClient(llm)


@pytest.fixture
def asked() -> list[tuple[str, int]]:
    """What the tool was called with."""
    return []


@pytest.fixture
def weather(asked: list[tuple[str, int]]) -> Any:
    from agent_framework import tool

    @tool(approval_mode="never_require")
    def get_weather(city: str, days: int) -> str:
        """Tells the weather."""
        asked.append((city, days))
        return f"sunny in {city}"

    return get_weather
