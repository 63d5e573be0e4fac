"""The guide's blocks on Ollama (12 to 16). See `test_samples`."""

from __future__ import annotations

import asyncio
import datetime
import re

import pytest
from guide.blocks import Blocks, both, goes_round
from guide.tiny_models import DONE_TEXT, HELLO_TEXT

pytestmark = [
    # Connections that the guide's code leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@both
def test_12_ollama(blocks: Blocks, ours: bool) -> None:
    found = blocks.run("12", ours=ours)
    manager, agent = found["ollama_manager"], found["agent"]
    assert manager.health_check() is True
    assert manager.ensure_model_available() is True
    assert agent.chat("hello") == HELLO_TEXT
    with manager.get_openai_client() as client:
        assert manager.model_name in {model.id for model in client.models.list()}
    if ours:  # theirs takes a stream that ends with an error for success
        assert type(manager)("no-such-model").ensure_model_available() is False
    assert type(manager)("x", "http://127.0.0.1:9").health_check() is False


@both
def test_13_a_model_for_each_task(blocks: Blocks, ours: bool) -> None:
    found = blocks.run("13", ours=ours)
    names = [found[f"{task}_agent"].config.model_id for task in ("routing", "coding", "analysis")]
    assert names == [
        "qwen2.5:0.5b-instruct-q4_K_M", "codellama:7b-code-q4_K_M", "llama3.2:3b-instruct-q4_K_M",
    ]  # fmt: skip
    other = found["manager"].get_agent_for_task("a poem")
    assert other.config.model_id == "phi3.5:3.8b-mini-instruct-q4_K_M"
    assert found["coding_agent"].chat("hello") == HELLO_TEXT


@both
def test_14_ollama_production(blocks: Blocks, ours: bool) -> None:
    found = blocks.run("14", ours=ours)
    service, result = found["service"], found["result"]
    assert set(service.agents) == {"customer_service", "technical_support", "routing"}
    assert result["status"] == "success"
    assert result["response"] == DONE_TEXT
    assert result["agent_type"] == "customer_service"
    assert 0 < result["processing_time"] < 30
    failed = asyncio.run(service.process_request("hello", "nobody"))
    assert failed["status"] == "error"
    assert "technical difficulties" in failed["response"]
    assert "nobody not available" in failed["error"]
    health = service.get_health_status()
    assert health["service_status"] == "healthy"
    assert set(found["production_models"].values()) <= set(health["available_models"])
    assert health["metrics"]["requests_processed"] == 1
    assert health["metrics"]["errors"] == 1
    assert health["metrics"]["model_usage"]["customer_service"] == 1
    tools = {tool.name: tool for agent in service.agents.values() for tool in agent.tools}
    ticket = tools["create_support_ticket"](issue="it is broken")
    assert re.fullmatch(r"Created ticket TICK-\d{4} with priority medium", ticket)
    assert tools["run_diagnostics"](system_info="x")["status"] in ("healthy", "degraded")
    if ours:
        assert tools["create_support_ticket"](issue="it is broken") != ticket
        service.records.put_article("Printer", "The printer needs paper.")
        service.records.put_article("Login", "Reset the password.")
        (best, *_) = tools["access_knowledge_base"](query="no paper in my printer")
        assert best["title"] == "Printer"
        assert [entry["status"] for entry in service.interactions] == ["success", "error"]


@both
def test_15_ollama_monitoring(blocks: Blocks, ours: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks.run("12")  # so that there is a model
    found = blocks.run("15", ours=ours)
    monitor = found["monitor"]
    metrics = asyncio.run(monitor.collect_metrics())
    assert metrics["service_status"] == "healthy", metrics
    model = metrics["models"]["phi3.5:3.8b-mini-instruct-q4_K_M"]
    assert model["size_gb"] > 0
    assert len(model["digest"]) == 12
    assert datetime.datetime.fromisoformat(model["modified"]).year >= 2024
    assert metrics["performance"]["inference_time_ms"] > 0
    assert metrics["performance"]["tokens_per_second"] > 0
    waits = goes_round(found["monitoring_loop"], monkeypatch, 2)
    assert waits == [30, 30]
    summary = monitor.get_performance_summary(60)
    assert (summary["total_checks"], summary["uptime_percent"]) == (3, 100)
    assert summary["max_response_time_ms"] >= summary["min_response_time_ms"] > 0
    slow = {**metrics, "performance": {"inference_time_ms": 2001}}
    assert {"type": "performance", "severity": "warning"}.items() <= (
        monitor.check_alerts(slow)[0].items()
    )
    gone = type(monitor)("http://127.0.0.1:9")
    (*_, alert) = gone.check_alerts(asyncio.run(gone.collect_metrics()))
    assert (alert["type"], alert["severity"]) == ("availability", "critical")
    monitor.metrics_history = [metrics] * 150
    asyncio.run(monitor.collect_metrics())
    assert len(monitor.metrics_history) == 100


def test_15_all_thresholds(blocks: Blocks) -> None:
    monitor = blocks.run("15", ours=True)["monitor"]
    metrics = asyncio.run(monitor.collect_metrics())
    assert metrics["resources"]["memory_usage_percent"] > 0
    metrics["resources"]["memory_usage_percent"] = 86
    assert "High memory usage: 86%" in [a["message"] for a in monitor.check_alerts(metrics)]
    failed = {**metrics, "service_status": "error"}
    monitor.metrics_history = [metrics] * 9 + [failed]
    assert any("error rate: 10%" in a["message"] for a in monitor.check_alerts(metrics))


@both
def test_16_models_by_category(
    blocks: Blocks, ours: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = blocks.run("16", ours=ours)
    assert "Model setup results" in capsys.readouterr().out
    results, manager = found["setup_results"], found["model_manager"]
    assert set(results) == {"balanced", "ultra_light"}
    statuses = {each["model"]: each["status"] for group in results.values() for each in group}
    assert set(statuses.values()) == {"ready"}
    assert "tinyllama:1.1b-chat-q4_K_M" in statuses
    unknown = manager.setup_production_models(["colossal"])
    assert unknown == {"colossal": {"status": "error", "message": "Unknown category"}}
    tiers = manager.optimize_for_hardware()
    assert [tiers[tier]["max_concurrent"] for tier in tiers] == [1, 2, 3]
    if ours:
        assert manager.recommended_tier() in tiers
        llamas = manager.setup_production_models(["high_capability"])["high_capability"]
        assert [each["status"] for each in llamas] == ["failed", "failed"]
