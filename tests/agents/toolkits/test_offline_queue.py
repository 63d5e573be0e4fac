"""Calls kept while there is no network. Contract: E17, H5."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from pyslm.agents import Config, Tool, no_egress
from pyslm.agents.agent import Agent
from pyslm.agents.models.model import Call
from pyslm.agents.toolbox import Toolbox, ToolResult
from pyslm.agents.toolkits import OfflineQueue
from pyslm.errors import AgentConfigError, OfflineError


class Line:
    """A network that can be cut, and tools that need it."""

    def __init__(self) -> None:
        self.up = False
        self.sent: list[str] = []

    def send(self, text: str) -> str:
        self.sent.append(text)
        return f"sent {text}"

    async def fetch(self, name: str) -> str:
        if not self.up:
            raise OfflineError("no line")
        self.sent.append(name)
        return name

    def tools(self) -> list[Tool]:
        return [
            Tool(self.send, description="d", network=True, writes=True),
            Tool(self.fetch, description="d", network=True),
            Tool(len_of, name="len_of"),
        ]


def len_of(text: str) -> int:
    return len(text)


def called(tools: list[Tool], name: str, /, **arguments: Any) -> ToolResult:
    call = Call("c1", name, json.dumps(arguments))
    return asyncio.run(Toolbox(tools).run([call]))[0]


@pytest.fixture
def line() -> Line:
    return Line()


def test_queues_and_syncs(line: Line, tmp_path: Path) -> None:
    path = tmp_path / "calls.db"
    queue = OfflineQueue(path, online=lambda: line.up)
    tools = queue.tools(line.tools())
    assert called(tools, "len_of", text="abc").content == "3"  # what needs no network just works
    for text in ("one", "two"):
        told = json.loads(called(tools, "send", text=text).content)
        assert told["status"] == "queued"
    assert line.sent == []
    assert queue.sync() == []
    queue.close()
    # Another process, later.
    queue = OfflineQueue(path, online=lambda: line.up)
    tools = queue.tools(line.tools())
    assert [call.arguments for call in queue.calls("queued")] == [{"text": "one"}, {"text": "two"}]
    line.up = True
    assert [(c.state, c.result) for c in queue.sync()] == [("done", "sent one"),
                                                           ("done", "sent two")]  # fmt: skip
    assert line.sent == ["one", "two"]
    assert queue.sync() == []
    assert called(tools, "send", text="three").content == "sent three"
    queue.close()


def test_a_tool_that_says_it_is_offline(line: Line) -> None:
    """The machine has a route, and the other end is not there."""
    queue = OfflineQueue(online=lambda: True)
    tools = queue.tools(line.tools())
    assert json.loads(called(tools, "fetch", name="x").content)["status"] == "queued"
    assert queue.sync() == []  # tried, and kept
    assert [call.state for call in queue.calls()] == ["queued"]
    line.up = True
    assert [call.result for call in queue.sync()] == ["x"]
    queue.close()


def test_a_call_that_fails_is_told_and_not_made_again(line: Line) -> None:
    queue = OfflineQueue(online=lambda: line.up)

    def post(text: str) -> str:
        line.sent.append(text)
        raise ValueError("refused")

    tools = queue.tools([Tool(post, description="d", network=True, writes=True)])
    called(tools, "post", text="x")
    line.up = True
    (call,) = queue.sync()
    assert (call.state, call.result) == ("failed", "ValueError: refused")
    assert (queue.sync(), line.sent) == ([], ["x"])
    queue.close()


def test_bounds(line: Line) -> None:
    queue = OfflineQueue(online=lambda: False, max_calls=2)
    tools = queue.tools(line.tools())
    outcomes = [called(tools, "send", text=str(i)) for i in range(3)]
    assert [result.outcome for result in outcomes] == ["ok", "ok", "failed"]
    assert "2 calls wait" in outcomes[2].content
    with pytest.raises(AgentConfigError, match="two tools"):
        queue.tools([Tool(len_of, name="send", network=True)])
    with pytest.raises(AgentConfigError, match="allowed: queued"):
        queue.calls("gone")  # type: ignore[arg-type]
    queue.close()


def test_nothing_private_is_kept_for_later(line: Line) -> None:
    """Else it would leave the machine when nobody looks."""
    queue = OfflineQueue(online=lambda: False)
    tools = queue.tools(line.tools())
    with no_egress():
        assert called(tools, "fetch", name="secret").outcome == "failed"
    assert queue.calls() == []
    queue.close()


def test_in_the_background(line: Line) -> None:
    queue = OfflineQueue(online=lambda: line.up)
    done = threading.Event()

    def send(text: str) -> None:
        line.sent.append(text)
        done.set()

    tools = queue.tools([Tool(send, description="d", network=True)])
    called(tools, "send", text="x")
    queue.start(0.02)
    assert not done.wait(0.1)
    line.up = True
    assert done.wait(10)
    queue.close()
    assert line.sent == ["x"]


KILLED = """
import sys, time
from pathlib import Path
from pyslm.agents import Tool
from pyslm.agents.toolkits import OfflineQueue

folder = Path(sys.argv[1])

def send(text: str) -> None:
    (folder / f"began-{text}").touch()
    time.sleep(60)

up = [False]
queue = OfflineQueue(folder / "calls.db", online=lambda: up[0])
(tool,) = queue.tools([Tool(send, description="d", network=True, writes=True)])
tool(text="one")
tool(text="two")
up[0] = True
queue.sync()
"""


def test_killed_while_it_sends(line: Line, tmp_path: Path) -> None:
    """A call that changes something is not made twice; those behind it are not lost."""
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)])
    while not (tmp_path / "began-one").exists():
        assert process.poll() is None
    line.up = True
    other = OfflineQueue(tmp_path / "calls.db", online=lambda: True)
    other.tools(line.tools())
    assert other.sync() == []  # the process that sends goes on
    assert [call.state for call in other.calls()] == ["running", "queued"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert [call.arguments["text"] for call in other.sync()] == ["two"]
    assert [call.state for call in other.calls()] == ["interrupted", "done"]
    assert line.sent == ["two"]
    other.close()


def test_agents_take_such_tools(line: Line) -> None:
    queue = OfflineQueue(online=lambda: line.up)
    agent = Agent(Config(model_provider="local"), tools=queue.tools(line.tools()))
    assert [tool.name for tool in agent.tools] == ["send", "fetch", "len_of"]
    agent.close()
    queue.close()
