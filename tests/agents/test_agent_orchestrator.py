"""Several agents: routes, failover, escalation, work together."""

from __future__ import annotations

import asyncio
import collections
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from reference.scripted_chat import ScriptedModel

from pyslm import LLM
from pyslm.agents import (
    Agent,
    AgentOrchestrator,
    AgentResult,
    Config,
    ModelRequest,
    Price,
    SessionStore,
)
from pyslm.agents.teams.health import FAILURES_TO_OPEN, PAUSE_SECONDS, Health
from pyslm.agents.teams.routing import complexity_of, size_of
from pyslm.chat.events import ContentDelta
from pyslm.errors import AccessDeniedError, AgentConfigError, AgentError, ModelCallError


def agent_of(
    name: str, *replies: Any, model: ScriptedModel | None = None, **settings: Any
) -> Agent:
    found = model or ScriptedModel(*(replies or (f"{name} answers",)), name=f"model of {name}")
    tools = settings.pop("tools", ())
    return Agent(Config(name=name, **settings), model=found, tools=tools)


SCHEDULING = {"name": "scheduling-agent", "specialized_for": "scheduling"}
TECHNICAL = {"name": "technical-agent", "specialized_for": "technical_support"}


def test_the_guides_example() -> None:
    orchestrator = AgentOrchestrator([agent_of(**SCHEDULING), agent_of(**TECHNICAL)])
    result = orchestrator.process_request(
        "I need to schedule a callback for a technical issue", routing_strategy="intent-based"
    )
    assert isinstance(result, AgentResult)
    assert result.agent == "scheduling-agent"
    assert str(result) == "scheduling-agent answers"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("please book a schedule", "scheduling-agent"),
        ("TECHNICAL problem with the router", "technical-agent"),
        ("my technician said so", "technical-agent"),
        ("good morning", "scheduling-agent"),  # nobody is meant: the first
    ],
)
def test_keywords(text: str, expected: str) -> None:
    orchestrator = AgentOrchestrator([agent_of(**SCHEDULING), agent_of(**TECHNICAL)])
    assert orchestrator.process_request(text, "keyword").agent == expected


def test_intent_is_a_constrained_choice_of_the_router() -> None:
    router = ScriptedModel("technical-agent")
    agents = [agent_of(**SCHEDULING), agent_of(**TECHNICAL)]
    orchestrator = AgentOrchestrator(agents, router=router)
    assert orchestrator.process_request("schedule it").agent == "technical-agent"
    (asked,) = router.asked
    assert asked.choice == ["scheduling-agent", "technical-agent"]
    assert asked.temperature == 0
    assert "scheduling" in asked.messages[0]["content"]


@pytest.mark.parametrize("router", [ScriptedModel("nobody"), ScriptedModel(ModelCallError("off"))])
def test_rules_stand_in_for_a_router_that_fails(router: ScriptedModel) -> None:
    agents = [agent_of(**TECHNICAL), agent_of(**SCHEDULING)]
    orchestrator = AgentOrchestrator(agents, router=router)
    assert orchestrator.process_request("schedule it").agent == "scheduling-agent"


class Slowly(ScriptedModel):
    """Says its piece a few characters at a time; `said` is what has been taken of it."""

    def __init__(self, *pieces: str) -> None:
        super().__init__("".join(pieces))
        self.pieces, self.said, self.is_closed = pieces, "", False

    async def stream(self, request: ModelRequest) -> AsyncIterator[Any]:  # noqa: ARG002
        try:
            for piece in self.pieces:
                self.said += piece
                yield ContentDelta(piece)
        finally:
            self.is_closed = True


