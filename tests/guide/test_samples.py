"""The guide's Python blocks, all of them, against a real `pyslm serve`.

Blocks that define classes run twice: with their own, and with those of `pyslm.guide` in their
place, of which more is asked.
"""

from __future__ import annotations

import asyncio
import datetime
import gc
import re
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from guide.blocks import NEEDS, Blocks, EnoughError, Rounds, end
from guide.local_world import TOKEN, World
from guide.tiny_models import DONE, HELLO

from pyslm.agents import AgentResult, PerformanceMetrics
from pyslm.guide import LocalRecords

pytestmark = [
    # Connections that the guide's code leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
both = pytest.mark.parametrize("ours", [False, True], ids=["theirs", "ours"])
HELLO_TEXT, DONE_TEXT = "".join(HELLO), "".join(DONE)


@pytest.fixture(autouse=True)
def _collect_what_blocks_leave() -> Iterator[None]:
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide looks every two seconds whether a server is there."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.2)))


def goes_round(loop: Any, monkeypatch: pytest.MonkeyPatch, rounds: int) -> list[float]:
    """Runs one of the guide's endless loops; gives how long it would have waited."""
    waits = Rounds(rounds)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "sleep", waits)
        with pytest.raises(EnoughError):
            asyncio.run(loop())
    return waits.waits


def test_every_block_is_here(samples: Path) -> None:
    assert sorted(NEEDS) == sorted(path.stem for path in samples.glob("*.py"))


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
