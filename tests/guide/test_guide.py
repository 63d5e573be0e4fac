"""What the guide's classes do that its blocks do not show."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from guide.blocks import free_ports

import pyslm.guide
from pyslm import service
from pyslm.agents import Tool
from pyslm.errors import AgentConfigError, AgentError, ModelNotFoundError, ServiceError
from pyslm.guide import (
    AgentRequest,
    DeploymentScenario,
    FoundryLocalManager,
    LocalRecords,
    ModelConfig,
    OllamaModelManager,
    VLLMConfigTemplates,
    VLLMManager,
    VLLMProductionService,
    VLLMServerConfig,
    vllm_server,
)
from pyslm.guide.local_key import local_api_key
from pyslm.guide.ollama_manager import ollama_url
from pyslm.guide.request_queue import RequestQueue
from pyslm.guide.server_client import ModelCounts, ServerClient
from pyslm.hub import Hardware


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user with nothing of his own."""
    for name in ("PYSLM_STATE_DIR", "PYSLM_MODELS", "OLLAMA_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("PYSLM_API_KEY", "OLLAMA_HOST"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


# --- imports of the guide ---------------------------------------------------------------------


def test_names_are_importable_only_while_they_are_installed() -> None:
    before = {
        name: sys.modules.get(name) for name in ("foundry_local", "microsoft_agent_framework")
    }
    path = os.environ.get("PYTHONPATH")
    with pyslm.guide.installed():
        pyslm.guide.install()  # a second time changes nothing
        ours: Any = importlib.import_module("foundry_local")
        assert ours.FoundryLocalManager is FoundryLocalManager
        assert ours.ModelConfig is ModelConfig
        framework: Any = importlib.import_module("microsoft_agent_framework")
        assert framework.Tool is Tool
        assert importlib.util.find_spec("microsoft_agent_framework") is not None
        nvml: Any = importlib.import_module("nvidia_ml_py3")
        assert callable(nvml.nvmlInit)
    assert {name: sys.modules.get(name) for name in before} == before
    assert os.environ.get("PYTHONPATH") == path
    pyslm.guide.uninstall()  # nothing is left to undo


def test_the_real_sdk_is_not_hidden() -> None:
    script = (
        "import pyslm.guide, foundry_local as a; pyslm.guide.install(); import foundry_local as b;"
        "pyslm.guide.uninstall(); import foundry_local as c; print(a is c, a is b, a.__file__)"
    )
    pytest.importorskip("foundry_local", reason="foundry-local-sdk 0.5 is missing")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("True False ")
    assert "pyslm" not in done.stdout


# --- models of the service --------------------------------------------------------------------


def test_the_manager_starts_the_service_as_configured(
    home: Path, shared: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from stories import chat_stories

    from pyslm.hub import ModelStore

    ModelStore().adopt(chat_stories(shared, home), "tiny-q4_0")
    manager = FoundryLocalManager(config=ModelConfig("tiny-q4_0", threads=1, batch_size=2))
    try:
        running = service.find()
        assert running is not None
        assert running.arguments == ("--port", "0", "--threads", "1", "--parallel", "2")
        assert manager.endpoint == f"{running.url}/v1"
        assert "has no effect" not in caplog.text
        FoundryLocalManager(config=ModelConfig("tiny-q4_0", threads=2, batch_size=2))
        assert "threads of tiny-q4_0 has no effect on the service that runs" in caplog.text
        assert "batch_size" not in caplog.text
        other = FoundryLocalManager()  # finds it
        assert other.service_uri == running.url
        assert [info.alias for info in other.list_loaded_models()] == ["tiny-q4_0"]
        assert "tiny-q4_0" in {info.alias for info in other.list_cached_models()}
        assert "phi-4-mini" in {info.alias for info in other.list_catalog_models()}
        assert manager.get_error_rate() == 0
        assert manager.get_inference_count() == 0
        with pytest.raises(ModelNotFoundError):
            other.get_model_info("no-such-model")
        with pytest.raises(AgentConfigError, match="name one"):
            other.get_model_info()
        manager.shutdown()
        assert not manager.health_check()
        assert other.health_check()
        assert manager.get_idle_time() == float("inf")
    finally:
        found = service.find()
        assert found is not None
        service.stop(found)
    assert not manager.health_check()
    with pytest.raises(ServiceError, match="cannot be reached"):
        manager.get_memory_usage()


def test_a_manager_without_a_service(home: Path) -> None:  # noqa: ARG001
    manager = FoundryLocalManager("phi-4-mini", bootstrap=False)
    assert not manager.is_service_running()
    assert not manager.health_check()
    with pytest.raises(ServiceError, match="start_service"):
        _ = manager.endpoint


def test_the_key_is_kept_for_its_user_alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = local_api_key()
    assert key == local_api_key()
    assert len(key) > 30
    (file,) = home.rglob("local_api_key")
    assert file.stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("PYSLM_API_KEY", "given")
    assert local_api_key() == "given"


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"alias": ""}, "alias"),
        ({"alias": "x", "quantization": "Q99"}, "quantization"),
        ({"alias": "x", "threads": 0}, "threads"),
        ({"alias": "x", "context_length": "4k"}, "context_length"),
        ({"alias": "x", "batch_size": True}, "batch_size"),
        ({"alias": "x", "gpu_layer": 3}, "did you mean gpu_layers"),
    ],
)
def test_bad_model_configs(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(AgentConfigError, match=told):
        ModelConfig(**settings)


def test_names_of_quantizations() -> None:
    assert ModelConfig("phi-4-mini", "q5_k_m").name == "phi-4-mini:Q5_K_M"
    assert ModelConfig("qwen2.5:0.5b", "Q8_0").name == "qwen2.5:0.5b-Q8_0"
    with pytest.raises(AgentConfigError, match="config is of 'x'"):
        FoundryLocalManager("y", config=ModelConfig("x"), bootstrap=False)


def test_settings_of_a_service_that_has_them_anyway() -> None:
    config = ModelConfig("x", threads=2, batch_size=16)  # 16 are computed together by default
    assert config.without_effect(["--port", "0", "--threads", "2"]) == []
    assert [name for name, _ in config.without_effect(["m", "--parallel", "2"])] == [
        "threads",
        "batch_size",
    ]


def test_counts_of_a_time() -> None:
    before = ModelCounts(successes=3, failures=1, latency_sum=2.0, latency_count=4)
    after = ModelCounts(successes=6, failures=2, latency_sum=4.0, latency_count=8, num_waiting=5)
    recent = after.since(before)
    assert (recent.requests, recent.error_percent) == (4, 25)
    assert recent.average_seconds == 0.5
    assert recent.num_waiting == 5
    assert ModelCounts().error_percent == ModelCounts().average_seconds == 0


# --- records ----------------------------------------------------------------------------------


def test_records_stay(tmp_path: Path) -> None:
    path = tmp_path / "records.db"
    first = LocalRecords(path)
    assert first.create("broken", "high") == "TICK-0001"
    assert first.create("down", "critical", kind="INC") == "INC-00002"
    first.put_order("o-1", "shipped", "2 days")
    again = LocalRecords(path)
    assert again.create("broken", "high") == "TICK-0003"
    assert again.get_ticket("TICK-0001")["issue"] == "broken"
    assert "error" in again.get_ticket("INC-00001")
    assert "error" in again.get_ticket("TICK-x")
    assert again.get_order("o-1") == {"order_id": "o-1", "status": "shipped", "eta": "2 days"}
    assert "error" in again.get_order("o-2")
    assert again.get_customer("'; DROP TABLE tickets; --")["error"]
    assert path.stat().st_mode & 0o777 == 0o600
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(AgentError, match="name another file"):
        LocalRecords(damaged)


# --- Ollama -----------------------------------------------------------------------------------


def test_ollamas_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OLLAMA_HOST", raising=False)
    assert ollama_url() == "http://localhost:11434"
    monkeypatch.setenv("OLLAMA_HOST", "0.0.0.0:1234")
    assert ollama_url() == "http://127.0.0.1:1234"


@pytest.mark.parametrize(
    ("gib", "cores", "tier"),
    [(1, 8, "low_resource"), (8, 1, "low_resource"), (8, 4, "medium_resource"),
     (32, 4, "medium_resource"), (32, 8, "high_resource")],
)  # fmt: skip
def test_tiers_of_hardware(gib: int, cores: int, tier: str) -> None:
    manager = OllamaModelManager("http://127.0.0.1:9")
    assert manager.recommended_tier(Hardware(gib << 30, cores)) == tier


def test_models_of_a_server_that_is_not_there() -> None:
    manager = OllamaModelManager("http://127.0.0.1:9")
    told = manager.setup_production_models(["balanced"])["balanced"]
    assert [each["status"] for each in told] == ["error", "error"]
    assert "cannot be reached" in told[0]["error"]


# --- vLLM -------------------------------------------------------------------------------------


def arguments(*given: str) -> list[str]:
    return vllm_server.serve_arguments(vllm_server._parser().parse_args(given), "m")


def test_vllms_flags() -> None:
    found = arguments(
        "--model", "a/b", "--max-model-len", "2048", "--max-num-seqs", "8", "--port", "81",
        "--max-num-batched-tokens", "64", "--gpu-memory-utilization", "0.5", "--trust-remote-code",
        "--disable-log-requests", "--enable-prefix-caching", "--served-model-name", "x", "y",
    )  # fmt: skip
    assert found[0] == "m"
    assert {"--name=x", "--name=y"} <= set(found)
    text = " ".join(found)
    for flag in ("--ctx 2048", "--parallel 8", "--batch 64", "--port 81", "--log-level warning"):
        assert flag in text
    budget = int(found[found.index("--memory-budget") + 1])
    assert budget == psutil.virtual_memory().total // 2
    assert "--insecure" not in found
    assert "--insecure" in arguments("--model", "m", "--host", "0.0.0.0")
    assert "--insecure" not in arguments("--model", "m", "--host", "0.0.0.0", "--api-key", "k")


@pytest.mark.parametrize("share", ["0", "1.5", "x"])
def test_shares_of_memory_that_are_none(share: str) -> None:
    with pytest.raises(SystemExit):
        arguments("--model", "m", "--gpu-memory-utilization", share)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("microsoft/Phi-3.5-mini-instruct", "phi-3.5-mini-instruct"),
        ("Qwen/Qwen2.5-0.5B-Instruct", "qwen2.5-0.5b-instruct"),
        ("meta-llama/Llama-3.2-3B-Instruct", "llama-3.2-3b-instruct"),
        ("meta-llama/Meta-Llama-3.1-8B-Instruct", "llama-3.1-8b-instruct"),
        ("Qwen/Qwen3-4B-GGUF", "hf:Qwen/Qwen3-4B-GGUF"),
        ("qwen2.5:0.5b", "qwen2.5:0.5b"),
    ],
)
def test_names_of_hugging_face(name: str, plain: str) -> None:
    assert vllm_server.plain_model(name) == plain


