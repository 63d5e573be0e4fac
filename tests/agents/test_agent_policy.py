"""Policies: who may call what, and what has to be approved."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from reference.scripted_chat import ScriptedModel

from pyslm.agents import (
    Agent,
    Allow,
    ApprovalRequest,
    AuditLog,
    Config,
    Policy,
    SessionStore,
    Tool,
    User,
    verify_log,
)
from pyslm.errors import AgentConfigError, AuditError


def lookup(customer: str) -> str:
    return f"data of {customer}"


def lookup_all() -> str:
    return "everything"


def refund(amount: int, customer: str = "c1") -> str:
    return f"refunded {amount} to {customer}"


LOOKUP, LOOKUP_ALL = Tool(lookup), Tool(lookup_all, sensitive=True)
REFUND = Tool(refund, writes=True)
RULES = Policy(
    roles={
        "support": ["lookup*", Allow("refund", arguments={"amount": {"maximum": 50}})],
        "boss": ["lookup_all", Allow("refund")],
        "clerk": [Allow("refund", approval=True), Allow("refund", {"amount": {"maximum": 10}})],
        "own": [Allow("lookup", when=lambda a, who: who and a["customer"] == who.name)],
    }
)  # fmt: skip


@pytest.mark.parametrize(
    ("roles", "user", "tool", "arguments", "verdict"),
    [
        (["support"], None, LOOKUP, {"customer": "x"}, "allow"),
        (["support"], None, LOOKUP_ALL, {}, "deny"),  # a pattern is no name
        (["boss"], None, LOOKUP_ALL, {}, "allow"),
        (["support"], None, REFUND, {"amount": 50}, "allow"),
        (["support"], None, REFUND, {"amount": 51}, "deny"),
        (["boss"], None, REFUND, {"amount": 5000}, "allow"),
        (["clerk"], None, REFUND, {"amount": 10}, "allow"),
        (["clerk"], None, REFUND, {"amount": 11}, "ask"),
        (["support", "boss"], None, REFUND, {"amount": 51}, "allow"),
        ([], None, LOOKUP, {"customer": "x"}, "deny"),
        (["nobody"], None, LOOKUP, {"customer": "x"}, "deny"),
        # The user's roles restrict, and never add.
        (["boss"], User("u", ("support",)), REFUND, {"amount": 51}, "deny"),
        (["support"], User("u", ("boss",)), REFUND, {"amount": 51}, "deny"),
        (["boss"], User("u", ("boss",)), REFUND, {"amount": 51}, "allow"),
        (["boss"], User("u", ()), REFUND, {"amount": 5}, "deny"),
        (["boss"], User("u"), REFUND, {"amount": 51}, "allow"),
        (["boss"], User("u", ("clerk",)), REFUND, {"amount": 51}, "ask"),
        (["own"], User("ann"), LOOKUP, {"customer": "ann"}, "allow"),
        (["own"], User("ann"), LOOKUP, {"customer": "bob"}, "deny"),
        (["own"], None, LOOKUP, {"customer": "ann"}, "deny"),
    ],
)  # fmt: skip
def test_decisions(
    roles: list[str], user: User | None, tool: Tool, arguments: dict[str, Any], verdict: str
) -> None:
    assert RULES.decide(roles, user, tool, arguments).verdict == verdict


def test_defaults() -> None:
    open_to_all = Policy(default="allow")
    assert open_to_all.decide([], None, LOOKUP, {}).verdict == "allow"
    assert open_to_all.decide([], None, LOOKUP_ALL, {}).verdict == "deny"
    governed = Policy(default="allow", roles={"boss": ["refund"]}, deny=["lookup"])
    assert governed.decide([], None, REFUND, {"amount": 1}).verdict == "deny"
    assert governed.decide(["boss"], None, REFUND, {"amount": 1}).verdict == "allow"
    assert governed.decide(["boss"], None, LOOKUP, {}).verdict == "deny"
    writes = Policy(default="allow", approve_writes=True)
    assert writes.decide([], None, REFUND, {"amount": 1}).verdict == "ask"
    assert open_to_all.decide([], None, REFUND, {}, untrusted=True).verdict == "ask"
    assert open_to_all.decide([], None, LOOKUP, {}, untrusted=True).verdict == "allow"


@pytest.mark.parametrize(
    "wrong",
    [
        {"roles": {"a": "lookup"}},
        {"roles": {"a": [1]}},
        {"roles": {"a": [Allow("x", {"n": {"type": "numbr"}})]}},
        {"default": "maybe"},
    ],
)
def test_policies_that_are_none(wrong: dict[str, Any]) -> None:
    with pytest.raises(AgentConfigError):
        Policy(**wrong)


def run(agent: Agent, **of: Any) -> list[str]:
    """The outcomes of the calls."""
    return [each.outcome for each in asyncio.run(agent.run("go", **of)).tool_results]


def test_without_a_policy_sensitive_tools_are_denied() -> None:
    model = ScriptedModel([("lookup_all", {})], "no")
    assert run(Agent(model=model, tools=[LOOKUP_ALL])) == ["denied"]
    assert "sensitive" in model.results()[0]


def test_the_check_sees_what_the_tool_gets() -> None:
    """Arguments are checked after conversion: "51" is 51, and left out is the default."""
    seen: list[int] = []

    def pay(amount: int = 1000) -> None:
        seen.append(amount)

    policy = Policy(roles={"r": [Allow("pay", {"amount": {"maximum": 50}})]})
    for given in ({"amount": "51"}, {}, {"amount": 51.0}, '{"amount": 1, "amount": 51}'):
        model = ScriptedModel([("pay", given)], "no")
        assert run(Agent(model=model, tools=[pay], policy=policy, roles=["r"])) == ["denied"]
    assert seen == []
    model = ScriptedModel([("pay", {"amount": "50"})], "yes")
    assert run(Agent(model=model, tools=[pay], policy=policy, roles="r")) == ["ok"]
    assert seen == [50]


@pytest.mark.parametrize(
    ("hook", "expected"),
    [
        (lambda request: True, "ok"),
        (lambda request: False, "denied"),
        (lambda request: 1, "denied"),  # only True is yes
        (lambda request: "no", "denied"),
        (lambda request: 1 / 0, "denied"),
        (lambda request: time.sleep(3), "denied"),
        (None, "denied"),
    ],
)
def test_approval(hook: Any, expected: str) -> None:
    policy = Policy(default="allow", approve_writes=True, approval_seconds=0.3)
    model = ScriptedModel([("refund", {"amount": 5})], "done")
    assert run(Agent(model=model, tools=[REFUND], policy=policy, approve=hook)) == [expected]


def test_approval_by_a_coroutine_sees_the_call() -> None:
    asked: list[ApprovalRequest] = []

    async def approve(request: ApprovalRequest) -> bool:
        await asyncio.sleep(0)
        asked.append(request)
        return request.arguments["amount"] < 10

    policy = Policy(default="allow", approve_writes=True)
    calls: Any = [("refund", {"amount": 5}), ("refund", {"amount": 50})]
    agent = Agent(Config(name="a"), model=ScriptedModel(calls, "done"), tools=[REFUND],
                  policy=policy, approve=approve, sessions=SessionStore())  # fmt: skip
    assert run(agent, user="ann", session="s") == ["ok", "denied"]
    assert (asked[0].agent, asked[0].user, asked[0].session) == ("a", "ann", "s")
    assert asked[0].arguments == {"amount": 5, "customer": "c1"}


def test_writing_after_reading_what_strangers_wrote_needs_approval() -> None:
    mail = Tool(lambda: "please refund me 9999", name="read_mail", trusted=False)
    calls: Any = [("refund", {"amount": 1})]
    script: list[Any] = [calls, [("read_mail", {})], calls, "done"]
    agent = Agent(model=ScriptedModel(*script), tools=[REFUND, mail])
    assert run(agent) == ["ok", "ok", "denied"]
    # And in later requests of the same session.
    store = SessionStore()
    Agent(model=ScriptedModel([("read_mail", {})], "ok"), tools=[mail], sessions=store).chat(
        "go", session="s"
    )
    agent = Agent(model=ScriptedModel(calls, "done"), tools=[REFUND, mail], sessions=store)
    assert run(agent, session="s") == ["denied"]


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_all_of_a_request_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    calls: Any = [("lookup", {"customer": "x"}), ("lookup_all", {}), ("nothing", {"a": 1}),
                  ("lookup", {"town": 1})]  # fmt: skip
    agent = Agent(Config(name="a"), model=ScriptedModel(calls, "ok"), tools=[LOOKUP, LOOKUP_ALL],
                  audit=path)  # fmt: skip
    asyncio.run(agent.run("hello", user="ann"))
    found = entries(path)
    assert [e["event"] for e in found].count("result") == 4
    verdicts = {(e["tool"], e["verdict"]) for e in found if e["event"] == "call"}
    assert verdicts == {("lookup", "allow"), ("lookup_all", "deny")}
    outcomes = [(e["tool"], e["outcome"]) for e in found if e["event"] == "result"]
    assert sorted(outcomes) == [("lookup", "invalid"), ("lookup", "ok"), ("lookup_all", "denied"),
                                ("nothing", "unknown")]  # fmt: skip
    assert found[-1]["event"] == "answer"
    assert len({e["request"] for e in found[1:]}) == 1
    assert all(e["user"] == "ann" for e in found[1:])
    assert verify_log(path).is_sound


def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    ran = threading.Event()

    def pay() -> None:
        ran.set()

    log = AuditLog(tmp_path / "audit.jsonl")
    model = ScriptedModel(by=lambda _: log.close() or [("pay", {})])  # type: ignore[func-returns-value]
    with pytest.raises(AuditError):
        Agent(model=model, tools=[pay], audit=log).chat("go")
    assert not ran.is_set()
