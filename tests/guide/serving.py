"""A machine for the guide's blocks: a service, and a hub whose models are all one file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from guide.tiny_models import NAMES, catalog, files, repository
from hub.fake_hub import FakeHub, serve

from pyslm import service

Started = tuple[service.Service, Path, dict[str, str]]
"""The service, its folder and its environment."""
_ABSENT = ("HF_HUB_OFFLINE", "HF_TOKEN", "PYSLM_API_KEY")


def set_environment(patch: pytest.MonkeyPatch, environment: Mapping[str, str]) -> None:
    """So that one finds that machine."""
    for name in _ABSENT:
        patch.delenv(name, raising=False)
    for name, value in environment.items():
        patch.setenv(name, value)


@contextlib.contextmanager
def serving(data: bytes, folder: Path) -> Iterator[Started]:
    """A service in the background, to which each model that the guide names is this file."""
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
            set_environment(patch, environment)
            running = service.start(
                ["--port", "0", "--threads", "1", "--responses-db", ":memory:", "--no-weight-cache"]
            )
        environment["OLLAMA_HOST"] = running.url
        try:
            yield running, folder, environment
        finally:
            with pytest.MonkeyPatch.context() as patch:
                set_environment(patch, environment)
                service.stop(running)
