"""Small real models for agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from reference.rewrite import rewrite
from stories import calling_model, stories

from pyslm import LLM

CALL = [
    "<tool_call>\n",
    '{"name": "get_weather", "arguments": {"city": "Oslo", ',
    '"days": 2}}',
    "\n</tool_call>",
]
ANSWER = ["It will be ", "sunny ", "in Oslo."]


@pytest.fixture(scope="session")
def weather_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One that asks for the weather, and then tells it."""
    target = tmp_path_factory.mktemp("weather") / "weather.gguf"
    return calling_model(shared, target, CALL, ANSWER)


@pytest.fixture(scope="session")
def weather_llm(weather_model: Path) -> Iterator[LLM]:
    with LLM(weather_model) as llm:
        yield llm


@pytest.fixture(scope="session")
def babbling_llm(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    """stories260K with the template of Qwen2.5: it has never seen a tool, and says anything."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    target = tmp_path_factory.mktemp("babble") / "babble.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 4096}
    with LLM(rewrite(stories(shared), target, metadata=metadata)) as llm:
        yield llm
