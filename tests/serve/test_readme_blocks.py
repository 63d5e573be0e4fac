"""Every block of code of the README's chapter about serving runs as it stands there."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve.server_process import ServerProcess

README = Path(__file__).resolve().parents[2] / "README.md"
PORTS = ("8000", "11434")
NEEDS = {"Ollama clients": "ollama", "Microsoft Agent Framework": "agent_framework.orchestrations"}
ELSEWHERE = ("Foundry Local's SDK",)  # needs a service in the background: test_foundry.py


def chapter() -> str:
    return README.read_text("utf-8").partition("\n## Serve\n")[2].partition("\n## ")[0]


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """Of each section, joined, since later ones go on from earlier ones."""
    for section in chapter().split("\n### ")[1:]:
        title, _, text = section.partition("\n")
        found = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
        if found and title not in ELSEWHERE:
            yield title, "\n\n".join(found)


@pytest.fixture(scope="module")
def tiny(chat_model: Path) -> Iterator[ServerProcess]:
    server = ServerProcess(chat_model, "--name", "tiny")
    yield server
    assert server.stop() == 0


def placed(text: str, server: ServerProcess) -> str:
    """At the port of a server that is there."""
    port = server.url.rpartition(":")[2]
    for usual in PORTS:
        text = text.replace(f":{usual}", f":{port}")
    return text


def run(command: list[str], server: ServerProcess) -> str:
    environment = {**os.environ, "OLLAMA_HOST": server.url, "ENABLE_INSTRUMENTATION": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_client_has_its_page() -> None:
    pages = {"curl", "Python `openai`", "Ollama clients", "Microsoft Agent Framework"}
    assert pages <= {title for language in ("sh", "python") for title, _ in blocks(language)}


@pytest.mark.parametrize(("title", "code"), list(blocks("python")))
def test_python_runs(tiny: ServerProcess, title: str, code: str) -> None:
    needed = NEEDS.get(title, "openai")
    if importlib.util.find_spec(needed.partition(".")[0]) is None:
        pytest.skip(f"{needed} is not installed")
    assert run([sys.executable, "-c", placed(code, tiny)], tiny).strip()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing")
@pytest.mark.parametrize(("title", "code"), list(blocks("sh")))
def test_shell_runs(tiny: ServerProcess, title: str, code: str) -> None:  # noqa: ARG001
    strict = 'set -euo pipefail; curl() { command curl -sS --fail-with-body "$@"; }\n'
    said = run(["bash", "-c", strict + placed(code, tiny)], tiny)
    assert "tiny" in said
    assert "error" not in said.partition("# HELP")[0]
