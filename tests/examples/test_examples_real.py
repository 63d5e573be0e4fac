"""The examples on real models: one that says anything, and nano where it is there."""

from __future__ import annotations

import dataclasses
import importlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from examples.conftest import Expected
from reference.clock import repeats_itself
from reference.rewrite import rewrite
from stories import stories

from pyslm import LLM
from pyslm.agents import Agent, LocalModel, ModelRequest
from pyslm.agents.models.model import ModelEvent
from pyslm.agents.security.audit import default_audit
from pyslm.chat.request import ToolChoice
from pyslm.examples import EXAMPLES, customer_service, healthcare
from pyslm.examples.command import answer, chosen_model

OF: dict[str, dict[str, Any]] = {
    "healthcare": {"user": healthcare.PATIENT}, "scheduling": {"session": "today"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    default_audit.cache_clear()


class Caller(LocalModel):
    """Calls tools whenever it may, and comes to an end: it knows no better."""

    def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        choice = ToolChoice("required") if request.tools else request.tool_choice
        return super().stream(dataclasses.replace(request, tool_choice=choice, max_tokens=120))


@pytest.fixture(scope="module")
def babbling_llm(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LLM]:
    """stories260K with the template of Qwen2.5."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    target = tmp_path_factory.mktemp("babble") / "babble.gguf"
    metadata = {"tokenizer.chat_template": template, "llama.context_length": 8192}
    with LLM(rewrite(stories(shared), target, metadata=metadata)) as llm:
        yield llm


@pytest.mark.parametrize("example", EXAMPLES)
def test_calls_are_valid_whatever_the_model(babbling_llm: LLM, example: str) -> None:
    """It has never seen a tool: what it calls exists, is valid, and reaches the tools."""
    module = importlib.import_module(f"pyslm.examples.{example}")
    made = module.build(Caller(babbling_llm))
    agents = {agent.name: agent for agent in ([made] if isinstance(made, Agent) else made.agents)}
    num_whole = 0
    for question in module.QUESTIONS[:2]:
        result = answer(made, question, **OF.get(example, {}))
        tools = {tool.name: tool for tool in agents[result.agent].tools}
        for each in result.tool_results:
            try:
                arguments = json.loads(each.call.arguments)
            except ValueError:  # cut off: it went on and on
                assert each.outcome == "invalid"
                continue
            num_whole += 1
            assert each.outcome in ("ok", "failed", "denied")
            jsonschema.validate(arguments, dict(tools[each.call.name].parameters))
    assert num_whole > 0


# What the model that is in the package now gets wrong, as the table in the README says it does: it
# copies part of a value, or another. Taken out again when a better one comes.
MISSED = {"healthcare-0"}


@pytest.mark.usefixtures("nano")
def test_on_nano(expected: Expected, request: pytest.FixtureRequest) -> None:
    if f"{expected.example}-{expected.number}" in MISSED:
        missed = pytest.mark.xfail(strict=False, reason="nano does not copy all values yet")
        request.applymarker(missed)
    agent = expected.module.build(chosen_model(None, None))
    of = OF.get(expected.example, {})
    if "session" in of:  # what is said before belongs to it
        for question in expected.module.QUESTIONS[: expected.number]:
            answer(agent, question, **of)
    result = answer(agent, expected.question, **of)
    told = result.tool_results[0].content if result.tool_results else ""
    if expected.example == "first_agent" and repeats_itself(told):
        pytest.xfail("a time that repeats itself")
    expected.check(result)


# --- customer service: who answers ------------------------------------------------------------

AGENTS = ["scheduling-agent", "support-agent", "support-agent", "support-agent"]


@pytest.mark.usefixtures("nano")
def test_nano_routes_between_agents() -> None:
    team = customer_service.build(chosen_model(None, None))
    results = [answer(team, question) for question in customer_service.QUESTIONS]
    assert [result.agent for result in results] == AGENTS


@pytest.mark.usefixtures("nano")
def test_one_command_on_nano() -> None:
    """Nothing is named and nothing fetched: what a new user types first."""
    line = [sys.executable, "-m", "pyslm.examples.first_agent"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    _, call, said = done.stdout.splitlines()
    name, _, told = call.partition(" -> ")
    assert name.strip() == "get_current_time({})"
    if repeats_itself(told):
        pytest.xfail("a time that repeats itself")
    assert told in said
