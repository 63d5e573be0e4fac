"""The guide's blocks on Foundry Local (3 to 9). See `test_samples`."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from guide.blocks import Blocks, both, goes_round
from guide.tiny_models import DONE_TEXT, HELLO_TEXT

from pyslm.agents import AgentResult
from pyslm.guide import LocalRecords

pytestmark = [
    # Connections that the guide's code leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_03_manager_client_and_agent(blocks: Blocks) -> None:
    found = blocks.run("03")
    manager, client, agent = found["manager"], found["client"], found["agent"]
    assert manager.endpoint.endswith("/v1")
    assert agent.config.model_id == manager.get_model_info().id
    messages: list[Any] = [{"role": "user", "content": "hello"}]
    answer = client.chat.completions.create(model=manager.model_info.id, messages=messages)
    assert answer.choices[0].message.content == HELLO_TEXT
    assert agent.chat("hello") == HELLO_TEXT
    client.close()


def test_04_variants_by_use_case(blocks: Blocks, capsys: pytest.CaptureFixture[str]) -> None:
    blocks.run("04")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "lightweight_routing", "general_conversation", "complex_reasoning", "code_assistance",
    ]  # fmt: skip
    for line in lines:
        assert re.fullmatch(r"\w+: [\w.-]+-Q[45]_K_M\.gguf \(CPU optimized\)", line), line


@both
def test_05_production_agent(blocks: Blocks, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks.run("05", ours=ours)
    service = found["service"]
    assert found["response"] == DONE_TEXT
    assert service.agent.config.max_tokens == 512
    service.local_db = LocalRecords()
    result: AgentResult = asyncio.run(service.agent.run("help with my order #12345"))
    (called,) = result.tool_results
    assert called.call.name == "lookup_customer"
    assert "no such customer" in called.content
    service.local_db.put_customer("12345", tier="gold")
    assert "gold" in asyncio.run(service.agent.run("my order")).tool_results[0].content
    create = next(tool for tool in service.agent.tools if tool.name == "create_ticket")
    assert re.fullmatch(r"Created ticket TICK-\d{4}", create(issue="broken"))
    health = service.health_check()
    assert health["foundry_status"] is True
    assert health["model_loaded"] is True
    assert health["endpoint"] == service.foundry.endpoint
    assert health["memory_usage"] > 1e6
    (logged,) = service.interactions
    assert logged["status"] == "success"
    assert logged["response_length"] == len(DONE_TEXT)

    async def fails(text: str) -> str:
        raise OSError(text)

    monkeypatch.setattr(type(service.agent), "chat_async", lambda _, text: fails(text))
    assert "technical difficulties" in asyncio.run(service.process_request("again"))
    assert [entry["status"] for entry in service.interactions] == ["success", "error"]


@both
def test_06_routed_agents(blocks: Blocks, ours: bool) -> None:
    found = blocks.run("06", ours=ours)
    system = found["system"]
    assert set(system.agents) == {"router", "customer_service", "technical"}
    assert found["response"] == HELLO_TEXT
    if ours:
        result = system.orchestrator.process_request("My application keeps crashing")
        assert result.agent == "technical"
        assert system.orchestrator.health()["customer_service"].num_running == 0


@both
def test_07_monitoring(blocks: Blocks, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks.run("07", ours=ours)
    monitor = found["monitor"]
    before = asyncio.run(monitor.collect_metrics())["models"]["phi-4-mini"]
    manager = monitor.managers["phi-4-mini"]
    assert manager.warm_up() > 0
    after = asyncio.run(monitor.collect_metrics())["models"]["phi-4-mini"]
    assert after["inference_count"] == before["inference_count"] + 1
    assert after["average_latency"] > 0
    assert set(after) == {
        "status", "memory_usage", "inference_count", "average_latency", "error_rate",
    }  # fmt: skip
    assert after["status"] == "healthy"
    assert after["memory_usage"] > 1e6
    assert 0 <= after["error_rate"] <= 100
    assert monitor.get_health_status() == {
        "overall_status": "healthy",
        "healthy_models": 2,
        "total_models": 2,
        "health_percentage": 100,
    }
    manager.shutdown()
    health = monitor.get_health_status()
    assert (health["overall_status"], health["health_percentage"]) == ("degraded", 50)
    waits = goes_round(found["monitoring_loop"], monkeypatch, 3)
    assert waits == [30, 30, 30]
    assert len(monitor.metrics) == 5
    assert monitor.metrics[-1]["models"]["phi-4-mini"]["status"] == "unhealthy"


@both
def test_08_scaling(blocks: Blocks, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks.run("08", ours=ours)
    resources = found["FoundryResourceManager"]()
    if ours:
        resources = found["FoundryResourceManager"](cpu_percent=lambda: 0.0)
    assert resources.resource_limits["max_concurrent_models"] == 3
    demand = {"qwen2.5-0.5b": 0.9, "phi-4-mini": 0.5, "qwen2.5-coder-0.5b": 0.95}
    resources.auto_scale_models(demand)
    assert set(resources.model_instances) == {"qwen2.5-0.5b", "qwen2.5-coder-0.5b"}
    assert 0 < resources.get_total_memory_usage() < 8
    assert resources.load_model_instance("no-such-model") is None
    idle = resources.model_instances["qwen2.5-0.5b"]
    assert 0 <= idle.get_idle_time() < 300
    resources.scale_down_idle_models()
    assert len(resources.model_instances) == 2
    monkeypatch.setattr(idle, "get_idle_time", lambda: 301.0)
    resources.resource_limits["max_memory_gb"] = 0
    resources.auto_scale_models({"phi-4": 0.1})
    assert set(resources.model_instances) == {"qwen2.5-coder-0.5b"}
    assert not idle.is_model_loaded()
    assert resources.model_instances["qwen2.5-coder-0.5b"].is_model_loaded()


def test_08_the_cpu_counts_too(blocks: Blocks) -> None:
    busy = blocks.run("08", ours=True)["FoundryResourceManager"](cpu_percent=lambda: 81.0)
    busy.auto_scale_models({"qwen2.5-0.5b": 0.9})
    assert busy.model_instances == {}


def test_09_a_model_as_configured(blocks: Blocks, caplog: pytest.LogCaptureFixture) -> None:
    manager = blocks.run("09")["manager"]
    info = manager.get_model_info("phi-4-mini")
    assert (info.alias, info.quantization) == ("phi-4-mini", "Q5_K_M")
    assert info.variant_selected == "phi4-mini-3.8b-Q5_K_M.gguf (CPU optimized)"
    assert manager.health_check() is True
    loaded = manager._loaded()
    assert loaded is not None
    assert loaded["context_length"] == 4096
    for setting in ("gpu_layers", "memory_lock", "numa"):
        assert f"{setting} of phi-4-mini has no effect" in caplog.text
    manager.shutdown()
    assert manager.get_memory_usage() == 0
