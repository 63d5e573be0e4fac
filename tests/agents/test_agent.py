"""The agent's loop with a model that does what a test says."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import threading
import time
from typing import Any

import pydantic
import pytest
from reference.scripted_chat import ScriptedModel

from pyslm.agents import (
    Agent,
    Config,
    Done,
    ModelRequest,
    TextDelta,
    Tool,
    ToolFinished,
    ToolStarted,
)
from pyslm.errors import AccessDeniedError, AgentConfigError, ModelCallError, ReplyError


def weather(city: str) -> str:
    """Tells the weather."""
    return f"sunny in {city}"


CALL: list[tuple[str, Any]] = [("weather", {"city": "Oslo"})]


def agent_of(model: ScriptedModel, *tools: Any, **settings: Any) -> Agent:
    return Agent(Config(**settings), model=model, tools=tools)


def test_call_result_answer() -> None:
    model = ScriptedModel(CALL, "It is sunny.")
    agent = agent_of(model, weather, context="Be brief.")
    result = asyncio.run(agent.run("How is the weather?"))
    assert result.text == "It is sunny."
    assert (result.steps, result.finish_reason, result.model) == (2, "stop", "scripted")
    assert [each.content for each in result.tool_results] == ["sunny in Oslo"]
    assert [m["role"] for m in result.messages] == ["user", "assistant", "tool", "assistant"]
    assert result.usage.completion_tokens == 2
    first, second = model.asked
    assert first.messages[0] == {"role": "system", "content": "Be brief."}
    assert first.tools[0]["function"]["name"] == "weather"
    call = second.messages[2]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"city": "Oslo"}
    assert second.messages[3]["tool_call_id"] == call["id"]
    # Every prompt is the last one and more: what a prefix cache needs.
    assert second.messages[: len(first.messages)] == first.messages


def test_chat_from_a_thread_and_from_a_loop() -> None:
    agent = agent_of(ScriptedModel("Hello."))
    assert agent.chat("Hi") == "Hello."
    assert asyncio.run(agent.chat_async("Hi")) == "Hello."

    async def inside() -> str:
        return agent.chat("Hi")  # as in a notebook: a loop runs already

    assert asyncio.run(inside()) == "Hello."


def test_requests_stand_alone() -> None:
    model = ScriptedModel("Hello.")
    agent = agent_of(model)
    agent.chat("one")
    agent.chat("two")
    assert [m["content"] for m in model.asked[1].messages] == ["two"]


def test_the_decorator_offers_a_function() -> None:
    model = ScriptedModel([("now", {}), ("later", {"hours": 2})], "done")
    agent = agent_of(model)

    @agent.tool
    def now() -> str:
        """Get the current time."""
        return "12:00"

    @agent.tool(name="later", timeout=2)
    async def in_hours(hours: int) -> str:
        await asyncio.sleep(0)
        return f"{12 + hours}:00"

    assert now() == "12:00"
    assert agent.chat("What time is it?") == "done"
    assert model.results() == ["12:00", "14:00"]
    assert [tool.name for tool in agent.tools] == ["now", "later"]


def test_agents_may_be_tools_of_agents() -> None:
    """A plain tool may call another agent's `chat`: it runs on a thread of its own."""
    inner = agent_of(ScriptedModel("inner says so"))

    def ask(text: str) -> str:
        return inner.chat(text)

    model = ScriptedModel([("ask", {"text": "?"})], "done")
    assert agent_of(model, ask).chat("go") == "done"
    assert model.results() == ["inner says so"]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (("wether", {"city": "Oslo"}), "did you mean weather?"),
        (("weather", {"town": "Oslo"}), "city"),
        (("weather", "{broken"), "not valid"),
        (("fail", {}), "RuntimeError: no luck"),
    ],
)  # fmt: skip
def test_errors_are_told_to_the_model(call: tuple[str, Any], told: str) -> None:
    def fail() -> None:
        raise RuntimeError("no luck")

    model = ScriptedModel([call], "I could not.")
    assert agent_of(model, weather, fail).chat("?") == "I could not."
    assert told in model.results()[0]


