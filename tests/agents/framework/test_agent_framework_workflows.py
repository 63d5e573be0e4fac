"""Workflows and orchestrations of Microsoft Agent Framework, unmodified, on our engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from reference.framework_script import ANSWER, QUESTION

from pyslm import LLM

pytest.importorskip("agent_framework", reason="needs the extra 'agent-framework'")

from agent_framework import (
    Agent,
    AgentExecutor,
    Executor,
    WorkflowBuilder,
    WorkflowContext,
    handler,
)

from pyslm.agents.agent_framework import PySLMChatClient, constrain_ledger

pytestmark = pytest.mark.filterwarnings("ignore")  # the framework's own


def outputs(result: Any) -> str:
    return str([str(getattr(output, "text", output)) for output in result.get_outputs()])


def test_a_workflow(client: PySLMChatClient, weather: Any, asked: list[Any]) -> None:
    class Shout(Executor):
        @handler
        async def shout(self, answer: Any, context: WorkflowContext[Any, str]) -> None:
            await context.yield_output(answer.agent_response.text.upper())

    agent = AgentExecutor(Agent(client, name="weather", tools=[weather]), id="weather")
    shout = Shout(id="shout")
    flow = WorkflowBuilder(start_executor=agent, output_from=[shout]).add_edge(agent, shout).build()
    result = asyncio.run(flow.run(QUESTION))
    assert result.get_outputs() == ["IT WILL BE SUNNY IN OSLO."]
    assert asked == [("Oslo", 2)]


@pytest.fixture(scope="module")
def flows() -> Any:
    return pytest.importorskip(
        "agent_framework_orchestrations", reason="needs agent-framework-orchestrations"
    )


def test_sequential(client: PySLMChatClient, weather: Any, flows: Any, asked: list[Any]) -> None:
    first = Agent(client, name="expert", tools=[weather])
    then = Agent(client, name="writer", instructions="Say it again.")
    result = asyncio.run(flows.SequentialBuilder(participants=[first, then]).build().run(QUESTION))
    assert asked == [("Oslo", 2)]
    assert "".join(ANSWER) in outputs(result)


def test_concurrent(client: PySLMChatClient, weather: Any, flows: Any, asked: list[Any]) -> None:
    """Three agents at once on one engine."""
    agents = [Agent(client, name=name, tools=[weather]) for name in ("one", "two", "three")]
    joined = flows.ConcurrentBuilder(participants=agents).with_aggregator(
        lambda results: [each.agent_response.text for each in results]
    )
    result = asyncio.run(joined.build().run(QUESTION))
    assert result.get_outputs() == [["".join(ANSWER)] * 3]
    assert asked == [("Oslo", 2)] * 3


def test_handoff(client: PySLMChatClient, weather: Any, flows: Any, asked: list[Any]) -> None:
    alone = {"require_per_service_call_history_persistence": True}
    desk = Agent(client, instructions="You are the desk.", name="desk", **alone)
    expert = Agent(client, instructions="Tell it.", name="expert", tools=[weather], **alone)
    flow = (
        flows.HandoffBuilder(name="help", participants=[desk, expert])
        .with_start_agent(desk)
        .add_handoff(desk, [expert])
        .build()
    )
    events = list(asyncio.run(flow.run(QUESTION)))
    said = [event for event in events if event.type == "output"]
    assert [event.executor_id for event in said] == ["desk", "expert"]
    assert said[-1].data.text == "".join(ANSWER)
    assert asked == [("Oslo", 2)]


def test_group_chat(client: PySLMChatClient, flows: Any) -> None:
    """The chair's answers are under a schema; it gives the word to the expert, and then ends."""
    chair = Agent(client, instructions="You are the chair.", name="chair")
    expert = Agent(client, instructions="Tell it.", name="expert", description="knows weather")
    flow = flows.GroupChatBuilder(
        participants=[expert], orchestrator_agent=chair, max_rounds=4
    ).build()
    assert "That was all." in outputs(asyncio.run(flow.run(QUESTION)))


def test_magentic(client: PySLMChatClient, flows: Any, weather: Any, asked: list[Any]) -> None:
    """The manager plans, asks the expert, sees in its ledger that this was all, and answers."""
    manager = Agent(client, instructions="You are the manager.", name="manager",
                    middleware=[constrain_ledger])  # fmt: skip
    expert = Agent(client, instructions="Tell it.", name="expert", description="knows weather",
                   tools=[weather])  # fmt: skip
    flow = flows.MagenticBuilder(
        participants=[expert], manager_agent=manager, max_round_count=4, max_stall_count=1
    ).build()
    result = asyncio.run(flow.run(QUESTION))
    assert asked == [("Oslo", 2)]
    assert "".join(ANSWER) in outputs(result)


@pytest.mark.usefixtures("flows")
def test_any_model_keeps_magentics_ledger(babbling_llm: LLM) -> None:
    """The prompt is the framework's own; so is the check of the answer."""
    from agent_framework_orchestrations import MagenticContext, StandardMagenticManager

    options: Any = {"max_tokens": 1500, "temperature": 1.0, "seed": 1}
    agent = Agent(PySLMChatClient(babbling_llm), name="manager", middleware=[constrain_ledger],
                  default_options=options)  # fmt: skip
    manager = StandardMagenticManager(agent, progress_ledger_retry_count=1)
    context = MagenticContext(
        task="Tell the weather.", participant_descriptions={"expert": "weather", "poet": "rhymes"}
    )
    found = asyncio.run(manager.create_progress_ledger(context))
    assert found.next_speaker.answer in ("expert", "poet")
    assert isinstance(found.is_request_satisfied.answer, bool)
