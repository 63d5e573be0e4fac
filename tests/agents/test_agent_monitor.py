"""Monitors and limits: they have an effect."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from reference.scripted_chat import ScriptedModel

from pyslm.agents import Agent, AgentMonitor, Config, PerformanceMetrics, ResourceConfig
from pyslm.agents.monitoring.metric_store import MetricStore
from pyslm.agents.monitoring.metrics import (
    Counters,
    Sample,
    check_thresholds,
    performance_report,
    scaling_recommendations,
)
from pyslm.agents.monitoring.units import parse_size, parse_threshold
from pyslm.errors import AgentConfigError, AgentError, ModelCallError

GUIDES_ALERTS = [
    {"metric": "response_time", "threshold": "2s", "action": "scale_down_model"},
    {"metric": "memory_usage", "threshold": "80%", "action": "unload_idle_agents"},
]
CALM = Sample(cpu_percent=5.0, memory_percent=30.0, memory_bytes=10**9)


def calm() -> Sample:
    return CALM


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4GB", 4 * 10**9), ("1.5 GB", 15 * 10**8), ("500MB", 5 * 10**8), ("2GiB", 2**31),
     ("2g", 2**31), (1000, 1000), ("1000", 1000)],
)  # fmt: skip
def test_sizes(text: Any, expected: int) -> None:
    assert parse_size("size", text) == expected


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "4 apples", "0", True, None, "1e3"])
def test_no_sizes(text: Any) -> None:
    with pytest.raises(AgentConfigError, match="max_memory_usage"):
        ResourceConfig(max_memory_usage=text) if text is not None else parse_size(
            "max_memory_usage", text
        )


@pytest.mark.parametrize(
    ("text", "expected"),
    [("2s", 2.0), ("500ms", 0.5), ("1m", 60.0), ("80%", 80.0), (3, 3.0), ("2GB", 2e9)],
)
def test_thresholds(text: Any, expected: float) -> None:
    assert parse_threshold("t", text) == pytest.approx(expected)


def test_the_guides_monitor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path))
    monitor = AgentMonitor(
        metrics=["response_time", "success_rate", "resource_usage"],
        alerts=GUIDES_ALERTS,
        local_storage=True,
    )
    agent = Agent(Config(name="a"), model=ScriptedModel("ok", ModelCallError("gone"), "ok"))
    agent.add_monitor(monitor)
    agent.chat("?")
    with pytest.raises(ModelCallError):
        agent.chat("?")
    agent.chat("?")
    values = monitor.values("a")
    assert set(values) == {"response_time", "success_rate", "resource_usage", "memory_usage"}
    assert values["success_rate"] == pytest.approx(200 / 3)
    # Kept on this machine, for another process to read.
    rows = MetricStore(tmp_path / "metrics.db").values("success_rate", "a")
    assert [value for _, value in rows] == pytest.approx([100, 50, 200 / 3])


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"metrics": ["response_tme"]}, "did you mean 'response_time'"),
        ({"alerts": [{"metric": "memory", "threshold": 1}]}, "memory_usage"),
        ({"alerts": [{"metric": "cpu_usage", "threshold": "high"}]}, "threshold"),
        ({"alerts": [{"metric": "cpu_usage"}]}, "no threshold"),
        ({"alerts": [{"metric": "cpu_usage", "threshold": 1, "action": "explode"}]}, "action"),
        ({"alerts": [{"metric": "cpu_usage", "treshold": 1}]}, "allowed"),
    ],
)  # fmt: skip
def test_wrong_monitors(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(AgentConfigError, match=told):
        AgentMonitor(**wrong)
    with pytest.raises(AgentConfigError, match="AgentMonitor"):
        Agent(model=ScriptedModel("x")).add_monitor("monitor")  # type: ignore[arg-type]


def test_slow_answers_scale_the_model_down(weather_model: Path, tmp_path: Path) -> None:
    """Really: the next request runs on the smaller file, and the larger one is let go."""
    large, small = tmp_path / "large.gguf", tmp_path / "small.gguf"
    for path in (large, small):
        path.write_bytes(weather_model.read_bytes())
    config = Config(
        name="a", model_provider="local", model_alias=str(large), fallback_models=[str(small)]
    )
    agent = Agent(config, resource_limits=ResourceConfig(idle_seconds=1234.0))
    alerts = [{"metric": "response_time", "threshold": "1us".replace("us", "ms"),
               "action": "scale_down_model"}]  # fmt: skip
    monitor = AgentMonitor(alerts=alerts, cooldown=0.0, sample=calm)
    agent.add_monitor(monitor)
    pool = agent._resources.pool
    assert asyncio.run(agent.run("?")).model == str(large)
    assert monitor.fired[0].outcome == f"now on {small}"
    assert pool.loaded() == []
    assert asyncio.run(agent.run("?")).model == str(small)
    assert monitor.fired[1].outcome == "there is no smaller model"
    pool.close()


def test_full_memory_unloads_idle_models(weather_model: Path) -> None:
    config = Config(name="a", model_provider="local", model_alias=str(weather_model))
    agent = Agent(config, resource_limits=ResourceConfig(idle_seconds=4321.0))
    samples = iter([CALM, Sample(5.0, 81.0, 10**9), CALM])
    monitor = AgentMonitor(alerts=GUIDES_ALERTS, sample=lambda: next(samples))
    agent.add_monitor(monitor)
    pool = agent._resources.pool
    agent.chat("?")
    assert len(pool.loaded()) == 1
    agent.chat("?")
    assert pool.loaded() == []
    (fired,) = monitor.fired
    assert (fired.metric, fired.value, fired.threshold) == ("memory_usage", 81.0, 80.0)
    assert "weather.gguf" in fired.outcome
    agent.chat("?")  # it comes back
    pool.close()


def test_actions_may_be_functions_and_have_a_cooldown() -> None:
    now = [0.0]
    seen: list[tuple[str, str, float]] = []
    alert = {
        "metric": "cpu_usage", "threshold": "50%",
        "action": lambda agent, metric, value: seen.append((agent.name, metric, value)),
    }  # fmt: skip
    monitor = AgentMonitor(
        alerts=[alert], sample=lambda: Sample(99.0, 1.0, 1), clock=lambda: now[0], cooldown=60
    )
    agent = Agent(Config(name="a"), model=ScriptedModel("ok"))
    agent.add_monitor(monitor)
    for step in (0, 30, 61):
        now[0] = step
        agent.chat("?")
    assert seen == [("a", "cpu_usage", 99.0)] * 2


def test_low_rates_are_what_is_bad() -> None:
    alert = {"metric": "success_rate", "threshold": "60%", "action": "log"}
    monitor = AgentMonitor(alerts=[alert], sample=calm)
    agent = Agent(Config(name="a"), model=ScriptedModel("ok", ModelCallError("gone")))
    agent.add_monitor(monitor)
    agent.chat("?")
    assert not monitor.fired
    with pytest.raises(ModelCallError):
        agent.chat("?")
    assert monitor.fired[0].value == 50.0


def test_a_monitor_that_fails_fails_no_request() -> None:
    def broken() -> Sample:
        raise OSError("no /proc")

    agent = Agent(model=ScriptedModel("ok"))
    agent.add_monitor(AgentMonitor(sample=broken))
    assert agent.chat("?") == "ok"


def test_performance_comes_from_counters() -> None:
    now = [1000.0]
    counters = Counters(lambda: now[0])
    for step in range(30):
        counters.began()
        now[0] += 1.0
        counters.ended(0.2, ok=step % 10 != 0, tokens=50)
    counters.began()
    found = counters.performance(CALM, queue_length=4)
    assert isinstance(found, PerformanceMetrics)
    assert found.requests_per_second == pytest.approx(1.0)  # not 1 / latency, which were 5
    assert found.average_latency_ms == pytest.approx(200)
    assert found.error_rate_percent == pytest.approx(10)
    assert found.tokens_per_second == pytest.approx(50)
    assert (found.queue_length, found.active_requests) == (4, 1)
    assert found.memory_used_gb == pytest.approx(10**9 / 2**30)
    now[0] += 3600
    assert counters.performance(CALM).requests_per_second == 0


def metrics(**changes: Any) -> PerformanceMetrics:
    fields: dict[str, Any] = {
        "timestamp": time.time(), "requests_per_second": 5.0, "average_latency_ms": 100.0,
        "gpu_utilization_percent": 0.0, "gpu_memory_used_gb": 0.0, "cpu_utilization_percent": 50.0,
        "memory_used_gb": 1.0, "queue_length": 0, "active_requests": 0,
    }  # fmt: skip
    return PerformanceMetrics(**(fields | changes))


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({}, []),
        ({"average_latency_ms": 3001.0}, ["latency_max_ms"]),
        ({"gpu_utilization_percent": 96.0, "gpu_memory_used_gb": 11.0},
         ["gpu_utilization_max", "gpu_memory_max_gb"]),
        ({"queue_length": 51, "error_rate_percent": 11.0},
         ["queue_length_max", "error_rate_max_percent"]),
    ],
)  # fmt: skip
def test_all_thresholds_are_checked(changes: dict[str, Any], names: list[str]) -> None:
    assert [each["metric"] for each in check_thresholds(metrics(**changes))] == names


@pytest.mark.parametrize(
    ("changes", "kinds"),
    [
        ({}, []),
        ({"average_latency_ms": 4000.0}, ["scale_up"]),
        ({"gpu_utilization_percent": 99.0}, ["scale_out"]),
        ({"cpu_utilization_percent": 99.0}, ["scale_out"]),
        ({"queue_length": 60}, ["scale_out"]),
        ({"cpu_utilization_percent": 3.0, "requests_per_second": 0.1}, ["scale_down"]),
    ],
)  # fmt: skip
def test_recommendations(changes: dict[str, Any], kinds: list[str]) -> None:
    found = scaling_recommendations({"one": metrics(**changes)})
    assert [each["type"] for each in found] == kinds
    assert all(set(e) == {"instance", "type", "reason", "suggestion"} for e in found)


def test_reports_have_the_guides_keys() -> None:
    assert performance_report([]) == {"error": "No recent metrics available"}
    old = metrics(timestamp=time.time() - 7200, average_latency_ms=9999.0)
    history = [
        {"a": old},
        {"a": metrics(average_latency_ms=100.0, queue_length=3), "b": metrics()},
        {"a": metrics(average_latency_ms=300.0)},
    ]
    report = performance_report(history, 60)
    assert (report["time_window_minutes"], report["total_samples"]) == (60, 2)
    assert report["instances"]["a"] == {
        "avg_latency_ms": 200.0, "max_latency_ms": 300.0, "avg_gpu_utilization": 0.0,
        "avg_requests_per_second": 5.0, "max_queue_length": 3, "availability_percent": 100.0,
    }  # fmt: skip
    assert report["instances"]["b"]["availability_percent"] == 50.0


def test_scaling_from_real_counters(weather_model: Path) -> None:
    """An agent that idles is seen as one, and its model is unloaded."""
    config = Config(name="a", model_provider="local", model_alias=str(weather_model))
    agent = Agent(config, resource_limits=ResourceConfig(idle_seconds=777.0))
    monitor = AgentMonitor(sample=calm)
    agent.add_monitor(monitor)
    agent.chat("?")
    monitor._counters["a"]._started -= 100
    monitor.collect()
    assert [each["type"] for each in monitor.recommendations()] == ["scale_down"]
    assert monitor.scale() == ["a: unloaded weather.gguf"]
    assert agent._resources.pool.loaded() == []
    assert monitor.report()["total_samples"] == 1


def test_metrics_of_a_damaged_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "metrics.db"
    path.write_text("no database" * 100)
    with pytest.raises(AgentError, match="metrics"):
        AgentMonitor(local_storage=path)
    other = tmp_path / "other.db"
    MetricStore(other).add("a", {"x": 1.0})
    db = sqlite3.connect(other)
    db.execute("PRAGMA user_version = 9")
    db.close()
    with pytest.raises(AgentError, match="version 9"):
        MetricStore(other)


def test_fired_alerts_are_kept(tmp_path: Path) -> None:
    alert = {"metric": "cpu_usage", "threshold": 1}
    monitor = AgentMonitor(alerts=[alert], local_storage=tmp_path / "m.db", sample=calm)
    agent = Agent(Config(name="a"), model=ScriptedModel("ok"))
    agent.add_monitor(monitor)
    agent.chat("?")
    assert monitor.store is not None
    ((_, *row),) = monitor.store.alerts()
    assert row == ["a", "cpu_usage", 5.0, 1.0, "log", "logged"]
