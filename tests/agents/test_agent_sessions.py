"""Conversations that are kept: over restarts, killed writers and too little context."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from reference.scripted_chat import ScriptedModel

from pyslm import LLM
from pyslm.agents import Agent, Config, ModelRequest, SessionStore
from pyslm.agents.toolkits.demo import demo_tools
from pyslm.errors import ReplyError, SessionError

USER = {"role": "user", "content": "hi"}


def call(ident: str, name: str = "pay") -> dict[str, Any]:
    made = {"id": ident, "type": "function", "function": {"name": name, "arguments": "{}"}}
    return {"role": "assistant", "content": "", "tool_calls": [made]}


def test_a_session_goes_on_over_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "agents.db"
    first = ScriptedModel("Hello Ann.")
    Agent(model=first, sessions=file).chat("I am Ann.", session="s1")
    second = ScriptedModel("You are Ann.")
    agent = Agent(model=second, sessions=file)
    assert agent.chat("Who am I?", session="s1") == "You are Ann."
    assert [m["content"] for m in second.asked[0].messages] == [
        "I am Ann.", "Hello Ann.", "Who am I?",
    ]  # fmt: skip
    agent.chat("Who am I?", session="s2")
    assert len(second.asked[1].messages) == 1
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with SessionStore(file)._lock:
        store = SessionStore(file)
    assert [(s.id, s.num_turns) for s in store.sessions()] == [("s2", 1), ("s1", 2)]


def test_sessions_are_their_users_own() -> None:
    store = SessionStore()
    agent = Agent(model=ScriptedModel("ok"), sessions=store)
    agent.chat("hi", session="s", user="ann")
    with pytest.raises(SessionError, match="another user"):
        agent.chat("hi", session="s", user="bob")
    assert [s.id for s in store.sessions("ann")] == ["s"]
    assert store.sessions("bob") == []


@pytest.mark.parametrize("name", ["", "x" * 201, "a\0b"])
def test_names_of_sessions(name: str) -> None:
    with pytest.raises(SessionError, match="allowed"):
        SessionStore().begin(name)


def test_a_file_of_a_newer_version_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "agents.db"
    store = SessionStore(file)
    store.begin("s").add(USER)
    store.close()
    db = sqlite3.connect(file)
    db.execute("PRAGMA user_version = 7")
    db.close()
    before = file.read_bytes()
    with pytest.raises(SessionError, match="version 7, and this pyslm reads 1"):
        SessionStore(file)
    assert file.read_bytes() == before


@pytest.mark.parametrize("damage", ["no database at all, but text" * 100, None])
def test_a_damaged_file_is_told(tmp_path: Path, damage: str | None) -> None:
    file = tmp_path / "agents.db"
    if damage is not None:
        file.write_text(damage)
    else:
        store = SessionStore(file)
        for _ in range(200):
            store.begin("s").add({"role": "user", "content": "x" * 500})
        store.close()
        raw = bytearray(file.read_bytes())
        raw[5000:60000] = bytes(55000)
        file.write_bytes(raw)
    with pytest.raises(SessionError, match="cannot keep sessions"):
        SessionStore(file)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SessionError):
        SessionStore(tmp_path / "file" / "agents.db")


WRITER = """
import sys
from pyslm.agents import SessionStore
store = SessionStore(sys.argv[1])
turn = store.begin("s")
for i in range(10**9):
    turn.add({"role": "user" if i == 0 else "assistant", "content": f"message {i}"})
    print(i, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_was_said(tmp_path: Path) -> None:
    file = tmp_path / "agents.db"
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    written = 0
    for line in process.stdout:
        written = int(line)
        if written >= 50:
            process.send_signal(signal.SIGKILL)
            break
    written = max([written, *map(int, process.stdout.read().split())])
    process.wait()
    process.stdout.close()
    messages = SessionStore(file).messages("s")
    assert [m["content"] for m in messages[: written + 1]] == [
        f"message {i}" for i in range(written + 1)
    ]
    assert len(messages) in (written + 1, written + 2)


def test_an_interrupted_call_is_told_and_not_repeated() -> None:
    """The process died while a tool ran: the next request knows that it did."""
    store = SessionStore()
    turn = store.begin("s")
    turn.add(USER)
    turn.add(call("c1"))
    model = ScriptedModel("I shall look.")
    Agent(model=model, sessions=store).chat("Did you pay?", session="s")
    told = model.asked[0].messages
    assert [m["role"] for m in told] == ["user", "assistant", "tool", "assistant", "user"]
    assert "not known" in told[2]["content"]
    assert [m["role"] for m in store.messages("s")] == ["user", "assistant", "user", "assistant"]


def test_turns_at_the_same_time_do_not_mix() -> None:
    store = SessionStore()
    one, two = store.begin("s"), store.begin("s")
    one.add({"role": "user", "content": "one"})
    two.add({"role": "user", "content": "two"})
    one.add(call("c1"))
    two.add(call("c2"))
    for turn, ident in ((two, "c2"), (one, "c1")):
        turn.add({"role": "tool", "tool_call_id": ident, "name": "pay", "content": ident})
        turn.add({"role": "assistant", "content": "done"})
    for turn, ident, said in zip(store.turns("s"), ("c1", "c2"), ("one", "two"), strict=True):
        assert turn[0]["content"] == said
        assert turn[2]["tool_call_id"] == ident


def test_threads_and_processes_share_a_file(tmp_path: Path) -> None:
    file = tmp_path / "agents.db"
    stores = [SessionStore(file) for _ in range(2)]

    def write(store: SessionStore) -> None:
        for _ in range(20):
            store.begin("s").add(USER)

    threads = [threading.Thread(target=write, args=(store,)) for store in stores * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(stores[0].turns("s")) == 80


def words(request: ModelRequest) -> int:
    """As `ScriptedModel` counts tokens."""
    return sum(len(json.dumps(m).split()) for m in request.messages)


def long_session(model: ScriptedModel, store: SessionStore, count: int, **settings: Any) -> None:
    agent = Agent(Config(max_tokens=50, **settings), model=model, sessions=store)
    for number in range(count):
        agent.chat(f"question {number} {'x ' * 20}", session="s")


def test_what_does_not_fit_is_left_out_and_prompts_keep_their_beginning() -> None:
    model = ScriptedModel("answer " + "y " * 20, context_length=450)
    store = SessionStore()
    long_session(model, store, 30)
    assert all(words(request) <= 400 for request in model.asked)
    assert len(store.messages("s")) == 60  # nothing is lost
    latest = [m["content"] for m in model.asked[-1].messages]
    assert latest[-1].startswith("question 29")
    cuts = 0
    for one, other in zip(model.asked, model.asked[1:], strict=False):
        grown = list(other.messages[: len(one.messages)]) == list(one.messages)
        cuts += not grown
        assert other.messages[0]["role"] == "user"
    assert 1 <= cuts <= 12  # several turns go at once, so that most prompts find their prefix


def test_a_summary_of_what_is_left_out() -> None:
    def reply(request: ModelRequest) -> str:
        if request.messages[-1]["content"].startswith("Summarize"):
            return "They talked of numbers."
        return "answer " + "y " * 20

    model = ScriptedModel(by=reply, context_length=450)
    store = SessionStore()
    long_session(model, store, 15, summarize=True)
    assert store.summary("s") == "They talked of numbers."
    assert "They talked of numbers." in model.asked[-1].messages[0]["content"]
    assert "Before: They talked" in "".join(
        r.messages[-1]["content"] for r in model.asked if r.messages[-1]["content"][:5] == "Summa"
    )


def test_long_results_are_shortened_when_one_turn_is_too_long() -> None:
    def read() -> str:
        return "word " * 300

    replies: list[Any] = [[("read", {})]] * 2
    model = ScriptedModel(*replies, "done", context_length=700)
    agent = Agent(Config(max_tokens=50), model=model, tools=[read])
    result = asyncio.run(agent.run("go"))
    assert result.text == "done"
    assert words(model.asked[-1]) <= 650
    assert "left out" in model.results()[0]
    assert result.tool_results[0].content == "word " * 300


def test_trimming_by_the_tokens_of_a_real_model(weather_llm: LLM) -> None:
    store = SessionStore()
    agent = Agent(Config(max_tokens=30, context_tokens=300), model=weather_llm, sessions=store)
    for number in range(8):
        result = asyncio.run(agent.run(f"question {number} " + "and so on " * 8, session="s"))
        assert result.usage.prompt_tokens <= 270
    assert len(store.turns("s")) < 9


def test_memories_are_found_by_their_words() -> None:
    store = SessionStore()
    for fact in ("Ann likes green tea", "Bob owns two cats", "the office closes at six"):
        store.remember(fact, scope="a", user="u")
    store.remember("Ann likes green tea", scope="a", user="u")
    assert [m.text for m in store.recall("cat", scope="a", user="u")] == ["Bob owns two cats"]
    assert store.recall("what does Ann like?", scope="a", user="u")[0].text[:3] == "Ann"
    assert len(store.recall(scope="a", user="u")) == 3
    assert store.recall("tea", scope="a", user="other") == []
    assert store.recall("tea", scope="other", user="u") == []
    for query in ('"', "NEAR(", "text:", "a* OR", "-", "'"):  # no syntax gets through
        store.recall(query, scope="a", user="u")


def test_the_memory_tools() -> None:
    store = SessionStore()
    replies: list[Any] = [[("remember", {"fact": "Ann likes tea"})], "ok",
                          [("recall", {"query": "tea"})], "tea"]  # fmt: skip
    model = ScriptedModel(*replies)
    agent = Agent(Config(memory=True), model=model, sessions=store)
    agent.chat("I like tea", user="ann", session="one")
    assert agent.chat("What do I like?", user="ann", session="two") == "tea"
    assert model.results() == ['["Ann likes tea"]']


def test_a_user_is_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "agents.db"
    store = SessionStore(file)
    store.begin("s", user="ann").add({"role": "user", "content": "my secret zebra"})
    store.remember("zebra", user="ann")
    store.begin("t", user="bob").add(USER)
    assert store.forget(user="ann") == 2
    assert [s.id for s in store.sessions()] == ["t"]
    assert store.recall("zebra", user="ann") == []
    assert store.forget(session="t") == 1
    with pytest.raises(SessionError):
        store.forget()
    store.close()
    assert b"zebra" not in file.read_bytes()


def test_old_sessions_go() -> None:
    store = SessionStore()
    store.begin("s").add(USER)
    assert store.prune(days=1) == 0
    assert store.prune(days=-1) == 1


def test_a_plan_comes_first() -> None:
    plan = {"steps": [{"task": "look", "tool": "look"}, {"task": "tell", "tool": "none"}]}

    def look() -> str:
        return "seen"

    model = ScriptedModel(json.dumps(plan), [("look", {})], "told")
    result = asyncio.run(Agent(Config(plan=True), model=model, tools=[look]).run("find out"))
    assert result.text == "told"
    schema: Any = model.asked[0].json_schema
    tools = schema["properties"]["steps"]["items"]["properties"]["tool"]["enum"]
    assert tools == ["look", "none"]
    assert result.messages[1]["content"] == "Plan:\n1. look (by look)\n2. tell"
    with pytest.raises(ReplyError, match="no plan"):
        Agent(Config(plan=True), model=ScriptedModel("hm")).chat("find out")


def test_plans_of_a_model_that_says_anything(babbling_llm: LLM) -> None:
    """Constrained: a plan is a plan. It may be cut off by max_tokens, and then it is refused."""
    agent = Agent(Config(plan=True, max_tokens=1500, temperature=1.0), model=babbling_llm)
    try:
        result = asyncio.run(agent.run("find out"))
    except ReplyError:
        return
    assert result.messages[1]["content"].startswith("Plan:\n1. ")


def test_the_default_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyslm.agents.state.sessions import default_sessions_path

    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path))
    assert default_sessions_path() == tmp_path / "agents.db"
    assert os.path.commonpath([default_sessions_path(), tmp_path]) == str(tmp_path)


@pytest.mark.usefixtures("nano")
def test_nano_reads_each_request_of_a_session_and_what_it_leans_on() -> None:
    agent = Agent(Config(name="demo", temperature=0.0), tools=demo_tools(), sessions=SessionStore())

    def called(text: str) -> list[tuple[str, Any]]:
        result = asyncio.run(agent.run(text, session="one"))
        return [(told.call.name, json.loads(told.call.arguments)) for told in result.tool_results]

    weather = {"city": "Oslo", "day": "tomorrow"}
    assert called("What is the weather in Oslo tomorrow?") == [("get_weather", weather)]
    ((name, arguments),) = called("and in Bergen?")
    assert (name, arguments["city"]) == ("get_weather", "Bergen")
    assert called("What time is it?") == [("get_current_time", {})]
    assert called("thanks!") == []
    assert called("Order a pizza for me") == []
    assert [name for name, _ in called("Roll the dice")] == ["roll_dice"]
