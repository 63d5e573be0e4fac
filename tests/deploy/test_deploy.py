"""`pyslm deploy` as a process, with real small models and tools. Contract: E21, E23, B25, G3, G9,
G11."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from reference.scripted import write_scripted
from serve.server_process import wait_until
from stories import stories

pytest.importorskip("yaml", reason="needs the extra 'deploy'")

from pyslm import service
from pyslm.agents.toolkits.offline import is_online
from pyslm.cli import invoke

Capture = pytest.CaptureFixture[str]

# No two pieces are alike: each is a token of its own.
QUERY = [
    "<tool_call>\n",
    '{"name": "database_query", "arguments": {"sql": "SELECT name FROM items"',
    "}}\n</tool_call>",
]
CHANGE = [
    "<tool_call>",
    '\n{"name": "database_change", "arguments": {"sql": "DELETE FROM items"',
    "}}\n</tool_",
    "call>",
]
SLOW = ["<tool_", "call>\n", '{"name": "wait", "arguments": {', "}}", "\n</tool_call>"]
POST = [
    "<tool_ca",
    "ll>\n",
    '{"name": "post", "arguments": {"note": "hello"',
    "}}\n</",
    "tool_call>",
]
ANSWER = ["There is ", "a lamp."]
TOOLS = '''
import time
from pathlib import Path
from pyslm import OfflineError, tool

@tool(network=True)
def post(note: str) -> str:
    """Posts a note."""
    here = Path(__file__).parent
    if not (here / "network").exists():
        raise OfflineError("there is no network")
    (here / "posted").open("a").write(note + "\\n")
    return "posted"

@tool
def wait() -> str:
    """Waits."""
    (Path(__file__).parent / "waiting").touch()
    time.sleep(1.5)
    return "waited"
'''


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls a tool by what it is asked, and then answers."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text()
    template += (
        "{% if messages[-1].role == 'tool' %}<|answer|>"
        "{% elif 'delete' in messages[-1].content %}<|change|>"
        "{% elif 'wait' in messages[-1].content %}<|slow|>"
        "{% elif 'post' in messages[-1].content %}<|post|>{% else %}<|query|>{% endif %}"
    )
    cues = {"<|query|>": QUERY, "<|change|>": CHANGE, "<|slow|>": SLOW, "<|post|>": POST,
            "<|answer|>": ANSWER}  # fmt: skip
    target = tmp_path_factory.mktemp("deploy") / "office.gguf"
    return write_scripted(stories(shared), target, cues, template)


@pytest.fixture
def folder(tmp_path: Path, model: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's single-device deployment, with our model in place of its two."""
    for name in ("PYSLM_TOOLS_DIR", "PYSLM_STATE_DIR", "PYSLM_AGENTS"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.delenv("PYSLM_API_KEY", raising=False)
    text = (shared / "contract" / "samples" / "27.yaml").read_text()
    for alias in ("phi-4-mini", "qwen2.5-0.5b"):
        text = text.replace(f'- alias: "{alias}"', f'- alias: "{alias}"\n      path: {model}')
    text = text.replace(
        'tools: ["database", "calendar", "email"]',
        'tools: ["database", "calendar", "email", "tools.py"]\n'
        "      roles: [clerk]\n"
        "      policy:\n"
        "        roles:\n"
        '          clerk: ["*", {tools: database_change, approval: true}]\n'
        "  tools:\n    database: {path: shop.db, writable: true}",
    )
    (tmp_path / "guide.yaml").write_text(text)
    (tmp_path / "tools.py").write_text(TOOLS)
    with closing(sqlite3.connect(tmp_path / "shop.db")) as db:
        db.executescript("CREATE TABLE items (name TEXT); INSERT INTO items VALUES ('lamp')")
    return tmp_path


def items(folder: Path) -> list[Any]:
    with closing(sqlite3.connect(folder / "shop.db")) as db:
        return db.execute("SELECT name FROM items").fetchall()


class Deployed:
    """`pyslm deploy` that runs."""

    def __init__(self, file: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pyslm", "deploy", str(file), *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if "serves at" not in line:
            raise AssertionError(self.process.communicate()[1])
        self.url = line.split("serves at ")[1].split()[0]

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.communicate(timeout=60)
        return self.process.returncode


@pytest.fixture
def start() -> Iterator[Callable[..., Deployed]]:
    running: list[Deployed] = []

    def begin(*arguments: Any) -> Deployed:
        running.append(Deployed(*arguments))
        return running[-1]

    yield begin
    for each in running:
        assert each.end() == 0


def output(capsys: Capture, *arguments: str) -> str:
    assert invoke(list(arguments)) == 0
    return capsys.readouterr().out


def test_from_the_command_line(
    folder: Path, start: Callable[..., Deployed], capsys: Capture
) -> None:
    file = folder / "guide.yaml"
    assert "is ready" in output(capsys, "deploy", str(file), "--check")
    deployed = start(file)
    assert deployed.url.startswith("http://127.0.0.1:")
    (listed,) = json.loads(output(capsys, "agent", "list", "--json"))
    assert (listed["name"], listed["running_at"]) == ("primary-agent", deployed.url)
    assert "phi-4-mini" in output(capsys, "ps")  # found as any server is

    assert output(capsys, "agent", "run", "primary-agent", "What is there?") == "There is a lamp.\n"
    record = json.loads(
        output(capsys, "agent", "run", "primary-agent", "And?", "-s", "s", "--json")
    )
    (call,) = record["tools"]
    assert json.loads(call["content"]) == {"columns": ["name"], "rows": [["lamp"]]}
    routed = json.loads(output(capsys, "agent", "run", "auto", "What is there?", "--json"))
    assert (routed["agent"], routed["text"]) == ("primary-agent", "There is a lamp.")
    told = output(capsys, "agent", "logs", "primary-agent", "-n", "500")
    assert told.count("verdict=allow") == 3, told
    assert json.loads(output(capsys, "agent", "list", "--json"))[0]["requests"] == 3

    # Another one is told where the first is.
    assert invoke(["deploy", str(file)]) == 2
    assert deployed.url in capsys.readouterr().err
    output(capsys, "service", "stop")
    assert deployed.end() == 0
    assert service.find() is None


def test_what_needs_approval(folder: Path, start: Callable[..., Deployed], capsys: Capture) -> None:
    """G4, E6: the one who asked is asked."""
    deployed = start(folder / "guide.yaml")
    denied = json.loads(output(capsys, "agent", "run", "primary-agent", "delete", "--json"))
    assert [call["outcome"] for call in denied["tools"]] == ["denied"]
    plain = httpx.post(f"{deployed.url}/agents/primary-agent/run", json={"input": "delete"}).json()
    assert [call["outcome"] for call in plain["tools"]] == ["denied"]
    assert items(folder) == [("lamp",)]
    approved = json.loads(
        output(capsys, "agent", "run", "primary-agent", "delete", "--yes", "--json")
    )
    assert [call["outcome"] for call in approved["tools"]] == ["ok"]
    assert items(folder) == []
    log = output(capsys, "agent", "logs", "primary-agent", "--json").splitlines()
    calls = [entry for entry in map(json.loads, log) if entry["event"] == "call"]
    assert [call["verdict"] for call in calls] == ["deny", "deny", "allow"]
    assert httpx.post(f"{deployed.url}/approvals/guess", json={"approve": True}).status_code == 404


@pytest.mark.skipif(not is_online(), reason="this machine has no route to others")
def test_calls_wait_for_the_network_through_a_crash(
    folder: Path, start: Callable[..., Deployed], capsys: Capture
) -> None:
    """E17: what was asked while there was no network is done once, when it is back."""
    deployed = Deployed(folder / "guide.yaml")
    record = json.loads(output(capsys, "agent", "run", "primary-agent", "post it", "--json"))
    (call,) = record["tools"]
    assert json.loads(call["content"])["status"] == "queued"
    assert httpx.get(f"{deployed.url}/agents").json()["queued_calls"] == 1
    deployed.end(signal.SIGKILL)
    assert not (folder / "posted").exists()
    (folder / "network").touch()
    url = start(folder / "guide.yaml").url
    wait_until(lambda: httpx.get(f"{url}/agents").json()["queued_calls"] == 0)
    wait_until((folder / "posted").exists)
    assert (folder / "posted").read_text() == "hello\n"


def test_requests_that_are_wrong(folder: Path, start: Callable[..., Deployed]) -> None:
    url = start(folder / "guide.yaml").url
    run = f"{url}/agents/primary-agent/run"
    for path, body, status in (
        (run, {"input": ""}, 400),
        (run, {"inputs": "x"}, 400),
        (run, {"input": "x", "stream": 1}, 400),
        (run, [], 400),
        (f"{url}/agents/nobody/run", {"input": "x"}, 404),
        (f"{url}/agents/nobody/run", {"input": "x", "stream": True}, 404),
    ):
        answer = httpx.post(path, json=body)
        assert answer.status_code == status, answer.text
        assert answer.json()["error"]["message"]
    assert httpx.get(f"{url}/agents/nobody/logs").status_code == 404
    assert httpx.get(f"{url}/agents/primary-agent/logs?last=0").status_code == 400
    # Pages of the web do not reach the agents, and other names of this machine do not, either.
    for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
        assert httpx.post(run, json={"input": "x"}, headers=headers).status_code == 403


def test_a_key(folder: Path, start: Callable[..., Deployed], capsys: Capture,
               monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """G9: the agents know it, and nobody else."""
    url = start(folder / "guide.yaml", "--api-key", "secret").url
    assert httpx.get(f"{url}/agents").status_code == 401
    monkeypatch.setenv("PYSLM_API_KEY", "secret")
    assert "lamp" in output(capsys, "agent", "run", "primary-agent", "What is there?")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_requests_that_run_may_end(
    folder: Path, start: Callable[..., Deployed], number: int
) -> None:
    """G11: also their later steps, which ask the deployment's own model."""
    deployed = start(folder / "guide.yaml")
    answers: list[httpx.Response] = []

    def ask() -> None:
        path = f"{deployed.url}/agents/primary-agent/run"
        answers.append(httpx.post(path, json={"input": "wait"}, timeout=60))

    asking = threading.Thread(target=ask)
    asking.start()
    while not (folder / "waiting").exists():
        assert asking.is_alive(), deployed.process.poll()
    os.kill(deployed.process.pid, number)
    asking.join(60)
    assert answers[0].json()["text"] == "There is a lamp."
    assert deployed.end() == 0


def test_a_client_that_goes_away_is_forgotten(folder: Path, start: Callable[..., Deployed]) -> None:
    url = start(folder / "guide.yaml").url

    async def leave() -> None:
        async with httpx.AsyncClient() as client:
            body = {"input": "wait", "stream": True}
            async with client.stream("POST", f"{url}/agents/primary-agent/run", json=body) as reply:
                await anext(reply.aiter_lines())

    asyncio.run(leave())
    for _ in range(200):
        (agent,) = httpx.get(f"{url}/agents").json()["agents"]
        if agent["running"] == 0:
            break
    assert (agent["running"], agent["failed"]) == (0, 1)
