"""Foundry Local's clients: the SDK unmodified, and the routes on the wire.

Contract: B1-B10, B24-B26.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from serve.server_process import ServerProcess

foundry_local = pytest.importorskip("foundry_local", reason="foundry-local-sdk 0.5 is missing")

VARIANT = "stories-generic-cpu:1"


@pytest.fixture(scope="module")
def http(server: ServerProcess) -> Iterator[httpx.Client]:
    with server.http() as client:
        yield client


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A launcher `foundry` on the path, and a service's state of its own."""
    for name in ("PYSLM_STATE_DIR", "PYSLM_MODELS", "OLLAMA_MODELS", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pyslm("foundry", "install", "--dir", tmp_path)
    yield tmp_path
    subprocess.run(["foundry", "service", "stop"], check=False, capture_output=True)


def pyslm(*arguments: object, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pyslm", *map(str, arguments)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def close(manager: Any) -> None:
    """The SDK leaves its connections open."""
    manager.httpx_client._client.close()


def foundry(*arguments: str, code: int = 0) -> str:
    done = subprocess.run(["foundry", *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_the_sdk_finds_lists_loads_and_unloads(home: Path, chat_model: Path) -> None:  # noqa: ARG001
    pyslm("service", "start", chat_model, "--name", "stories")
    manager = foundry_local.FoundryLocalManager("stories")
    assert [model.alias for model in manager.list_cached_models()] == ["stories"]
    info = manager.get_model_info("stories")
    assert info.id == VARIANT
    assert info.device_type == "CPU"
    assert info.supports_tool_calling
    assert Path(manager.get_cache_location()).is_absolute()
    assert [model.id for model in manager.list_loaded_models()] == [VARIANT]
    assert manager.download_model("stories", force=True).id == VARIANT
    assert not manager.is_model_upgradeable("stories")

    messages: list[Any] = [{"role": "user", "content": "Once"}]
    with openai.OpenAI(base_url=manager.endpoint, api_key=manager.api_key) as client:
        for name in (info.id, "stories", "stories-generic-cpu"):
            answer = client.chat.completions.create(model=name, messages=messages, max_tokens=4)
            assert answer.choices[0].message.content

    manager.unload_model("stories", force=True)
    assert manager.list_loaded_models() == []
    manager.load_model("stories", ttl=60)
    assert [model.id for model in manager.list_loaded_models()] == [VARIANT]
    with pytest.raises(ValueError, match="not found in the catalog"):
        manager.load_model("phi-4")
    close(manager)


def test_the_sdk_starts_the_service(home: Path) -> None:  # noqa: ARG001
    manager = foundry_local.FoundryLocalManager()
    assert manager.is_service_running()
    assert "phi-4-mini" in {model.alias for model in manager.list_catalog_models()}
    assert manager.list_cached_models() == []
    close(manager)


def test_the_command(home: Path, chat_model: Path) -> None:  # noqa: ARG001
    assert "not running" in foundry("service", "status", code=1)
    foundry("service", "start", str(chat_model), "--name", "stories")
    assert "http://127.0.0.1:" in foundry("service", "status")
    assert "runs already" in foundry("service", "start", code=2)
    assert VARIANT in foundry("model", "ls")
    assert VARIANT not in foundry("model", "list", "--filter", "device=!cpu")
    assert VARIANT in foundry("model", "list", "--filter", "alias=sto*")
    assert "--filter" in foundry("model", "list", "--filter", "color=red", code=2)
    assert json.loads(foundry("model", "info", "stories"))["name"] == VARIANT
    assert "100.00%" in foundry("model", "download", "stories")
    foundry("model", "unload", "stories")
    assert foundry("service", "ps") == ""
    foundry("model", "load", VARIANT)
    assert foundry("service", "ps").split() == [VARIANT]
    assert foundry("cache", "list").split() == [VARIANT]
    assert foundry("cache", "location").strip()
    assert foundry("model", "run", "stories", "Once").strip()
    assert "stories" in foundry("model", "load", "phi-4", code=2)
    before = json.loads(pyslm("service", "status", "--json"))["service"]
    foundry("service", "restart")
    after = json.loads(pyslm("service", "status", "--json"))["service"]
    assert after["pid"] != before["pid"]
    assert after["arguments"] == before["arguments"]
    assert VARIANT in foundry("model", "ls")
    foundry("service", "stop")
    assert "not running" in foundry("service", "status", code=1)
    assert "not running" in foundry("model", "ls", code=2)


def test_a_service_that_cannot_start_says_why(home: Path) -> None:  # noqa: ARG001
    told = pyslm("service", "start", "no-such-model.gguf", code=2)
    assert "no-such-model.gguf" in told
    assert len(told.splitlines()) == 1


def test_a_foreign_foundry_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = tmp_path / "theirs" / "foundry"
    foreign.parent.mkdir()
    foreign.write_text("#!/bin/sh\n")
    foreign.chmod(0o755)
    monkeypatch.setenv("PATH", f"{foreign.parent}{os.pathsep}{os.environ['PATH']}")
    assert str(foreign) in pyslm("foundry", "install", "--dir", tmp_path, code=2)
    assert not (tmp_path / "foundry").exists()
    assert "not ours" in pyslm("foundry", "uninstall", "--dir", foreign.parent, code=2)
    pyslm("foundry", "install", "--dir", tmp_path, "--force")
    pyslm("foundry", "uninstall", "--dir", tmp_path)
    assert not (tmp_path / "foundry").exists()


def test_second_generation_of_routes(http: httpx.Client) -> None:
    status = http.get("/status").json()
    assert status["endpoints"] == [str(http.base_url).rstrip("/")]
    assert status["pid"] > 0
    assert http.get("/models/load/stories").json() == {"status": "already_loaded"}
    assert http.get("/models/loaded").json() == [VARIANT]
    assert http.get(f"/models/unload/{VARIANT}").json() == {"status": "unloaded"}
    assert http.get(f"/models/unload/{VARIANT}").json() == {"status": "not_loaded"}
    assert http.get("/models/loaded").json() == []
    assert http.get(f"/models/load/{VARIANT}").json() == {"status": "loaded"}


def test_the_second_sdk_manages_models_of_an_external_service(http: httpx.Client) -> None:
    """As its ModelLoadManager asks (1.2.4): ids quoted, ten seconds of patience, the text of the
    answer only logged, `ok` and a bare array of ids needed."""
    ident = urllib.parse.quote(VARIANT)
    assert "%3A" in ident
    asked: dict[str, Any] = {
        "headers": {"user-agent": "foundry-local-python-sdk/1.2.4"},
        "timeout": 10,
    }
    for verb, listed in (("unload", []), ("load", [VARIANT]), ("load", [VARIANT])):
        assert http.get(f"/models/{verb}/{ident}", **asked).is_success
        assert http.get("/models/loaded", **asked).json() == listed
    assert not http.get("/models/load/nobody-generic-cpu%3A1", **asked).is_success


def test_the_second_web_service_speaks_openai(server: ServerProcess, http: httpx.Client) -> None:
    """The rest of its routes (contract, 1.2), with the id that it gives a variant."""
    listed = http.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["stories"]
    assert http.get(f"/v1/models/{VARIANT}").json()["object"] == "model"
    turns = [{"role": "user", "content": "Once"}]
    client = server.openai(api_key="notneeded")  # the key of its samples
    answer = client.chat.completions.create(model=VARIANT, messages=turns, max_tokens=4)
    assert answer.choices[0].message.content
    chunks = client.chat.completions.create(
        model=VARIANT, messages=turns, max_tokens=4, stream=True
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    (vector,) = client.embeddings.create(model=VARIANT, input="Once").data
    assert len(vector.embedding) == 64
    kept = client.responses.create(model=VARIANT, input="Once", max_output_tokens=4)
    assert client.responses.retrieve(kept.id).output_text == kept.output_text
    assert [item.type for item in client.responses.input_items.list(kept.id)] == ["message"]
    client.responses.delete(kept.id)
    assert http.get(f"/v1/responses/{kept.id}").status_code == 404


def test_the_second_web_service_has_its_errors(http: httpx.Client) -> None:
    body = {"model": "nobody", "messages": [{"role": "user", "content": "Hi"}]}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    answer = http.post("/v1/chat/completions", json={"model": VARIANT})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "messages")
    files = {"file": ("a.wav", b"RIFF")}
    heard = http.post("/v1/audio/transcriptions", data={"model": VARIANT}, files=files)
    assert heard.status_code == 404  # there is no audio here
    assert heard.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize(
    ("path", "status", "told"),
    [
        ("/models/load/phi-4", 404, "phi-4"),
        ("/openai/load/phi-4:1?ttl=600&ep=", 404, "phi-4"),
        ("/openai/load/stories?ep=cuda", 400, "cuda"),
        ("/openai/load/stories?ttl=soon", 400, "ttl"),
        ("/openai/setgpudevice/0", 400, "GPU"),
        ("/openai/nothing", 404, "Not Found"),
    ],
)
def test_what_cannot_be_is_an_error_in_its_dialect(
    http: httpx.Client, path: str, status: int, told: str
) -> None:
    answer = http.get(path)
    assert answer.status_code == status
    error: dict[str, Any] = answer.json()["error"]
    assert told in error["message"]
    assert error["type"] == "invalid_request_error"


def test_a_download_that_fails_says_so_in_its_last_line(http: httpx.Client) -> None:
    answer = http.post("/openai/download", json={"model": {"Name": "phi-4"}, "token": None})
    outcome = json.loads(answer.text.splitlines()[-1])
    assert outcome["success"] is False
    assert "phi-4" in outcome["errorMessage"]


def test_tokens_of_a_conversation_are_counted(server: ServerProcess, http: httpx.Client) -> None:
    body = {"model": VARIANT, "messages": [{"role": "user", "content": "Once upon a time"}]}
    counted = http.post("/v1/chat/completions/tokenizer/encode/count", json=body).json()
    answer = server.openai().chat.completions.create(**body, max_tokens=1)
    assert answer.usage is not None
    assert counted == {"tokenCount": answer.usage.prompt_tokens}


def test_shutdown_ends_the_server(chat_model: Path) -> None:
    server = ServerProcess(chat_model)
    with server.http() as client:
        assert client.post("/shutdown").json() == {"status": "stopping"}
    assert server.process.wait(20) == 0
    server.stop()
