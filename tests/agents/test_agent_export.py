"""Kept conversations as examples to learn from (J1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pyslm.agents import Agent, Config, SessionStore
from pyslm.agents.state.export import exported_sessions
from pyslm.cli import invoke
from pyslm.finetune.conversations import read_conversations


def called(name: str, arguments: str) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    call = {"id": "c1", "type": "function", "function": function}
    return {"role": "assistant", "content": "", "tool_calls": [call]}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


RESULT = {"role": "tool", "tool_call_id": "c1", "name": "open_valve", "content": "done"}
GOOD = [user("open 7"), called("open_valve", '{"number": 7}'), RESULT, said("It is open.")]
BAD = {
    "interrupted": [user("open 8"), called("open_valve", '{"number": 8}')],
    "cut off": [user("open 8")],
    "of another tool": [user("x"), called("shut", "{}"), RESULT, said("yes")],
    "not valid": [user("x"), called("open_valve", '{"number": "?"}'), RESULT, said("no")],
    "no JSON": [user("x"), called("open_valve", "{"), RESULT, said("no")],
}


def keep(store: SessionStore, session: str, agent: str, *turns: list[dict[str, Any]]) -> None:
    for messages in turns:
        turn = store.begin(session, agent=agent)
        for message in messages:
            turn.add(message)


@pytest.fixture
def store(tmp_path: Path) -> SessionStore:
    return SessionStore(tmp_path / "sessions.db")


def plant(store: SessionStore) -> Agent:
    def open_valve(number: int) -> str:
        """Open a valve."""
        return f"{number} is open"

    config = Config(name="plant", context="You are the plant.", model_provider="local")
    return Agent(config, tools=[open_valve], sessions=store)


@pytest.mark.parametrize("why", BAD)
def test_whole_turns_are_exported_and_others_counted(
    store: SessionStore, tmp_path: Path, why: str
) -> None:
    keep(store, "a", "plant", GOOD, BAD[why])
    keep(store, "b", "another", GOOD)
    keep(store, "c", "plant", BAD[why])
    ((record, num_left_out),) = exported_sessions(plant(store))
    assert num_left_out == 1
    assert record["messages"] == [{"role": "system", "content": "You are the plant."}, *GOOD]
    file = tmp_path / "out.jsonl"
    file.write_text(json.dumps(record))
    (scene,) = read_conversations(file)  # what is written, the training reads
    assert scene.branches[0].messages[-1]["content"] == "It is open."


def test_the_verb(
    store: SessionStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PYSLM_AGENTS", str(tmp_path))
    (tmp_path / "tools.py").write_text(
        "from pyslm import tool\n\n@tool\ndef open_valve(number: int) -> str:\n    'Opens.'\n"
    )
    (tmp_path / "plant.toml").write_text(
        'model_provider = "local"\ntools = ["tools.py"]\nsessions = "sessions.db"\n'
    )
    assert invoke(["agent", "export", "plant"]) == 2
    assert "no kept conversation" in capsys.readouterr().err
    keep(store, "a", "plant", GOOD, BAD["cut off"])
    assert invoke(["agent", "export", "plant"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["messages"] == GOOD
    assert "1 conversations, 1 turns left out" in err
