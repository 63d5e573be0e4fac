"""A service in the background, and a hub that has the guide's models."""

from __future__ import annotations

import gc
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from guide.blocks import OLLAMA_PORT, VLLM_PORTS, Blocks, free_ports
from guide.serving import Started, serving, set_environment
from guide.tiny_models import scripted_model

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
    """The guide looks every two seconds whether a server is there, thirty times."""
    sleep = time.sleep
    monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.6)))


@pytest.fixture(scope="session")
def samples(shared: Path) -> Path:
    """The guide's code blocks."""
    folder = shared / "contract" / "samples"
    if not folder.is_dir():
        pytest.skip("needs contract/samples in the folder of sample models: the guide's blocks")
    return folder


@pytest.fixture(scope="session")
def started(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """A service, which finds the guide's models on a hub, its folder and its environment."""
    folder = tmp_path_factory.mktemp("machine")
    with serving(scripted_model(shared, folder), folder) as found:
        yield found


@pytest.fixture
def machine(started: Started, monkeypatch: pytest.MonkeyPatch) -> tuple[service.Service, Path]:
    """A machine with nothing on it but the service; tests elsewhere know nothing of it."""
    running, folder, environment = started
    set_environment(monkeypatch, environment)
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
