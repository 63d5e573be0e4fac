"""Privacy mode: nothing leaves the machine, whatever a tool tries."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from reference.scripted_chat import ScriptedModel

from pyslm import LLM
from pyslm.agents import Agent, AuditLog, Config, SessionStore, no_egress, verify_log
from pyslm.errors import AccessDeniedError

FAR = "192.0.2.1"  # TEST-NET-1 of RFC 5737: nobody is there


def get_weather(city: str, days: int) -> str:
    """Tells the weather."""
    return f"sunny in {city} for {days} days"


def test_an_agent_in_this_process_never_touches_a_socket(
    weather_llm: LLM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All sockets are broken, and all goes well: model, tools, session, memory, audit."""
    tried: list[Any] = []

    def broken(*given: Any, **named: Any) -> Any:
        tried.append((given, named))
        raise AssertionError("a socket was touched")

    loop = asyncio.new_event_loop()  # which has a pair of sockets for itself
    for name in ("connect", "connect_ex", "sendto", "sendmsg", "bind", "listen"):
        monkeypatch.setattr(socket.socket, name, broken)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, broken)
    agent = Agent(
        Config(privacy_mode=True, memory=True, compliance=["HIPAA"], summarize=True),
        model=weather_llm,
        tools=[get_weather],
        sessions=SessionStore(tmp_path / "s.db"),
        audit=tmp_path / "audit.jsonl",
    )
    result = loop.run_until_complete(agent.run("How will the weather be?", session="s"))
    loop.close()
    assert result.text == "It will be sunny in Oslo."
    assert tried == []


def by_socket() -> None:
    with socket.socket() as opened:
        opened.settimeout(0.2)
        opened.connect((FAR, 80))


def by_datagram() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as opened:
        opened.sendto(b"secret", (FAR, 53))


def by_datagram6() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as opened:
        opened.sendmsg([b"secret"], [], 0, ("2001:db8::1", 53))


def by_name() -> None:
    socket.getaddrinfo("secret.example.com", 80)


def by_old_name() -> None:
    socket.gethostbyname("secret.example.com")


def by_urllib() -> None:
    urllib.request.urlopen(f"http://{FAR}/", timeout=0.2)


def by_http_client() -> None:
    http.client.HTTPConnection(FAR, timeout=0.2).request("GET", "/")


def by_httpx() -> None:
    httpx.get(f"http://{FAR}/", timeout=0.2, trust_env=False)


def by_process() -> None:
    subprocess.run(["curl", f"http://{FAR}/"], check=False)


def by_shell() -> None:
    os.system("true")


async def by_asyncio() -> None:
    await asyncio.wait_for(asyncio.open_connection(FAR, 80), 0.2)


async def by_async_httpx() -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=0.2) as client:
        await client.get(f"http://{FAR}/")


async def by_async_process() -> None:
    await asyncio.create_subprocess_exec("curl", FAR)


@pytest.mark.parametrize(
    "tool",
    [by_socket, by_datagram, by_datagram6, by_name, by_old_name, by_urllib, by_http_client,
     by_httpx, by_process, by_shell, by_asyncio, by_async_httpx, by_async_process],
)  # fmt: skip
def test_tools_cannot_send_anything(tool: Callable[[], Any], tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    model = ScriptedModel([(tool.__name__, {})], "ok")
    agent = Agent(Config(privacy_mode=True), model=model, tools=[tool], audit=path)
    result = asyncio.run(agent.run("send it"))
    assert [each.outcome for each in result.tool_results] == ["failed"]
    assert "Error" in model.results()[0]
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert any(entry["event"] == "egress" for entry in entries)
    assert verify_log(path).is_sound


def test_this_machine_can_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def local() -> str:
            for host in ("localhost", "127.0.0.1"):
                socket.create_connection((host, port), timeout=2).close()
            one, other = socket.socketpair()
            one.close()
            other.close()
            return "reached"

        model = ScriptedModel([("local", {})], "ok")
        Agent(Config(privacy_mode=True), model=model, tools=[local]).chat("?")
        assert model.results() == ["reached"]


def test_others_are_not_held_back() -> None:
    """The mode is that of one request: beside it, other code goes on."""

    def look() -> str:
        with pytest.raises(AccessDeniedError):
            by_old_name()
        return "refused"

    model = ScriptedModel([("look", {})], "ok")
    Agent(Config(privacy_mode=True), model=model, tools=[look]).chat("?")
    assert model.results() == ["refused"]
    with pytest.raises(OSError) as caught:  # noqa: PT011 (refused, unreachable or timed out)
        by_socket()
    assert not isinstance(caught.value, AccessDeniedError)
    with no_egress(), pytest.raises(AccessDeniedError, match=FAR.replace(".", r"\.")):
        by_socket()


def test_a_whole_process() -> None:
    code = (
        "import socket, threading\n"
        "from pyslm.agents import confine_process\n"
        "confine_process()\n"
        "def work():\n"
        "    try:\n"
        f"        socket.create_connection(('{FAR}', 80), timeout=0.2)\n"
        "    except PermissionError as error:\n"
        "        print(error)\n"
        "thread = threading.Thread(target=work); thread.start(); thread.join()\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "privacy mode" in run.stdout


def test_compliance_has_effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """HIPAA: an audit log there must be, without personal data; conversations have an end."""
    log = AuditLog(tmp_path / "audit.jsonl")
    monkeypatch.setattr("pyslm.agents.security.safety.default_audit", lambda: log)
    store = SessionStore(tmp_path / "s.db")
    store.begin("old").add({"role": "user", "content": "hi"})
    store._db.execute("UPDATE sessions SET used = used - 31 * 86400")

    def look(email: str) -> str:
        return email

    model = ScriptedModel([("look", {"email": "ann@example.com"})], "seen")
    agent = Agent(Config(compliance=["HIPAA"]), model=model, tools=[look], sessions=store)
    agent.chat("I am ann@example.com, MRN 123456", session="new")
    text = log.path.read_text()
    assert '"tool": "look"' in text
    assert "[EMAIL]" in text
    for secret in ("ann@", "123456"):
        assert secret not in text
    assert [s.id for s in store.sessions()] == ["new"]
