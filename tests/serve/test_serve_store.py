"""A server of all models of this machine: clients bring, name, ask and remove them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import openai
import pytest
from hub.fake_hub import FakeHub, serve
from serve.server_process import ServerProcess
from stories import chat_stories

foundry_local = pytest.importorskip("foundry_local", reason="foundry-local-sdk 0.5 is missing")

REPO = "tiny/Stories-GGUF"
CATALOG = f"""
[[model]]
name = "stories:260k"
title = "Stories"
aliases = ["tiny-stories"]
repository = "{REPO}"
file = "stories-{{quant}}.gguf"
parameters = 260032
variants = ["F32"]
license = "mit"
publisher = "Karpathy"
"""


@pytest.fixture
def hub(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """One that has a model, and a machine that has none."""
    model = chat_stories(shared, tmp_path)
    data = model.read_bytes()
    model.unlink()
    folders = ("PYSLM_MODELS", "PYSLM_STATE_DIR", "OLLAMA_MODELS", "HF_HUB_CACHE")
    for name in folders:
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    catalog = tmp_path / "catalog.toml"
    catalog.write_text(CATALOG)
    monkeypatch.setenv("PYSLM_CATALOG", str(catalog))
    with serve(FakeHub(files={REPO: {"stories-F32.gguf": data}})) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake


@pytest.fixture
def server(hub: FakeHub) -> Iterator[ServerProcess]:  # noqa: ARG001
    server = ServerProcess()
    yield server
    assert server.stop() == 0


def test_ollamas_client_pulls_copies_asks_and_deletes(hub: FakeHub, server: ServerProcess) -> None:
    client = ollama.Client(host=server.url, trust_env=False)
    assert client.list().models == []
    with pytest.raises(ollama.ResponseError, match="pyslm pull") as caught:
        client.generate("stories:260k", "Once")
    assert caught.value.status_code == 404
    assert hub.requests == []
    told = list(client.pull("stories:260k", stream=True))
    assert [step.status for step in told if step.digest is None] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
        "success",
    ]
    (whole,) = {step.total for step in told if step.total}
    assert max(step.completed or 0 for step in told) == whole
    assert [model.model for model in client.list().models] == ["stories:260k"]
    assert client.generate("stories:260k", "Once", options={"num_predict": 4}).response
    client.copy("stories:260k", "mine")
    assert {model.model for model in client.list().models} == {"stories:260k", "mine:latest"}
    client.delete("stories:260k")
    assert [model.model for model in client.list().models] == ["mine:latest"]
    assert client.generate("mine", "Once", options={"num_predict": 4}).response
    client.delete("mine")
    assert client.list().models == []
    assert client.ps().models == []
    with pytest.raises(ollama.ResponseError) as caught:
        client.delete("mine")
    assert caught.value.status_code == 404
    for bad in ("nothing-known", "hf:nobody/nothing"):
        with pytest.raises(ollama.ResponseError) as caught:
            list(client.pull(bad, stream=True))
        assert caught.value.status_code == 404
    assert client.pull("tiny-stories").status == "success"
    client._client.close()


@pytest.mark.parametrize("offline", [False, True])
def test_pulling_again_without_a_hub_succeeds(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, offline: bool
) -> None:
    """C6: what is here needs nobody."""
    run("pull", "stories:260k")
    if offline:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    else:
        hub.status = 503
    server = ServerProcess()
    try:
        client = ollama.Client(host=server.url, trust_env=False)
        assert list(client.pull("stories:260k", stream=True))[-1].status == "success"
        assert client.generate("stories:260k", "Once", options={"num_predict": 4}).response
        client._client.close()
    finally:
        assert server.stop() == 0


def test_a_download_that_fails_under_way_is_told(hub: FakeHub, server: ServerProcess) -> None:
    hub.wrong_sha = True
    client = ollama.Client(host=server.url, trust_env=False)
    with pytest.raises(ollama.ResponseError, match="SHA-256"):
        list(client.pull("stories:260k", stream=True))
    assert client.list().models == []
    client._client.close()


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../../x", "./x.gguf", "a" * 500, "a\x00b", "\u0430", "hf:../x"]
)
@pytest.mark.usefixtures("hub")
def test_names_that_clients_send_are_no_paths(server: ServerProcess, name: str) -> None:
    with server.http() as http:
        for path, body in (
            ("/api/pull", {"model": name}),
            ("/api/copy", {"source": name, "destination": "x"}),
            ("/api/generate", {"model": name, "prompt": "x"}),
            ("/v1/chat/completions", {"model": name, "messages": []}),
        ):
            assert http.post(path, json=body).status_code in (400, 404), path
        assert http.request("DELETE", "/api/delete", json={"model": name}).status_code in (400, 404)


@pytest.mark.usefixtures("hub")
def test_fields_without_effect_are_named(server: ServerProcess) -> None:
    with server.http() as http:
        answer = http.post(
            "/api/pull", json={"model": "tiny-stories", "stream": False, "insecure": True}
        )
    assert answer.json() == {"status": "success"}
    assert answer.headers["x-pyslm-ignored-fields"] == "insecure"


@pytest.mark.usefixtures("hub")
def test_foundrys_sdk_downloads_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    run("foundry", "install", "--dir", str(tmp_path))
    try:
        manager = foundry_local.FoundryLocalManager("tiny-stories")  # starts, downloads, loads
        info = manager.get_model_info("tiny-stories")
        assert (info.id, info.license, info.publisher) == (
            "tiny-stories-generic-cpu:1",
            "mit",
            "Karpathy",
        )
        assert [model.id for model in manager.list_cached_models()] == [info.id]
        assert [model.id for model in manager.list_loaded_models()] == [info.id]
        assert Path(manager.get_cache_location()) == tmp_path / "hf_hub_cache"
        with openai.OpenAI(base_url=manager.endpoint, api_key=manager.api_key) as client:
            messages: list[Any] = [{"role": "user", "content": "Once"}]
            answer = client.chat.completions.create(model=info.id, messages=messages, max_tokens=4)
            assert answer.choices[0].message.content
        manager.unload_model("tiny-stories")
        assert manager.list_loaded_models() == []
        with pytest.raises(RuntimeError, match="Failed to download"):
            manager.download_model("phi-4-mini")  # the hub does not have it
        removed = subprocess.run(
            ["foundry", "model", "remove", "tiny-stories"], capture_output=True, text=True
        )
        assert "is removed" in removed.stdout, removed.stderr
        assert manager.list_cached_models() == []
        manager.httpx_client._client.close()
    finally:
        run("service", "stop")


def run(*arguments: str) -> None:
    command = [sys.executable, "-m", "pyslm", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_model_named_at_the_start_by_its_name(hub: FakeHub) -> None:
    run("pull", "tiny-stories")
    server = ServerProcess("tiny-stories")
    try:
        with server.http() as http:
            ids = [model["id"] for model in http.get("/v1/models").json()["data"]]
            assert ids == ["tiny-stories"]
            answer = http.post("/api/pull", json={"model": "x"})
            assert (answer.status_code, "--store" in answer.json()["error"]) == (400, True)
    finally:
        server.stop()
    assert len(hub.gets()) == 1
