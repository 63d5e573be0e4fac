"""Small real models for agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from reference.rewrite import rewrite
from reference.scripted import write_scripted
from stories import stories

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
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    template += "{% if messages[-1].role == 'tool' %}<|answer|>{% else %}<|call|>{% endif %}"
    target = tmp_path_factory.mktemp("weather") / "weather.gguf"
    cues = {"<|call|>": CALL, "<|answer|>": ANSWER}
    return write_scripted(stories(shared), target, cues, template)


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
