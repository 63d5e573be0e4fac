"""Microsoft Agent Framework, unmodified, on our engine in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, Literal

import numpy as np
import pydantic
import pytest
from reference.framework_script import ANSWER, QUESTION

from pyslm import LLM, AsyncLLM
from pyslm.errors import AgentConfigError, InvalidRequestError

pytest.importorskip("agent_framework", reason="needs the extra 'agent-framework'")

from agent_framework import (
    Agent,
    Content,
    Message,
    SupportsChatGetResponse,
    TokenizerProtocol,
    tool,
)
from agent_framework.exceptions import (
    ChatClientException,
    ChatClientInvalidRequestException,
)

from pyslm.agents.agent_framework import (
    PySLMChatClient,
    PySLMEmbeddingClient,
    PySLMTokenizer,
)

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own


# --- the client -------------------------------------------------------------------------------


def test_it_is_a_chat_client(client: PySLMChatClient) -> None:
    assert isinstance(client, SupportsChatGetResponse)
    assert client.service_url() == "localhost"
    assert client.STORES_BY_DEFAULT is False
    json.dumps(client.to_dict())  # as the framework keeps clients


@pytest.mark.parametrize("stream", [False, True])
def test_an_agent_calls_its_tool_and_answers(
    client: PySLMChatClient, weather: Any, asked: list[Any], stream: bool
) -> None:
    async def run() -> Any:
        agent = Agent(client, instructions="Be brief.", tools=[weather])
        if not stream:
            return await agent.run(QUESTION)
        found = agent.run(QUESTION, stream=True)
        texts = [update.text async for update in found]
        assert len([text for text in texts if text]) >= 3
        return await found.get_final_response()

    answer = asyncio.run(run())
    assert asked == [("Oslo", 2)]
    assert answer.text == "".join(ANSWER)
    kinds = [content.type for message in answer.messages for content in message.contents]
    kinds = [kind for kind in kinds if kind != "usage"]
    assert kinds == ["function_call", "function_result", "text"]
    usage = answer.usage_details
    assert usage["total_token_count"] == usage["input_token_count"] + usage["output_token_count"]
    assert usage["output_token_count"] > 0


@pytest.mark.parametrize("kind", ["async", "path"])
def test_models_of_other_kinds(llm: LLM, kind: str) -> None:
    model = AsyncLLM(llm) if kind == "async" else llm.info.path
    response = asyncio.run(PySLMChatClient(model).get_response([Message("user", [QUESTION])]))
    assert response.text == "".join(ANSWER)
    assert (response.model, response.finish_reason) == ("m", "stop")
    assert response.response_id


def test_sessions_go_on(client: PySLMChatClient) -> None:
    async def run() -> Any:
        agent = Agent(client)
        session = agent.create_session()
        first = await agent.run(QUESTION, session=session)
        second = await agent.run("And then?", session=session)
        return first.usage_details, second.usage_details

    first, second = asyncio.run(run())
    assert second["input_token_count"] > first["input_token_count"]
    assert second["cache_read_input_token_count"] > 0  # the first turn is not computed again


class Place(pydantic.BaseModel, extra="forbid"):
    city: Literal["Oslo", "Rome"]
    days: int = pydantic.Field(ge=0, le=9)


OPENAI_FORM = {
    "type": "json_schema",
    "json_schema": {"name": "place", "strict": True, "schema": Place.model_json_schema()},
}


@pytest.mark.parametrize("form", [Place, Place.model_json_schema(), OPENAI_FORM])
@pytest.mark.parametrize("stream", [False, True])
def test_answers_of_a_form(babbling_llm: LLM, form: Any, stream: bool) -> None:
    """A model that says anything says this."""
    client = PySLMChatClient(babbling_llm)
    options: Any = {"response_format": form, "max_tokens": 400, "temperature": 1.0, "seed": 3}

    async def run() -> Any:
        found = client.get_response([Message("user", ["Where?"])], stream=stream, options=options)
        return await (found.get_final_response() if stream else found)

    response = asyncio.run(run())
    place = Place.model_validate_json(response.text)
    if form is Place:
        assert response.value == place


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("choice", ["required", "named", "allowed"])
def test_calls_of_a_model_that_says_anything_are_valid(
    babbling_llm: LLM, choice: str, stream: bool
) -> None:
    places: list[Place] = []

    @tool(approval_mode="never_require")
    def go(place: Place) -> str:
        """Goes there."""
        places.append(Place.model_validate(place))
        return "there"

    @tool(approval_mode="never_require")
    def stay() -> str:
        """Stays here."""
        raise AssertionError("not allowed")

    mode: Any = {
        "required": "required",
        "named": {"mode": "required", "required_function_name": "go"},
        "allowed": {"mode": "required", "allowed_tools": ["go"]},
    }[choice]
    tools = [go] if choice == "required" else [stay, go]
    options: Any = {"tool_choice": mode, "allow_multiple_tool_calls": False, "max_tokens": 600,
                    "temperature": 1.0, "seed": 5}  # fmt: skip

    async def run() -> Any:
        agent = Agent(PySLMChatClient(babbling_llm), tools=tools)
        if not stream:
            return await agent.run("Go.", options=options)
        return await agent.run("Go.", options=options, stream=True).get_final_response()

    asyncio.run(run())
    assert len(places) == 1


def test_options_reach_the_engine(babbling_llm: LLM) -> None:
    client = PySLMChatClient(babbling_llm)

    def said(**options: Any) -> Any:
        given: Any = {"temperature": 1.0, "max_tokens": 20, "seed": 1, **options}
        return asyncio.run(client.get_response([Message("user", ["Hi"])], options=given))

    once = said()
    assert once.finish_reason == "length"
    assert once.usage_details["output_token_count"] == 20
    assert said().text == once.text
    assert said(seed=2).text != once.text
    stop = once.text[6:9]
    assert said(stop=[stop]).text.strip() == once.text.partition(stop)[0].strip()
    assert said(top_k=1, seed=1).text == said(top_k=1, seed=2).text == said(temperature=0.0).text
    token = babbling_llm.tokenize("a", add_special_tokens=False)[-1]
    assert set(said(logit_bias={str(token): 100.0}).text.replace(" ", "")) == {"a"}
    assert said(instructions="Be brief.").text != once.text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temprature": 1.0}, "did you mean temperature"),
        ({"top_k": -1}, "top_k"),
        ({"instructions": "word " * 5000}, "context"),
        ({"tools": [{"type": "web_search"}]}, "allowed: functions"),
        ({"response_format": {"type": "nonsense"}}, "no JSON schema"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_there_is_not(
    client: PySLMChatClient, options: dict[str, Any], said: str, stream: bool
) -> None:
    async def run() -> None:
        found: Any = client.get_response([Message("user", ["Hi"])], stream=stream, options=options)
        await (found.get_final_response() if stream else found)

    with pytest.raises(ChatClientInvalidRequestException, match=said):
        asyncio.run(run())


def test_pictures_are_refused(client: PySLMChatClient) -> None:
    picture = Content.from_data(b"\x89PNG", media_type="image/png")
    with pytest.raises(ChatClientInvalidRequestException, match="holds data; allowed: text"):
        asyncio.run(client.get_response([Message("user", ["See:", picture])]))


def test_models_that_are_not_there(client: PySLMChatClient) -> None:
    with pytest.raises(AgentConfigError):
        PySLMChatClient(7)  # type: ignore[arg-type]
    with pytest.raises(ChatClientException, match="no-such-model"):
        asyncio.run(PySLMChatClient("no-such-model.gguf").get_response([Message("user", ["Hi"])]))
    options: Any = {"model": "other-model.gguf"}
    with pytest.raises(ChatClientException, match="other-model"):
        asyncio.run(client.get_response([Message("user", ["Hi"])], options=options))


def test_a_stream_that_is_left_ends_its_request(babbling_llm: LLM) -> None:
    client = PySLMChatClient(babbling_llm)
    options: Any = {"max_tokens": 3000, "temperature": 1.0, "logit_bias": {"2": -100.0}}

    async def run() -> None:
        stream = client.get_response([Message("user", ["Hi"])], stream=True, options=options)
        async for _ in stream:
            break
        del stream
        # The engine is free for others: a short request is done long before 3000 tokens.
        async with asyncio.timeout(20):
            await client.get_response([Message("user", ["Hi"])], options={"max_tokens": 2})

    asyncio.run(run())


# --- middleware, telemetry, compaction --------------------------------------------------------


def test_middleware_of_all_three_kinds(client: PySLMChatClient, weather: Any) -> None:
    from agent_framework import agent_middleware, chat_middleware, function_middleware

    seen: list[str] = []

    def watcher(kind: str) -> Callable[..., Awaitable[None]]:
        async def watch(_: Any, call_next: Callable[[], Awaitable[None]]) -> None:
            seen.append(kind)
            await call_next()

        return watch

    middleware = [agent_middleware(watcher("agent")), chat_middleware(watcher("chat")),
                  function_middleware(watcher("function"))]  # fmt: skip
    agent = Agent(client, tools=[weather], middleware=middleware)
    assert asyncio.run(agent.run(QUESTION)).text == "".join(ANSWER)
    assert seen == ["agent", "chat", "function", "chat"]


def test_telemetry(client: PySLMChatClient, weather: Any) -> None:
    sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs opentelemetry-sdk")
    from agent_framework.observability import enable_instrumentation
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    enable_instrumentation()
    asyncio.run(Agent(client, name="weather", tools=[weather]).run(QUESTION))
    found = {span.name: dict(span.attributes or {}) for span in spans.get_finished_spans()}
    chat = next(value for name, value in found.items() if name.startswith("chat"))
    assert chat["gen_ai.provider.name"] == "pyslm"
    assert chat["gen_ai.request.model"] == "m"
    assert chat["gen_ai.usage.output_tokens"] > 0
    assert any(name.startswith("invoke_agent") for name in found)
    assert any(name.startswith("execute_tool get_weather") for name in found)


def test_tokenizer(llm: LLM) -> None:
    tokenizer = PySLMTokenizer(llm)
    assert isinstance(tokenizer, TokenizerProtocol)
    assert tokenizer.count_tokens("Once upon a time") == len(llm.tokenize("Once upon a time"))


# --- embeddings -------------------------------------------------------------------------------


def test_embeddings(llm: LLM) -> None:
    texts = ["The cat sat.", "A dog ran far."]
    client = PySLMEmbeddingClient(llm)
    found = asyncio.run(client.get_embeddings(texts))
    np.testing.assert_allclose([each.vector for each in found], llm.embed(texts), atol=1e-6)
    assert found.usage["input_token_count"] == sum(len(llm.tokenize(text)) for text in texts)
    short = asyncio.run(client.get_embeddings(texts, options={"dimensions": 8}))
    assert [len(each.vector) for each in short] == [8, 8]
    np.testing.assert_allclose([np.linalg.norm(each.vector) for each in short], 1.0, atol=1e-6)
    assert len(asyncio.run(client.get_embeddings([]))) == 0
    for options in ({"dimensions": 10_000}, {"dimensions": 0}, {"dimension": 8}):
        with pytest.raises(InvalidRequestError):
            asyncio.run(client.get_embeddings(texts, options=options))