@pytest.mark.parametrize(
    ("pieces", "names", "chosen", "said"),
    [
        (("tech", "nical"), ("sales", "technical"), "technical", "tech"),
        (("sales", "-eu", "rope"), ("sales", "sales-europe"), "sales-europe", "sales-eu"),
        (("sales",), ("sales", "sales-europe"), "sales", "sales"),
        ((" ", "sa", "les"), ("sales", "technical"), "sales", " sa"),
    ],
)
def test_a_router_is_not_waited_for_once_it_means_one(
    pieces: tuple[str, ...], names: tuple[str, ...], chosen: str, said: str
) -> None:
    router = Slowly(*pieces)
    orchestrator = AgentOrchestrator([agent_of(name) for name in names], router=router)
    assert orchestrator.process_request("help").agent == chosen
    assert (router.said, router.is_closed) == (said, True)


def test_intent_by_a_real_model(babbling_llm: LLM) -> None:
    """It knows nothing, but what it says is one of the names."""
    agents = [agent_of(**SCHEDULING), agent_of(**TECHNICAL)]
    orchestrator = AgentOrchestrator(agents, router=babbling_llm)
    names = {orchestrator.process_request("help me").agent for _ in range(2)}
    assert names <= {"scheduling-agent", "technical-agent"}


def test_round_robin() -> None:
    orchestrator = AgentOrchestrator([agent_of(name) for name in "abc"])
    chosen = [orchestrator.process_request("?", "round-robin").agent for _ in range(6)]
    assert chosen == ["a", "b", "c"] * 2


def test_least_loaded() -> None:
    agents = [agent_of(name, model=ScriptedModel("ok", delay=0.15)) for name in "abc"]
    orchestrator = AgentOrchestrator(agents)

    async def main() -> list[AgentResult]:
        ask = orchestrator.process_request_async
        return await asyncio.gather(*(ask("?", "least-loaded") for _ in range(9)))

    counts = collections.Counter(result.agent for result in asyncio.run(main()))
    assert counts == {"a": 3, "b": 3, "c": 3}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("What time is it?", "simple"),
        ("Hi!", "simple"),
        ("Compare these two offers", "moderate"),
        ("Analyze the root cause of the outage and evaluate the trade-offs of both designs",
         "complex"),
        ("word " * 200, "moderate"),
    ],
)  # fmt: skip
def test_complexity(text: str, expected: str) -> None:
    assert complexity_of(text) == expected


def test_simple_requests_go_to_small_models() -> None:
    large = agent_of("large", model_alias="llama3.1:8b")
    small = agent_of("small", model_alias="qwen2.5-0.5b")
    middle = agent_of("middle", model_alias="phi-4-mini")
    assert [size_of(agent, 0) for agent in (large, small, middle)] == [8.0, 0.5, 3.8]
    orchestrator = AgentOrchestrator([large, small, middle])
    for text, expected in (("hi", "small"), ("Compare them", "middle"),
                           ("Analyze and evaluate the root cause", "large")):  # fmt: skip
        assert orchestrator.process_request(text, "complexity").agent == expected


@pytest.mark.parametrize(("name", "near"), [("round-robbin", "round-robin"), ("inent", "intent")])
def test_unknown_strategies(name: str, near: str) -> None:
    with pytest.raises(AgentConfigError, match=near):
        AgentOrchestrator([agent_of("a")]).process_request("?", name)


@pytest.mark.parametrize("names", [[], ["a", "a"]])
def test_which_agents_make_one(names: list[str]) -> None:
    with pytest.raises(AgentConfigError, match="names that differ"):
        AgentOrchestrator([agent_of(name) for name in names])


def test_failover_to_the_next_and_back() -> None:
    broken = ScriptedModel(ModelCallError("gone"), ModelCallError("gone"), "back again")
    orchestrator = AgentOrchestrator([agent_of("a", model=broken), agent_of("b")])
    assert orchestrator.process_request("?", "keyword").agent == "b"
    assert orchestrator.process_request("?", "keyword").agent == "b"
    assert orchestrator.process_request("?", "keyword").agent == "a"
    assert orchestrator.savings.num_failovers == 2
    assert orchestrator.health()["a"].num_failures == 2