def test_a_loop_is_ended() -> None:
    model = ScriptedModel(by=lambda r: CALL if r.tools else "sunny")
    result = asyncio.run(agent_of(model, weather, max_steps=50, max_repeats=3).run("?"))
    assert (result.text, result.finish_reason) == ("sunny", "loop")
    assert len(result.tool_results) == 3
    assert model.asked[-1].tool_choice.mode == "none"


def test_a_loop_of_two_is_ended() -> None:
    turns = itertools.cycle([CALL, [("weather", {"city": "Rome"})]])
    model = ScriptedModel(by=lambda r: next(turns) if r.tools else "sunny")
    result = asyncio.run(agent_of(model, weather, max_steps=50).run("?"))
    assert result.finish_reason == "loop"
    assert len(result.tool_results) == 5  # the third time of the first


def test_polling_is_no_loop() -> None:
    """The same call with new results each time goes on."""
    counter = itertools.count()

    def poll() -> int:
        return next(counter)

    model = ScriptedModel(*[[("poll", {})]] * 8, "ready")  # type: ignore[list-item]
    result = asyncio.run(agent_of(model, poll, max_steps=20).run("?"))
    assert (result.text, result.finish_reason, len(result.tool_results)) == ("ready", "stop", 8)


def test_steps_are_limited_even_for_a_model_that_calls_for_ever() -> None:
    counter = itertools.count()

    def poll() -> int:
        return next(counter)

    model = ScriptedModel([("poll", {})])
    result = asyncio.run(agent_of(model, poll, max_steps=4).run("?"))
    assert (result.steps, result.finish_reason) == (4, "max_steps")
    assert next(counter) == 3  # the last reply may call nothing, though it did
    assert "tool_calls" not in result.messages[-1]


@pytest.mark.parametrize("times", [1, 2])
def test_a_model_that_takes_too_long(times: int) -> None:
    agent = agent_of(ScriptedModel("late", delay=30), timeout=0.05)
    began = time.monotonic()
    for _ in range(times):
        with pytest.raises(ModelCallError, match=r"within 0\.05 s"):
            agent.chat("?")
    assert time.monotonic() - began < 5