def test_quantizations_of_vllm() -> None:
    assert vllm_server._quant("awq") == "Q4_K_M"
    assert vllm_server._quant("fp8") == "Q8_0"
    assert vllm_server._quant("q5_k_m") == "Q5_K_M"
    with pytest.raises(ModelNotFoundError, match="'marlin9' is not known"):
        vllm_server._quant("marlin9")


def test_a_server_that_cannot_start_says_why(
    home: Path,  # noqa: ARG001
    caplog: pytest.LogCaptureFixture,
) -> None:
    (port,) = free_ports(1)
    manager = VLLMManager("./no-such-model.gguf", port=port)
    assert manager.start_server() is False
    assert "no-such-model.gguf" in caplog.text
    assert manager.process is None
    with pytest.raises(ValueError, match="colossal"):
        VLLMConfigTemplates.get_config_template("colossal")
    command = VLLMConfigTemplates.generate_vllm_command("m", DeploymentScenario.DEVELOPMENT)
    assert command[:3] == [sys.executable, "-m", "pyslm.guide.vllm_server"]


def test_nobody_starts_at_all() -> None:
    config = VLLMServerConfig("./no-such-model.gguf", free_ports(1)[0], 0.1, 128)
    production = VLLMProductionService({"general_purpose": config}, LocalRecords())
    with pytest.raises(ServiceError, match="no server"):
        asyncio.run(production.initialize_production_environment())


