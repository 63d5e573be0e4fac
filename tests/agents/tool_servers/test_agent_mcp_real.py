"""Tools of MCP servers on a real model, hostile definitions, and how servers end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from reference.sum_server import agent_of, ask, sums

pytest.importorskip("mcp", reason="needs the extra 'mcp'")

from pyslm import LLM
from pyslm.agents import (
    Agent,
    LocalModel,
    McpServer,
    ModelRequest,
    Reply,
    Tool,
    ToolResult,
)
from pyslm.agents.toolbox import Toolbox
from pyslm.chat.request import ToolChoice


def test_a_real_model_calls_a_server(folder: Path, babbling_llm: LLM) -> None:
    """Its calls are held to the server's schema by the grammar: the server takes them."""
    agent = Agent(model=babbling_llm, mcp=[sums(folder, allow=["add"])])
    (server,) = agent.mcp_servers
    tools = asyncio.run(server.offered())

    async def call(seed: int) -> list[ToolResult]:
        request = ModelRequest(
            messages=[{"role": "user", "content": "go"}],
            tools=[tool.described() for tool in tools],
            tool_choice=ToolChoice("required"),
            parallel_tool_calls=False,
            max_tokens=3000,
            temperature=1.0,
            seed=seed,
        )
        reply = await Reply.collect(LocalModel(babbling_llm).stream(request))
        return await Toolbox(tools).run(reply.calls)

    for seed in range(3):
        (result,) = asyncio.run(call(seed))
        assert result.outcome == "ok"
        assert 0 <= int(result.content) <= 198
    agent.close()


@pytest.mark.usefixtures("folder")
def test_definitions_that_do_harm(babbling_llm: LLM) -> None:
    """Each is refused by name, or kept from harm; the good tool of the same server works."""
    script = Path(__file__).with_name("mcp_hostile_server.py")
    server = McpServer(name="harm", command=[sys.executable, str(script)], trusted=True)
    agent = agent_of([("harm__good", {"a": True}), ("harm__big", {})], "Done.", server=server)
    good, big = ask(agent).tool_results
    assert good.outcome == "ok"
    assert len(good.content) < 21_000
    assert big.outcome == "denied"
    (known,) = agent.mcp_servers
    offered = {tool.name: tool for tool in asyncio.run(known.offered())}
    bad = ("bad_type", "nowhere", "far", "big", "na me\n", "x" * 300, "<tool_call>")
    assert {f"harm__{name}" for name in bad} <= known.refused.keys()
    for name, tool in offered.items():

        async def call(tool: Tool = tool) -> Reply:
            request = ModelRequest(
                messages=[{"role": "user", "content": "go"}], tools=[tool.described()],
                max_tokens=3, seed=1,
            )  # fmt: skip
            return await Reply.collect(LocalModel(babbling_llm).stream(request))

        reply = asyncio.run(call())
        assert reply.finish is not None, name
    agent.close()


PROGRAM = """
import asyncio, sys
from pyslm.agents import Agent, McpServer
from reference.scripted_chat import ScriptedModel

server = McpServer(name="sums", command=sys.argv[2:], trusted=True, timeout=1)
calls = [("sums__hang", {})] if sys.argv[1] == "hang" else [("sums__add", {"a": 1, "b": 2})]
agent = Agent(model=ScriptedModel(calls, "Done."), mcp=[server])
print([each.outcome for each in asyncio.run(agent.run("Go.")).tool_results])
"""


@pytest.mark.parametrize(("what", "outcome"), [("add", "ok"), ("hang", "timeout")])
def test_servers_end_with_the_program(folder: Path, what: str, outcome: str) -> None:
    """It does not close its agent, and yet leaves nobody behind, and says nothing of it."""
    tests = str(Path(__file__).parent.parent.parent)
    path = os.pathsep.join(filter(None, [tests, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-W", "error", "-c", PROGRAM, what, *sums(folder).command]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, timeout=60,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert done.stdout == f"['{outcome}']\n"
    assert done.stderr == ""
    pid = int((folder / "started").read_text())
    deadline = time.monotonic() + 10
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