def test_an_agent_that_keeps_failing_is_left_alone() -> None:
    broken = ScriptedModel(ModelCallError("gone"))
    orchestrator = AgentOrchestrator([agent_of("a", model=broken), agent_of("b")])
    for _ in range(FAILURES_TO_OPEN + 5):
        assert orchestrator.process_request("?", "keyword").agent == "b"
    assert len(broken.asked) == FAILURES_TO_OPEN
    assert not orchestrator.health()["a"].is_available


def test_after_a_pause_one_request_tries() -> None:
    now = [100.0]
    health = Health(lambda: now[0])
    for _ in range(FAILURES_TO_OPEN):
        health.ended(health.began(), ok=False)
    assert not health.report().is_available
    now[0] += PAUSE_SECONDS
    assert health.report().is_available
    trial = health.began()
    assert not health.report().is_available  # the others wait for how it ends
    now[0] += 2.0
    health.ended(trial, ok=True)
    report = health.report()
    assert report.is_available
    assert report.latency_seconds == pytest.approx(2.0)


def test_of_those_that_stand_by_the_fastest_goes_first() -> None:
    slow = agent_of("slow", model=ScriptedModel("ok", delay=0.2))
    fast = agent_of("fast", model=ScriptedModel("ok"))
    flaky = agent_of("flaky", "ok", ModelCallError("gone"))
    orchestrator = AgentOrchestrator([flaky, slow, fast])
    for _ in range(3):
        orchestrator.process_request("?", "round-robin")
    assert orchestrator.process_request("?", "keyword").agent == "fast"


def test_nothing_is_done_twice_when_an_agent_fails_in_the_middle() -> None:
    paid: list[int] = []

    def pay(amount: int) -> str:
        paid.append(amount)
        return "paid"

    first = ScriptedModel([("pay", {"amount": 5})], ModelCallError("gone"))
    second = ScriptedModel(
        by=lambda request: (
            "It was paid."
            if any(m["role"] == "tool" for m in request.messages)
            else [("pay", {"amount": 5})]
        )
    )
    orchestrator = AgentOrchestrator(
        [agent_of("a", model=first, tools=[pay]), agent_of("b", model=second, tools=[pay])]
    )
    result = orchestrator.process_request("Pay 5.", "keyword")
    assert (result.text, result.agent, paid) == ("It was paid.", "b", [5])
    assert "interrupted" in second.asked[0].messages[-1]["content"]


def test_when_all_fail_it_is_said_how() -> None:
    agents = [agent_of(name, ModelCallError(f"{name} gone")) for name in "ab"]
    with pytest.raises(AgentError, match="a: a gone; b: b gone"):
        AgentOrchestrator(agents).process_request("?")


def test_what_is_forbidden_is_not_tried_elsewhere() -> None:
    other = ScriptedModel("ok")
    agents = [agent_of("a", AccessDeniedError("no")), agent_of("b", model=other)]
    with pytest.raises(AccessDeniedError):
        AgentOrchestrator(agents).process_request("?", "keyword")
    assert other.asked == []


def cloud(**settings: Any) -> tuple[Agent, ScriptedModel]:
    model = ScriptedModel("The cloud knows.", name="big", place="network")
    return agent_of("cloud", model=model, **settings), model


def test_escalation_carries_the_conversation_over() -> None:
    larger, model = cloud()
    store = SessionStore()
    small = ScriptedModel("Paris.", "I don't know.")
    agents = [Agent(Config(name="small"), model=small, sessions=store)]
    orchestrator = AgentOrchestrator(agents, escalate_to=larger, price=Price(1e6, 1e6))
    assert orchestrator.process_request("Capital of France?").agent == "small"
    result = orchestrator.process_request("And why?")
    assert (result.agent, result.text) == ("cloud", "The cloud knows.")
    said = [m["content"] for m in model.asked[0].messages]
    assert said[:2] == ["And why?", "I don't know."]
    assert said[2].startswith("And why?")
    savings = orchestrator.savings
    assert (savings.num_requests, savings.num_local, savings.num_escalated) == (2, 1, 1)
    assert savings.share_local == 0.5
    assert savings.by_agent == {"small": 1, "cloud": 1}
    # A dollar a token: the scripted model counts messages as prompt tokens, and 1 for the answer.
    assert savings.saved == pytest.approx(4.0)
    assert savings.cost == pytest.approx(4.0)


