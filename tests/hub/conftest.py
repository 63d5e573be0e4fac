"""A machine without models, and a hub on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hub.fake_hub import FakeHub, serve

from pyslm.hub import ModelStore


@pytest.fixture(autouse=True)
def bare_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of this machine's user is seen or touched; no hub can be reached."""
    monkeypatch.setenv("PYSLM_MODELS", str(tmp_path / "store"))
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("HF_HUB_OFFLINE", "PYSLM_CATALOG", "PYSLM_HOST", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """With one small model of the catalog, in three variants."""
    data = b"GGUF" + bytes(range(256)) * 4000
    stem = "qwen2.5-0.5b-instruct"
    files = {f"{stem}-{q}.gguf": data + q.encode() for q in ("q4_k_m", "q8_0", "q2_k")}
    with serve(FakeHub(files={"Qwen/Qwen2.5-0.5B-Instruct-GGUF": files})) as fake:
        monkeypatch.setenv("HF_ENDPOINT", fake.url)
        yield fake


@pytest.fixture
def store() -> ModelStore:
    """Empty."""
    return ModelStore()
