"""Agents on models in this process: what is called is valid, whatever the model."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest

from pyslm import LLM, AsyncLLM
from pyslm.agents import Agent, Config, LocalModel, ModelPool, ModelRequest, Reply, Tool
from pyslm.agents.models.choose import as_model
from pyslm.agents.toolbox import Toolbox
from pyslm.chat.request import ToolChoice
from pyslm.errors import InsufficientMemoryError, ModelNotFoundError


def get_weather(city: str, days: int) -> str:
    """Tells the weather."""
    return f"sunny in {city} for {days} days"


@pytest.mark.parametrize("kind", ["llm", "async", "path"])
def test_call_result_answer(weather_llm: LLM, weather_model: Path, kind: str) -> None:
    given = {"llm": weather_llm, "async": AsyncLLM(weather_llm), "path": weather_model}[kind]
    agent = Agent(Config(max_tokens=50), model=given, tools=[get_weather])
    result = asyncio.run(agent.run("How will the weather be in Oslo?"))
    assert result.text == "It will be sunny in Oslo."
    assert [each.content for each in result.tool_results] == ["sunny in Oslo for 2 days"]
    assert result.usage.cached_tokens > 0  # the second prompt begins with the first


def test_texts_come_as_they_are_made(weather_llm: LLM) -> None:
    agent = Agent(model=weather_llm, tools=[get_weather])
    pieces = list(agent.stream("How will the weather be in Oslo?"))
    assert "".join(pieces) == "It will be sunny in Oslo."
    assert len(pieces) >= 3


def test_calls_of_python_functions_are_valid(babbling_llm: LLM) -> None:
    """Schemas as pydantic writes them: enums, bounds, nested models, unions."""

    class Item(pydantic.BaseModel):
        sku: Literal["x1", "x2"]
        count: int = pydantic.Field(ge=1, le=9)

    def order(
        items: list[Item], unit: Literal["kg", "lb"], note: Literal["a", "b"] | None = None
    ) -> int:
        assert all(isinstance(item, Item) for item in items)
        assert unit in ("kg", "lb")
        assert note in ("a", "b", None)
        return len(items)

    tool = Tool(order)

    async def main() -> None:
        for seed in range(8):
            request = ModelRequest(
                messages=[{"role": "user", "content": "go"}], tools=[tool.described()],
                tool_choice=ToolChoice("required"), max_tokens=300, temperature=1.0, seed=seed,
            )  # fmt: skip
            reply = await Reply.collect(LocalModel(babbling_llm).stream(request))
            for result in await Toolbox([tool]).run(reply.calls):
                assert result.ok

    asyncio.run(main())


class Ticket(pydantic.BaseModel):
    title: Literal["broken", "lost"]
    priority: int = pydantic.Field(ge=1, le=5)


def test_structured_answers_of_a_model_that_says_anything(babbling_llm: LLM) -> None:
    agent = Agent(Config(temperature=1.0), model=babbling_llm)
    for _ in range(5):
        assert agent.chat("?", response_format=Ticket).priority in range(1, 6)


def test_a_choice_is_one_constrained_step(babbling_llm: LLM) -> None:
    request = ModelRequest(
        messages=[{"role": "user", "content": "?"}], choice=["billing", "support"], max_tokens=8
    )
    reply = asyncio.run(Reply.collect(LocalModel(babbling_llm).stream(request)))
    assert reply.text in ("billing", "support")


def test_tokens_are_counted_as_the_model_counts(weather_llm: LLM) -> None:
    messages = [{"role": "user", "content": "How are you?"}]
    model = LocalModel(weather_llm)
    assert asyncio.run(model.count_tokens(messages)) == len(weather_llm.encode_chat(messages))
    tools = [Tool(get_weather).described()]
    with_tools = asyncio.run(model.count_tokens(messages, tools))
    assert with_tools == len(weather_llm.encode_chat(messages, tools))


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    agent = Agent(Config(model_provider="local", model_alias=str(tmp_path / "no.gguf")))
    with pytest.raises(ModelNotFoundError):
        agent.chat("hi")


class FakeLLM:
    """What a pool needs of an `LLM`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.closed = False

    def close(self) -> None:
        self.closed = True


def test_the_pool_shares_and_evicts(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.gguf" for name in "abc"]
    for file in files:
        file.write_bytes(bytes(100))
    loads: list[Any] = []

    def load(path: Path) -> Any:
        loads.append(FakeLLM(path))
        return loads[-1]

    pool = ModelPool(250, load)
    a, b, c = files
    with pool.use(a) as one, pool.use(a) as other:
        assert one is other
    with pool.use(b):
        pass
    assert pool.num_bytes == 200
    with pool.use(c), pool.use(b):  # a is idle and goes
        assert [model.path.name for model in pool.loaded()] != []
        assert loads[0].closed
        with pytest.raises(InsufficientMemoryError, match=r"a\.gguf"), pool.use(a):
            pass
    assert [each.path for each in loads] == [a, b, c]
    assert pool.unload_idle(60.0) == []
    assert {path.name for path in pool.unload_idle()} == {"b.gguf", "c.gguf"}
    assert all(each.closed for each in loads)
    assert pool.num_bytes == 0


def test_a_load_that_fails_leaves_the_pool_as_it_was(tmp_path: Path) -> None:
    def load(path: Path) -> Any:
        raise OSError(f"broken: {path}")

    pool = ModelPool(None, load)
    with pytest.raises(OSError, match="broken"), pool.use(tmp_path / "a.gguf"):
        pass
    assert pool.loaded() == []
    assert pool.num_bytes == 0


def test_models_in_the_pool_are_loaded_again(weather_model: Path) -> None:
    pool = ModelPool()
    model = as_model(weather_model, pool)
    asked = ModelRequest(messages=[{"role": "user", "content": "?"}], max_tokens=5)
    for _ in range(2):
        reply = asyncio.run(Reply.collect(model.stream(asked)))
        assert reply.finish is not None
        assert pool.unload_idle() == [weather_model.resolve()]
