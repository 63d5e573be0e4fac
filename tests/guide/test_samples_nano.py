"""The guide's blocks on the model that comes with the package: what their agents do for people.

Every model that the guide names is nano here. Elsewhere (see `test_samples`) one says what it is
told; here it must call the right tool, with the right arguments, and tell what that gave. Left out
are blocks whose agents have no tools and are not routed to, and those that start vLLM's servers.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import operator
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from guide.blocks import Blocks
from guide.local_world import TOKEN, World
from guide.serving import Started, serving
from reference.clock import repeats_itself

from pyslm.agents import Agent, AgentResult
from pyslm.guide import FoundryLocalManager, LocalRecords

pytestmark = [
    # Connections that the guide's code leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def started(nano_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A service to which each model that the guide names is nano."""
    with serving(nano_file.read_bytes(), tmp_path_factory.mktemp("machine")) as found:
        yield found


@dataclasses.dataclass(frozen=True)
class Asked:
    """A request to an agent of a block, what it is to call, and what of the result to tell."""

    block: str
    agent: Callable[[dict[str, Any]], Agent]
    request: str
    tool: str
    arguments: dict[str, Any]
    told: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.block}-{self.tool}"


def _service(kind: str) -> Callable[[dict[str, Any]], Agent]:
    return lambda names: names["service"].agents[kind]


_AGENT = operator.itemgetter("agent")
_RETAIL = operator.itemgetter("retail_agent")
_HEALTH = operator.itemgetter("healthcare_agent")
_VISITS = "2026-12-01/2026-12-31"
REQUESTS = [
    Asked("14", _service("customer_service"), "Look up the customer 12345.",
          "lookup_customer", {"customer_id": "12345"}, ("premium",)),
    Asked("14", _service("customer_service"), "Create a support ticket: my screen is broken",
          "create_support_ticket", {"issue": "my screen is broken"}, ("TICK-", "medium")),
    Asked("14", _service("technical_support"), 'Search the knowledge base for "paper jam".',
          "access_knowledge_base", {"query": "paper jam"}, ("paper jam",)),
    Asked("25", _AGENT, "Look up the information of customer 12345.",
          "lookup_customer_info", {"customer_id": "12345"}, ("premium",)),
    Asked("25", _AGENT, "Create a support ticket with priority high: my phone has no sound",
          "create_support_ticket", {"issue": "my phone has no sound", "priority": "high"},
          ("TICK-0001",)),
    Asked("25", _AGENT, "Schedule a callback for the customer 12345 at 10:00.",
          "schedule_callback", {"customer_id": "12345", "preferred_time": "10:00"},
          ("12345", "10:00")),
    Asked("31", _RETAIL, "Check the inventory for the product TV-1.",
          "check_inventory", {"product_sku": "TV-1"}, ("3",)),
    Asked("31", _RETAIL, "Find alternative products in the category tv.",
          "find_alternatives", {"product_category": "tv"}, ("TV-1", "TV-2")),
    Asked("31", _RETAIL, "Create a price quote for TV-1 and TV-2.",
          "create_price_quote", {"items": ["TV-1", "TV-2"]}, ("798.5",)),
    Asked("32", _HEALTH, f"Which appointments has the provider dr-1 in the date range {_VISITS}?",
          "check_appointment_availability", {"provider_id": "dr-1", "date_range": _VISITS},
          ("2026-12-01T10:00",)),
    Asked("32", _HEALTH, f"Show me the patient p-1; the auth token is {TOKEN}.",
          "access_patient_portal", {"patient_id": "p-1", "auth_token": TOKEN}, ("2026-12-01",)),
]  # fmt: skip


# What the model that is in the package now gets wrong, as the table in the README says it does: it
# copies part of a value, or another; of a customer it told the number alone in 2 of 16 runs, for
# block 14 has a temperature. Taken out again when a better one comes.
MISSED = {"32-check_appointment_availability"}


def _asked(asked: Asked) -> Any:
    missed = pytest.mark.xfail(strict=False, reason="nano does not copy all values yet")
    return pytest.param(asked, marks=[missed] if str(asked) in MISSED else [], id=str(asked))


def called(result: AgentResult) -> list[tuple[str, Any]]:
    return [(each.call.name, json.loads(each.call.arguments)) for each in result.tool_results]


@pytest.mark.parametrize("asked", [_asked(asked) for asked in REQUESTS])
def test_the_right_tool_is_called_and_its_result_told(blocks: Blocks, asked: Asked) -> None:
    found = blocks.run(asked.block, given=World().names)
    result = asyncio.run(asked.agent(found).run(asked.request))
    assert called(result) == [(asked.tool, asked.arguments)]
    assert [each.outcome for each in result.tool_results] == ["ok"]
    for text in asked.told:
        assert text in result.text, result.text


def test_05_a_customer_of_the_shop(blocks: Blocks) -> None:
    found = blocks.run("05")
    assert "technical difficulties" not in found["response"]
    service = found["service"]
    service.local_db = LocalRecords()
    service.local_db.put_customer("12345", tier="gold")
    result = asyncio.run(service.agent.run("Look up the customer 12345."))
    assert called(result) == [("lookup_customer", {"customer_id": "12345"})]
    assert "gold" in result.text


def test_35_what_time_is_it(blocks: Blocks, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks.run("35")
    assert capsys.readouterr().out.strip() == found["response"]
    result = asyncio.run(found["agent"].run("What time is it?"))
    assert called(result) == [("get_current_time", {})]
    (told,) = result.tool_results
    if repeats_itself(told.content):
        pytest.xfail("a time that repeats itself")
    assert told.content in result.text  # "2026-12-01 10:00:00"


@pytest.mark.parametrize(
    ("request_text", "agent"),
    [
        ("Please schedule a call for Monday.", "scheduling-agent"),
        ("I need technical support: my laptop does not start.", "technical-agent"),
    ],
)
def test_26_requests_go_to_the_agent_they_are_for(
    blocks: Blocks, request_text: str, agent: str
) -> None:
    FoundryLocalManager("qwen2.5-0.5b")  # the block takes it that the model is here
    found = blocks.run("26")
    assert found["result"].agent == "scheduling-agent"
    result = found["orchestrator"].process_request(request_text, routing_strategy="intent-based")
    assert result.agent == agent


@pytest.mark.parametrize(
    ("request_text", "agent"),
    [
        ("My application keeps crashing", "technical"),
        ("I have a question about a customer's account.", "customer_service"),
    ],
)  # fmt: skip
def test_06_routed_by_roles(blocks: Blocks, request_text: str, agent: str) -> None:
    system = blocks.run("06", ours=True)["system"]
    assert system.orchestrator.process_request(request_text).agent == agent