def test_cancelling_a_request_ends_its_tools() -> None:
    ended = threading.Event()

    async def work() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    async def main() -> None:
        agent = agent_of(ScriptedModel([("work", {})], "done"), work)
        task = asyncio.ensure_future(agent.chat_async("?"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert ended.wait(5)


class Ticket(pydantic.BaseModel):
    title: str
    priority: int = pydantic.Field(ge=1, le=5)


@dataclasses.dataclass
class Point:
    x: int


@pytest.mark.parametrize(
    ("form", "said", "expected"),
    [
        (Ticket, '{"title": "a", "priority": 2}', Ticket(title="a", priority=2)),
        (Point, '{"x": 3}', Point(3)),
        (list[int], "[1, 2]", [1, 2]),
        ({"type": "object", "required": ["a"]}, '{"a": 1}', {"a": 1}),
    ],
)  # fmt: skip
def test_structured_answers(form: Any, said: str, expected: Any) -> None:
    model = ScriptedModel(said)
    assert agent_of(model).chat("?", response_format=form) == expected
    assert model.asked[0].json_schema


def test_an_answer_without_the_form_is_sent_back() -> None:
    model = ScriptedModel("hm", '{"title": "a", "priority": 9}', '{"title": "a", "priority": 5}')
    assert agent_of(model).chat("?", response_format=Ticket).priority == 5
    assert "priority" in model.asked[2].messages[-1]["content"]


def test_an_answer_that_never_has_the_form() -> None:
    with pytest.raises(ReplyError, match="form"):
        agent_of(ScriptedModel("no")).chat("?", response_format=Ticket)


@pytest.mark.parametrize("form", [{"type": "objekt"}, 3, "Ticket"])
def test_no_form(form: Any) -> None:
    with pytest.raises(AgentConfigError, match="response_format"):
        agent_of(ScriptedModel("no")).chat("?", response_format=form)


def test_stream_for_threads_and_loops() -> None:
    agent = agent_of(
        ScriptedModel(by=lambda r: "It is sunny." if r.messages[1:] else CALL), weather
    )
    stream = agent.stream("?")
    assert list(stream) == ["It", " is", " sunny."]
    assert stream.result.steps == 2

    async def read() -> list[str]:
        return [piece async for piece in agent.stream("?")]

    assert asyncio.run(read()) == ["It", " is", " sunny."]


def test_events_tell_all_that_happens() -> None:
    agent = agent_of(ScriptedModel(CALL, "ok"), weather)

    async def read() -> list[Any]:
        return [event async for event in agent.stream("?").events()]

    events = asyncio.run(read())
    kinds = [type(event) for event in events]
    assert kinds == [ToolStarted, ToolFinished, TextDelta, Done]
    assert events[1].result.content == "sunny in Oslo"
    assert events[3].result.text == "ok"


def test_a_stream_that_fails_says_so() -> None:
    agent = agent_of(ScriptedModel(ModelCallError("gone")))
    with pytest.raises(ModelCallError, match="gone"):
        list(agent.stream("?"))

    async def read() -> None:
        async for _ in agent.stream("?"):
            pass

    with pytest.raises(ModelCallError, match="gone"):
        asyncio.run(read())


def test_leaving_a_stream_ends_the_request() -> None:
    asked = threading.Event()
    ended = threading.Event()

    async def work() -> None:
        asked.set()
        try:
            await asyncio.sleep(30)
        finally:
            ended.set()

    def reply(request: ModelRequest) -> Any:
        return "first words" if len(request.messages) > 9 else [("work", {})]

    agent = agent_of(ScriptedModel(by=reply), work)

    async def leave() -> None:
        async for event in agent.stream("?").events():
            if isinstance(event, ToolStarted):
                await asyncio.sleep(0.05)
                break

    asyncio.run(leave())
    assert asked.is_set()
    assert ended.wait(5)


def test_requests_run_beside_each_other() -> None:
    async def main() -> float:
        agent = agent_of(ScriptedModel("ok", delay=0.2))
        began = time.monotonic()
        await asyncio.gather(*(agent.chat_async("?") for _ in range(10)))
        return time.monotonic() - began

    assert asyncio.run(main()) < 1.5


def test_overhead_of_the_loop_is_small() -> None:
    """Far below a millisecond a turn on an idle machine; the bound is for busy ones."""
    counter = itertools.count()

    async def poll() -> int:
        return next(counter)

    model = ScriptedModel(by=lambda r: [("poll", {})] if r.tools else "done")
    agent = agent_of(model, poll, max_steps=200)
    began = time.process_time()
    asyncio.run(agent.run("?"))
    assert (time.process_time() - began) / 200 < 5e-3


@pytest.mark.parametrize("mode", ["privacy_mode", "offline_mode"])
def test_models_beyond_this_machine_are_refused(mode: str) -> None:
    with pytest.raises(AccessDeniedError, match=mode):
        agent_of(ScriptedModel("hi", place="network"), **{mode: True})
    far = Agent(Config(**{mode: True}), model_endpoint="https://example.com/v1")  # type: ignore[arg-type]
    with pytest.raises(AccessDeniedError, match="beyond this machine"):
        far.chat("hi")
    assert agent_of(ScriptedModel("hi", place="machine"), **{mode: True}).chat("?") == "hi"


def test_the_four_forms_of_the_guide() -> None:
    config = Config(model_alias="phi-4-mini")
    assert Agent(config=config).config is config
    assert Agent(config).config is config
    agent = Agent(config, model_endpoint="http://127.0.0.1:1/v1", api_key="k")
    assert (agent.config.endpoint, agent.config.api_key) == ("http://127.0.0.1:1/v1", "k")


@pytest.mark.parametrize("wrong", ["config", {"name": "x"}])
def test_what_is_no_config_or_model(wrong: Any) -> None:
    with pytest.raises(AgentConfigError, match="config"):
        Agent(wrong)
    with pytest.raises(AgentConfigError, match="model"):
        Agent(model=object())
    with pytest.raises(AgentConfigError, match="two tools"):
        Agent(tools=[Tool(weather), weather])
