"""A service in the background, and a hub that has the guide's models."""

from __future__ import annotations

import gc
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from guide.blocks import OLLAMA_PORT, VLLM_PORTS, Blocks, free_ports
from guide.tiny_models import NAMES, catalog, files, repository, scripted_model
from hub.fake_hub import FakeHub, serve

import pyslm.guide
from pyslm import service
from pyslm.guide.vllm_throughput import MODEL_CONFIGS


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


@pytest.fixture(scope="session")
def samples(shared: Path) -> Path:
    """The guide's code blocks."""
    folder = shared / "contract" / "samples"
    if not folder.is_dir():
        pytest.skip("needs contract/samples in the folder of sample models: the guide's blocks")
    return folder


_ABSENT = ("HF_HUB_OFFLINE", "HF_TOKEN", "PYSLM_API_KEY")


def _set(patch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in _ABSENT:
        patch.delenv(name, raising=False)
    for name, value in environment.items():
        patch.setenv(name, value)


@pytest.fixture(scope="session")
def started(
    shared: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[service.Service, Path, dict[str, str]]]:
    """A service, which finds the guide's models on a hub, its folder and its environment."""
    folder = tmp_path_factory.mktemp("machine")
    data = scripted_model(shared, folder)
    hub = FakeHub(files={repository(name): files(name, data) for name in NAMES})
    (folder / "catalog.toml").write_text(catalog())
    names = ("PYSLM_MODELS", "PYSLM_STATE_DIR", "OLLAMA_MODELS", "HF_HUB_CACHE")
    environment = {name: str(folder / name.lower()) for name in names}
    environment["PYSLM_CATALOG"] = str(folder / "catalog.toml")
    environment["OPENAI_API_KEY"] = "none"  # some blocks leave it to the environment
    # Blocks start "python".
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with serve(hub):
        environment["HF_ENDPOINT"] = hub.url
        with pytest.MonkeyPatch.context() as patch:
            _set(patch, environment)
            running = service.start(
                ["--port", "0", "--threads", "1", "--responses-db", ":memory:", "--no-weight-cache"]
            )
        environment["OLLAMA_HOST"] = running.url
        try:
            yield running, folder, environment
        finally:
            with pytest.MonkeyPatch.context() as patch:
                _set(patch, environment)
                service.stop(running)


@pytest.fixture
def machine(
    started: tuple[service.Service, Path, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> tuple[service.Service, Path]:
    """A machine with nothing on it but the service; tests elsewhere know nothing of it."""
    running, folder, environment = started
    _set(monkeypatch, environment)
    return running, folder


@pytest.fixture
def blocks(
    samples: Path, machine: tuple[service.Service, Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Blocks]:
    """The guide's blocks, whose imports work."""
    ports = dict(zip(VLLM_PORTS, free_ports(len(VLLM_PORTS)), strict=True))
    ports[OLLAMA_PORT] = int(machine[0].url.rpartition(":")[2])
    configs = {
        name: {**config, "port": ports[config["port"]]} for name, config in MODEL_CONFIGS.items()
    }
    monkeypatch.setattr("pyslm.guide.vllm_throughput.MODEL_CONFIGS", configs)
    with pyslm.guide.installed():
        yield Blocks(samples, ports)
