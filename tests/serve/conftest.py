"""A server with a tiny chat model, shared by the tests that do it no harm."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve.server_process import ServerProcess
from stories import chat_stories, long_stories


@pytest.fixture(scope="session")
def chat_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """stories260K with a chat template."""
    return chat_stories(shared, tmp_path_factory.mktemp("chat"))


@pytest.fixture(scope="session")
def long_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """stories260K that goes on for long."""
    return long_stories(shared, tmp_path_factory.mktemp("long"))


@pytest.fixture(scope="session")
def server(chat_model: Path) -> Iterator[ServerProcess]:
    """Serves the chat model as "stories"."""
    server = ServerProcess(chat_model, "--name", "stories")
    yield server
    assert server.stop() == 0
