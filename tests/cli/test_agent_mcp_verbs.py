"""`pyslm agent mcp` as processes, with the official client; `pyslm agent pins`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stories import calling_model

from pyslm.cli import invoke

mcp = pytest.importorskip("mcp", reason="needs the extra 'mcp'")

Capture = pytest.CaptureFixture[str]

SCRIPT = Path(__file__).parent.parent / "agents" / "tool_servers" / "mcp_server.py"
TOOLS = '''
from pyslm import tool

@tool
def get_weather(city: str, days: int) -> str:
    """Tells the weather."""
    print("this goes to the standard error")
    return f"sunny in {city} for {days} days"
'''
CALL = ["<tool_call>\n", '{"name": "get_weather", "arguments": {"city": "Oslo", ', '"days": 2}}',
        "\n</tool_call>"]  # fmt: skip
ANSWER = "It will be sunny in Oslo."
COMMAND = [sys.executable, "-P", "-m", "pyslm", "agent", "mcp"]


@pytest.fixture
def agents(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the agents "weather", which answers, and "idle", which has no model."""
    answer = ["It will be ", "sunny ", "in Oslo."]
    model = calling_model(shared, tmp_path / "weather.gguf", CALL, answer)
    monkeypatch.setenv("PYSLM_AGENTS", str(tmp_path))
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "tools.py").write_text(TOOLS)
    (tmp_path / "weather.toml").write_text(
        f'role = "tells the weather"\nmodel_provider = "local"\nmodel_alias = "{model}"\n'
        'tools = ["tools.py"]\n'
    )
    (tmp_path / "idle.toml").write_text('model_provider = "local"\n')
    return tmp_path


def asked(client_of: Any, *requests: tuple[str, dict[str, Any]]) -> tuple[Any, list[Any]]:
    """Tools, and what calls of them give."""

    async def main() -> Any:
        async with mcp.Client(client_of) as client:
            tools = (await client.list_tools()).tools
            return tools, [await client.call_tool(*request) for request in requests]

    return asyncio.run(main())


def over_stdio(*names: str) -> Any:
    environment = {k: v for k, v in os.environ.items() if k.startswith("P")}
    program, *arguments = COMMAND
    return mcp.StdioServerParameters(command=program, args=[*arguments, *names], env=environment)


def check(tools: Any, results: list[Any]) -> None:
    assert [tool.name for tool in tools] == ["weather", "idle"]
    assert "tells the weather" in tools[0].description
    answered, kept, idle, none, empty = results
    for result in (answered, kept):
        assert not result.is_error
        assert result.content[0].text == ANSWER
    for result, said in ((idle, "has no model"), (none, "there is no agent 'nobody'"),
                         (empty, "not valid")):  # fmt: skip
        assert result.is_error
        assert said in result.content[0].text


REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("weather", {"request": "How will it be?"}),
    ("weather", {"request": "And then?", "session": "s1"}),
    ("idle", {"request": "Hello?"}),
    ("nobody", {"request": "Hello?"}),
    ("weather", {"request": ""}),
)


@pytest.mark.usefixtures("agents")
def test_stdio(capsys: Capture) -> None:
    check(*asked(over_stdio("weather", "idle"), *REQUESTS))
    assert invoke(["agent", "logs", "--session", "mcp-weather-s1"]) == 0
    assert "And then?" in capsys.readouterr().out


@pytest.mark.usefixtures("agents")
def test_http() -> None:
    command = [*COMMAND, "weather", "idle", "--http", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        check(*asked(url, *REQUESTS))
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@pytest.mark.usefixtures("agents")
def test_http_with_a_key() -> None:
    """Our own client, with the key and without; and a page of another site."""
    from pyslm.agents import McpServer
    from pyslm.agents.mcp.pins import PinStore
    from pyslm.agents.mcp.server_tools import ServerTools
    from pyslm.errors import ToolServerError

    environment = {**os.environ, "PYSLM_API_KEY": "open-sesame"}
    command = [*COMMAND, "weather", "--http", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()

        def offered(**headers: str) -> list[str]:
            server = McpServer(name="w", url=url, headers=headers, start_timeout=10)
            tools = ServerTools(server, PinStore(None))

            async def look() -> list[str]:
                try:
                    return [tool.name for tool in await tools.offered()]
                finally:
                    await tools.close()

            return asyncio.run(look())

        key = "Bearer open-sesame"
        assert offered(Authorization=key) == ["w__weather"]
        for wrong in ({}, {"Authorization": "Bearer open"},
                      {"Authorization": key, "Origin": "https://example.com"}):  # fmt: skip
            with pytest.raises(ToolServerError):
                offered(**wrong)
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def test_our_agents_use_our_agents(agents: Path) -> None:
    """An agent whose tool is another agent, in another process."""
    from reference.scripted_chat import ScriptedModel

    from pyslm.agents.files import load_agent
    from pyslm.agents.models.choose import as_model

    (agents / "chief.toml").write_text(
        f"""
        [[mcp]]
        name = "staff"
        command = {json.dumps([*COMMAND, "weather"])}
        env = {{ PYSLM_AGENTS = "{agents}", PYTHONPATH = "{os.environ.get("PYTHONPATH", "")}" }}
        start_timeout = 60
        """
    )
    chief = load_agent(agents / "chief.toml")
    model = ScriptedModel([("staff__weather", {"request": "How will it be?"})], "Sunny.")
    chief._model = as_model(model, chief._pool)
    result = asyncio.run(chief.run("Ask them."))
    assert [each.content for each in result.tool_results] == [ANSWER]
    chief.close()


def test_pins(agents: Path, capsys: Capture) -> None:
    (agents / "description.txt").write_text("Adds.")
    (agents / "sums.toml").write_text(
        f"""
        [[mcp]]
        name = "sums"
        command = {json.dumps([sys.executable, str(SCRIPT), str(agents)])}
        allow = ["add", "slow"]
        """
    )

    def shown(*arguments: str) -> dict[str, Any]:
        assert invoke(["agent", "pins", "sums", "--json", *arguments]) == 0
        return {row["tool"]: row for row in json.loads(capsys.readouterr().out)}

    assert {row["refused"] for row in shown().values()} == {None}
    (agents / "description.txt").write_text("Adds, and more.")
    assert "has changed" in shown()["sums__add"]["refused"]
    assert shown("--accept", "sums__add")["sums__add"]["refused"] is None
    assert shown()["sums__add"]["refused"] is None
    for wrong in ("sums__no", "other__add"):
        assert invoke(["agent", "pins", "sums", "--accept", wrong]) == 2
    assert invoke(["agent", "pins", "weather"]) == 0


@pytest.mark.parametrize("server", ["{}", '{ name = "x" }', '{ name = "x", comand = ["y"] }'])
def test_a_file_that_says_it_wrongly(agents: Path, server: str, capsys: Capture) -> None:
    (agents / "wrong.toml").write_text(f"mcp = [{server}]\n")
    assert invoke(["agent", "mcp", "wrong"]) == 2
    assert "wrong.toml" in capsys.readouterr().err
