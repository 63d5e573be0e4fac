"""The guide's blocks on vLLM (19 to 23). See `test_samples`."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from guide.blocks import Blocks, both, end, goes_round
from guide.tiny_models import HELLO_TEXT

from pyslm.agents import PerformanceMetrics

pytestmark = [
    # Connections that the guide's code leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@both
def test_19_a_server_of_vllms_kind(
    blocks: Blocks, ours: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    found = blocks.run("19", ours=ours)
    manager = found["vllm_manager"]
    try:
        assert "VLLM server started successfully" in capsys.readouterr().out
        assert manager.get_served_model_name() == "microsoft--Phi-3.5-mini-instruct"
        assert found["agent"].chat("hello") == HELLO_TEXT
        served = manager.get_model_info()["data"][0]["id"]
        assert served == manager.get_served_model_name()
        with manager.get_openai_client() as client:
            assert served in [model.id for model in client.models.list()]
    finally:
        end(manager)
    assert manager.health_check() is False
    assert manager.get_model_info() == {}


@both
def test_20_many_requests(blocks: Blocks, ours: bool, capsys: pytest.CaptureFixture[str]) -> None:
    found = blocks.run("20", ours=ours)
    manager = found["throughput_manager"]
    try:
        assert found["initialized_count"] == 3
        assert capsys.readouterr().out.count(": success in ") == 3
        results = found["results"]
        assert [result["request_id"] for result in results] == [1, 2, 3]
        assert [result["agent_used"] for result in results] == [
            "lightweight", "capable", "balanced",
        ]  # fmt: skip
        assert {result["response"] for result in results} == {HELLO_TEXT}
        assert len(manager.client_pool["balanced"]) == 5
        full = {"lightweight": 10, "balanced": 4, "capable": 3}
        assert manager.get_optimal_agent("simple", full) == "capable"
        assert manager.get_optimal_agent("complex", full) == "capable"
        assert manager.get_optimal_agent("any", dict.fromkeys(full, 10)) == "balanced"
        bad = asyncio.run(manager.process_batch_requests([{"id": 7, "complexity": "simple"}]))
        assert (bad[0]["request_id"], bad[0]["status"]) == (7, "error")
        if ours:
            assert set(manager.load.values()) == {0}
    finally:
        end(*manager.managers.values())


def test_21_theirs(blocks: Blocks) -> None:
    """What the guide's own service does before its servers run."""
    found = blocks.run("21")
    service = found["production_service"]
    assert service.get_production_metrics()["total_requests"] == 0
    health = asyncio.run(service.get_health_status())
    assert (health["queue_size"], health["active_workers"]) == (0, 0)
    assert {route.path for route in service.app.routes} >= {"/chat", "/health", "/metrics"}


def test_21_ours(blocks: Blocks) -> None:
    asyncio.run(_production_service(blocks))


async def _production_service(blocks: Blocks) -> None:
    import httpx

    found = await blocks.run_async("21", ours=True)
    service = found["production_service"]
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        assert (await http.post("/chat", json={"message": "hello"})).status_code == 503
        assert (await http.get("/health")).json()["overall_status"] == "unhealthy"
        assert await service.initialize_production_environment() == 3
        try:
            answer = await http.post("/chat", json={"message": "hello"})
            assert answer.status_code == 200
            told = answer.json()
            assert (told["response"], told["agent_used"]) == (HELLO_TEXT, "general_purpose")
            assert told["processing_time"] > 0
            for kind, name in (("technical", "technical_support"), ("customer_service",) * 2):
                body = {"message": "hello", "agent_type": kind, "priority": "high"}
                assert (await http.post("/chat", json=body)).json()["agent_used"] == name
            late = await http.post("/chat", json={"message": "hello", "timeout": 1e-6})
            assert late.status_code == 408
            assert (await http.post("/chat", json={"message": ""})).status_code == 422
            health = (await http.get("/health")).json()
            assert health["overall_status"] == "healthy"
            assert health["active_workers"] == 3
            assert {server["status"] for server in health["servers"].values()} == {"healthy"}
            metrics = (await http.get("/metrics")).json()
            assert metrics["successful_requests"] == metrics["throughput_per_minute"] == 3
            assert metrics["success_rate_percent"] >= 75
            assert set(metrics["agent_usage_distribution"].values()) == {1}
            service.managers["general_purpose"].shutdown()
            assert (await http.get("/health")).json()["overall_status"] == "degraded"
            assert (await http.post("/chat", json={"message": "hello"})).status_code == 500
        finally:
            await service.shutdown()


