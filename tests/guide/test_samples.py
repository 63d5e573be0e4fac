"""The guide's Python blocks, all of them, against a real `pyslm serve`: those on agents (24 to 36).

The others: `test_samples_foundry`, `test_samples_ollama`, `test_samples_vllm`. Blocks that define
classes run twice: with their own, and with those of `pyslm.guide` in their place, of which more is
asked.
"""

from __future__ import annotations

import asyncio
import datetime
from pathlib import Path

import pytest
from guide.blocks import NEEDS, Blocks
from guide.local_world import TOKEN, World
from guide.tiny_models import DONE_TEXT, HELLO_TEXT

from pyslm.guide import FoundryLocalManager

pytestmark = [
    # Connections that the guide's code leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_every_block_is_here(samples: Path) -> None:
    assert sorted(NEEDS) == sorted(path.stem for path in samples.glob("*.py"))


def test_24_and_25_an_agent_with_tools(blocks: Blocks) -> None:
    world = World()
    found = blocks.run("25", given=world.names)
    agent = found["agent"]
    assert agent.config.offline_mode
    assert agent.config.endpoint == found["foundry"].endpoint
    assert [tool.name for tool in agent.tools] == [
        "lookup_customer_info", "create_support_ticket", "schedule_callback",
    ]  # fmt: skip
    assert agent.chat("hello") == HELLO_TEXT
    assert found["lookup_customer_info"]("12345")["tier"] == "premium"
    assert (
        found["create_support_ticket"]("no sound", "high")
        == "Ticket TICK-0001 created successfully"
    )
    assert world.records.get_ticket("TICK-0001")["priority"] == "high"
    assert "12345" in found["schedule_callback"]("12345", "10:00")


def test_26_orchestrated(blocks: Blocks) -> None:
    FoundryLocalManager("qwen2.5-0.5b")  # the block takes it that the model is here
    found = blocks.run("26")
    result = found["result"]
    assert result.agent == "scheduling-agent"
    assert result.text == HELLO_TEXT
    assert found["orchestrator"].savings.share_local == 1


def test_29_and_30_limits_and_a_monitor(blocks: Blocks) -> None:
    found = blocks.run("30")
    agent, monitor = found["agent"], found["monitor"]
    assert found["resource_config"].max_memory_bytes == 4 * 10**9
    assert found["resource_config"].cache_bytes == 2 * 10**9
    assert agent.memory_percent is not None
    assert agent.chat("hello") == HELLO_TEXT
    values = monitor.values(agent.name)
    assert set(values) == {"response_time", "success_rate", "resource_usage", "memory_usage"}
    assert values["success_rate"] == 100
    assert monitor.store is not None
    assert monitor.store.values("response_time", agent.name)[-1][1] == values["response_time"]


def test_31_a_shop(blocks: Blocks) -> None:
    found = blocks.run("31", given=World().names)
    agent = found["retail_agent"]
    assert "electronics store" in agent.config.system_message
    assert agent.chat("hello") == HELLO_TEXT
    assert found["check_inventory"]("TV-1") == {"sku": "TV-1", "stock": 3, "price": 499.0}
    assert found["find_alternatives"]("tv") == ["TV-1", "TV-2"]
    assert found["create_price_quote"](["TV-1", "TV-2"])["total"] == 798.5
    assert len(agent.tools) == 3


def test_32_a_clinic(blocks: Blocks) -> None:
    found = blocks.run("32", given=World().names)
    agent = found["healthcare_agent"]
    assert agent.config.privacy_mode
    assert agent.config.compliance == ("HIPAA",)
    assert agent.chat("hello") == HELLO_TEXT
    available = found["check_appointment_availability"]("dr-1", "2026-12-01/2026-12-31")
    assert available == ["2026-12-01T10:00"]
    portal = found["access_patient_portal"]
    assert portal("p-1", "wrong") == {"error": "Authentication failed"}
    assert portal("p-1", TOKEN)["patient_id"] == "p-1"


def test_35_the_first_agent(blocks: Blocks, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks.run("35")
    assert capsys.readouterr().out.strip() == found["response"] == DONE_TEXT
    (called,) = asyncio.run(found["agent"].run("What time is it?")).tool_results
    told = datetime.datetime.strptime(called.content, "%Y-%m-%d %H:%M:%S")
    assert abs((datetime.datetime.now() - told).total_seconds()) < 60


def test_36_limits_of_the_edge(blocks: Blocks) -> None:
    found = blocks.run("36")
    assert found["resource_config"].max_memory_bytes == 2 * 10**9
    assert found["resource_config"].cache_bytes == 10**9
    assert found["agent"].chat("hello") == HELLO_TEXT
