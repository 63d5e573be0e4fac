"""Calls are valid by construction: of tools with random schemas, by models with random weights.

Each call is found by the reader of the model's own format, parsed, validated by an independent
implementation of JSON Schema, and executed.
"""

from __future__ import annotations

import asyncio
import datetime
import decimal
import enum
import ipaddress
import json
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import numpy as np
import pydantic
import pytest
from grammar.random_schemas import random_schema
from reference.rewrite import Floats, rewrite
from stories import stories

from pyslm import LLM
from pyslm.agents import LocalModel, ModelRequest, Reply, Tool
from pyslm.agents.toolbox import Toolbox
from pyslm.chat.request import ToolChoice
from pyslm.errors import ContextLengthError

AT_ONCE = 64
CONTEXT = 16_384
TEMPLATES = {  # of models whose formats of calls differ
    "hermes": "Qwen-Qwen2.5-7B-Instruct",
    "llama3": "meta-llama-Llama-3.2-3B-Instruct",
    "mistral": "mistralai-Mistral-Nemo-Instruct-2407",
}


@pytest.fixture(scope="module", params=TEMPLATES)
def model(
    request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalModel]:
    """The size and the vocabulary of stories260K, random weights, a published model's template."""
    template = (shared / "templates" / f"{TEMPLATES[request.param]}.jinja").read_text()
    rng = np.random.default_rng(list(TEMPLATES).index(request.param))

    def drawn(tensors: dict[str, Floats]) -> dict[str, Floats]:
        return {
            name: values
            if values.ndim == 1
            else rng.normal(0, 0.06, values.shape).astype(np.float32)
            for name, values in tensors.items()
        }

    target = tmp_path_factory.mktemp("calls") / f"{request.param}.gguf"
    metadata = {
        "tokenizer.chat_template": template, "llama.context_length": CONTEXT,
        # Few and wide heads: prompts are long, and their softmax takes the most time.
        "llama.attention.head_count": 2, "llama.attention.head_count_kv": 1,
        "llama.rope.dimension_count": 32,
    }  # fmt: skip
    with LLM(
        rewrite(stories(shared), target, metadata=metadata, tensors=drawn),
        context_length=CONTEXT,
        max_sequences=AT_ONCE,
    ) as llm:
        yield LocalModel(llm)


def random_tools(rng: random.Random) -> list[Tool]:
    """One to three, of which one gets called."""
    tools = []
    for name in ("first", "second", "third")[: rng.choice([1, 1, 2, 3])]:
        schema = random_schema(rng, depth=2)
        definitions = {key: schema.pop(key) for key in ("$defs",) if key in schema}
        properties = {"a": schema, "b": {"type": "integer", "minimum": 0, "maximum": 99}}
        parameters = {
            "type": "object", "properties": properties, "required": ["a"],
            "additionalProperties": False, **definitions,
        }  # fmt: skip
        tools.append(Tool.of_schema(lambda **given: given, name, "d", parameters))
    return tools


async def called(model: LocalModel, tools: list[Tool], seed: int, max_tokens: int) -> Reply:
    request = ModelRequest(
        messages=[{"role": "user", "content": "go"}],
        tools=[tool.described() for tool in tools],
        tool_choice=ToolChoice("required"),
        parallel_tool_calls=False,
        max_tokens=max_tokens,
        temperature=(0.7, 1.0, 1.5)[seed % 3],
        seed=seed,
    )
    return await Reply.collect(model.stream(request))


async def check_call(model: LocalModel, tools: list[Tool], seed: int) -> str:
    """One call of one of some tools; how it ended."""
    try:
        reply = await called(model, tools, seed, 1000)
    except ContextLengthError:  # refused before anything is made
        return "too long"
    assert reply.finish is not None
    if reply.finish.reason == "length":  # some schemas allow keys without end
        return "length"
    assert reply.finish.reason == "tool_calls", seed
    (made,) = reply.calls
    (tool,) = [tool for tool in tools if tool.name == made.name]
    arguments = json.loads(made.arguments, parse_float=decimal.Decimal)  # no number is rounded
    jsonschema.Draft202012Validator(dict(tool.parameters)).validate(arguments)
    (result,) = await Toolbox(tools).run([made])
    assert (result.outcome, seed) == ("ok", seed)
    assert json.loads(result.content) == json.loads(made.arguments)
    return "ok"


async def check_calls(model: LocalModel, seeds: range, calls_each: int) -> Counter[str]:
    """Of as many calls each tools have, one follows the other, so that their prompt is read once;
    calls of others run at the same time."""
    groups = iter(range(seeds.start, seeds.stop, calls_each))
    ends: Counter[str] = Counter()

    async def some() -> None:
        for first in groups:
            tools = random_tools(random.Random(first))
            for seed in range(first, min(first + calls_each, seeds.stop)):
                ends[await check_call(model, tools, seed)] += 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(AT_ONCE):
            tasks.create_task(some())
    return ends


@pytest.mark.parametrize(
    ("seeds", "calls_each"),
    [
        (range(34), 1),
        pytest.param(
            range(1000, 34_334), 10, marks=[pytest.mark.slow, pytest.mark.timeout(6 * 3600)]
        ),
    ],
    ids=["34", "33334"],
)
def test_calls_parse_validate_and_run(model: LocalModel, seeds: range, calls_each: int) -> None:
    """A hundred in all; with `-m slow`, a hundred thousand of ten thousand sets of tools."""
    ends = asyncio.run(check_calls(model, seeds, calls_each))
    print(dict(ends))
    assert ends["ok"] > 0.9 * len(seeds)


class Unit(enum.Enum):
    KG = "kg"
    LB = "lb"


class Item(pydantic.BaseModel):
    sku: Literal["x1", "x2"]
    count: int = pydantic.Field(ge=1, le=9)
    instead: Item | None = None


TYPES = [
    datetime.date, datetime.datetime, datetime.time, datetime.timedelta, uuid.UUID,
    ipaddress.IPv4Address, Path, bytes, bool, str, Unit, Item, list[bool], tuple[bool, str],
    set[Unit], frozenset[Literal[1, "a"]], Unit | None, list[Item],
    Annotated[decimal.Decimal, pydantic.Field(ge=0, le=1)],
    Annotated[int, pydantic.Field(ge=3, le=90, multiple_of=3)],
    Annotated[str, pydantic.Field(pattern="^[A-Z]{2}-[0-9]{3}$")],
]  # fmt: skip


@pytest.mark.parametrize("model", ["hermes"], indirect=True)
@pytest.mark.parametrize("kind", TYPES, ids=str)
def test_what_a_schema_allows_the_type_takes(model: LocalModel, kind: Any) -> None:
    """Of Python functions: no call that the grammar lets through is refused by the types."""
    seen: list[Any] = []

    def function(value: Any) -> str:
        seen.append(value)
        return "ok"

    function.__annotations__["value"] = kind
    tool = Tool(function)

    async def call(seed: int) -> str:
        reply = await called(model, [tool], seed, 300)
        assert reply.finish is not None
        if reply.finish.reason == "length":
            return "length"
        (result,) = await Toolbox([tool]).run(reply.calls)
        assert result.ok, (result.call.arguments, result.content)
        return "ok"

    async def main() -> Counter[str]:
        return Counter(await asyncio.gather(*map(call, range(1, 13))))

    assert asyncio.run(main())["ok"] > 0
    for value in seen:
        pydantic.TypeAdapter(kind).validate_python(value, strict=True)