@both
def test_22_advanced_monitoring(
    blocks: Blocks, ours: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = blocks.run("22", ours=ours)
    monitoring, manager = found["monitoring"], found["vllm_manager"]
    try:
        assert monitoring.generate_performance_report() == {"error": "No recent metrics available"}
        waits = goes_round(found["advanced_monitoring_loop"], monkeypatch, 2)
        assert waits == [30, 30]
        metrics = monitoring.metrics_history[-1]["customer_service"]
        assert metrics.average_latency_ms > 0
        assert metrics.memory_used_gb > 0
        assert metrics.gpu_utilization_percent == 0
        report = monitoring.generate_performance_report(60)
        assert report["total_samples"] == 2
        instance = report["instances"]["customer_service"]
        assert set(instance) == {
            "avg_latency_ms", "max_latency_ms", "avg_gpu_utilization", "avg_requests_per_second",
            "max_queue_length", "availability_percent",
        }  # fmt: skip
        assert instance["availability_percent"] == 100
        monitoring.alert_thresholds["latency_max_ms"] = 0
        (up, *_) = asyncio.run(monitoring.auto_scaling_recommendations())
        assert (up["instance"], up["type"]) == ("customer_service", "scale_up")
        if ours:
            _rates_are_counted(monitoring, found["agent"])
    finally:
        end(manager)
    failed = asyncio.run(monitoring.collect_comprehensive_metrics())["customer_service"]
    assert (failed.requests_per_second, failed.average_latency_ms) == (0, 0)


def _rates_are_counted(monitoring: Any, agent: Any) -> None:
    """Requests per second are those that there were, the monitor's own left out."""
    asyncio.run(monitoring.collect_comprehensive_metrics())
    began = time.perf_counter()
    for _ in range(4):
        agent.chat("hello")
    latest = asyncio.run(monitoring.collect_comprehensive_metrics())
    metrics: PerformanceMetrics = latest["customer_service"]
    assert metrics.requests_per_second * (time.perf_counter() - began) == pytest.approx(4, rel=0.5)
    alerts = monitoring.check_alerts(latest)
    assert {"instance": "customer_service", "metric": "latency_max_ms"}.items() <= (
        next(a for a in alerts if a["metric"] == "latency_max_ms").items()
    )


@both
def test_23_templates(blocks: Blocks, ours: bool, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = blocks.run("23")
    found = blocks.run("23", ours=True) if ours else theirs
    assert capsys.readouterr().out.count("--max-num-seqs 32") == 1 + ours
    for command, length in ((found["dev_cmd"], "2048"), (found["prod_cmd"], "8192")):
        assert command[command.index("--max-model-len") + 1] == length
    assert "--enable-prefix-caching" not in found["dev_cmd"]
    assert {"--enable-prefix-caching", "--enable-chunked-prefill"} <= set(found["prod_cmd"])
    for scenario in theirs["DeploymentScenario"]:
        template = found["VLLMConfigTemplates"].get_config_template(scenario)
        assert template == theirs["VLLMConfigTemplates"].get_config_template(scenario)
    enterprise = theirs["DeploymentScenario"].ENTERPRISE
    command = found["VLLMConfigTemplates"].generate_vllm_command("m", enterprise)
    assert command[command.index("--pipeline-parallel-size") + 1] == "2"
    if ours:
        from pyslm.guide import vllm_server

        given = vllm_server._parser().parse_args(command[3:])
        assert given.guided_decoding_backend == "outlines"
        arguments = vllm_server.serve_arguments(given, "m")
        assert arguments[arguments.index("--ctx") + 1] == "16384"