@pytest.mark.parametrize(
    ("settings", "of"),
    [({"privacy_mode": True}, {}), ({"offline_mode": True}, {}), ({}, {"private": True})],
)
def test_escalation_respects_privacy(settings: dict[str, Any], of: dict[str, Any]) -> None:
    larger, model = cloud()
    agents = [agent_of("small", "I don't know.", **settings)]
    orchestrator = AgentOrchestrator(agents, escalate_to=larger)
    assert orchestrator.process_request("?", **of).text == "I don't know."
    assert model.asked == []
    assert orchestrator.savings.share_local == 1.0


def test_private_requests_stay_even_when_all_fails() -> None:
    larger, model = cloud()
    far, far_model = cloud()
    agents = [agent_of("small", ModelCallError("gone")), far]
    orchestrator = AgentOrchestrator(
        agents, escalate_to=Agent(Config(name="c2"), model=model) if larger else None
    )
    with pytest.raises(AgentError, match="beyond this machine"):
        orchestrator.process_request("?", private=True)
    assert model.asked == far_model.asked == []


def test_without_connection_the_local_answer_stands() -> None:
    larger = agent_of("cloud", model=ScriptedModel(ModelCallError("no net"), place="network"))
    orchestrator = AgentOrchestrator([agent_of("small", "I don't know.")], escalate_to=larger)
    assert orchestrator.process_request("?").text == "I don't know."


def test_a_larger_model_here_may_be_asked_in_private() -> None:
    larger = agent_of("large", "Because.")
    orchestrator = AgentOrchestrator([agent_of("small", "I don't know.")], escalate_to=larger)
    assert orchestrator.process_request("?", private=True).text == "Because."
    assert orchestrator.savings.share_local == 1.0


def test_sequential() -> None:
    second = ScriptedModel("second")
    orchestrator = AgentOrchestrator([agent_of("a", "first"), agent_of("b", model=second)])
    result = orchestrator.process_request("go", "sequential")
    assert (result.text, result.agent) == ("second", "b")
    assert "From a:\nfirst" in second.asked[0].messages[-1]["content"]


def test_concurrent() -> None:
    meet = threading.Barrier(2, timeout=10)

    def wait() -> str:
        meet.wait()
        return "met"

    agents = [agent_of(name, [("wait", {})], f"{name} is done", tools=[wait]) for name in "ab"]
    orchestrator = AgentOrchestrator([*agents, agent_of("c", ModelCallError("gone"))])
    results = asyncio.run(orchestrator.run_concurrent("go"))
    assert [result.text for result in results] == ["a is done", "b is done"]
    agents = [agent_of(name) for name in "ab"]
    joined = AgentOrchestrator(agents).process_request("go", "concurrent")
    assert joined.text == "a: a answers\n\nb: b answers"


def test_handoff() -> None:
    def triage(request: ModelRequest) -> Any:
        names = [tool["function"]["name"] for tool in request.tools]
        assert names == ["handoff_to_billing_team"]
        return [("handoff_to_billing_team", {})]

    billing = ScriptedModel("Refunded.")
    orchestrator = AgentOrchestrator(
        [
            agent_of("triage", model=ScriptedModel(by=triage)),
            agent_of("billing team", model=billing),
        ]
    )
    result = orchestrator.process_request("I want my money", "handoff")
    assert (result.text, result.agent) == ("Refunded.", "billing team")
    said = [m["content"] for m in billing.asked[0].messages if m["role"] == "user"]
    assert said[0] == "I want my money"


def test_handoffs_come_to_an_end() -> None:
    def back(request: ModelRequest) -> Any:
        return [(request.tools[0]["function"]["name"], {})] if request.tools else "enough"

    agents = [agent_of(name, model=ScriptedModel(by=back)) for name in "ab"]
    assert AgentOrchestrator(agents).process_request("go", "handoff").text == "enough"