def test_the_queue_knows_priorities_and_its_end() -> None:
    async def queued() -> list[str]:
        queue = RequestQueue(max_size=4)
        for priority in ("low", "normal", "high"):
            queue.put(AgentRequest(message=priority, priority=priority))
        gone = queue.put(AgentRequest(message="gone", priority="high"))
        gone.cancel()
        with pytest.raises(asyncio.QueueFull):
            queue.put(AgentRequest(message="too many"))
        order = [(await queue.get()).request.message for _ in range(2)]
        last = queue.put(AgentRequest(message="last", priority="low"))
        queue.fail(ServiceError("over"))
        with pytest.raises(ServiceError, match="over"):
            await last
        return order

    assert asyncio.run(queued()) == ["high", "normal"]
    with pytest.raises(ValueError, match="priority"):
        AgentRequest(message="x", priority="urgent")


def test_the_client_says_what_a_server_refuses() -> None:
    with pytest.raises(ServiceError, match=re.escape("http://127.0.0.1:9 cannot be reached")):
        ServerClient("http://127.0.0.1:9").ask("/api/ps")
    with pytest.raises(ServiceError, match="/metrics cannot be read"):
        ServerClient("http://127.0.0.1:9").counts()
    assert not ServerClient("http://127.0.0.1:9/").is_healthy()
