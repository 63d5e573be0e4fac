"""The model that comes with the package, by its name and without one. Any file may stand for it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serve.server_process import ServerProcess
from stories import calling_model, chat_stories

import pyslm
from pyslm.agents import Agent, Config
from pyslm.cli import invoke
from pyslm.errors import (
    AgentConfigError,
    InvalidRequestError,
    ModelNameError,
    ModelNotFoundError,
)
from pyslm.finetune.config import preset
from pyslm.hub import ModelStore, PullProgress, resolve
from pyslm.hub.embedded import FILE, REPORT, default_model, embedded_folder, embedded_path
from pyslm.hub.names import is_sentence

Capture = pytest.CaptureFixture[str]
QUESTION = "What is the weather in Oslo tomorrow?"
CALL = ["<tool_call>\n", '{"name": "get_weather", "arguments": {"city": "Oslo", ',
        '"day": "tomorrow"}}', "\n</tool_call>"]  # fmt: skip
ANSWER = ["It will be ", "made up ", "in Oslo."]


@pytest.fixture(scope="module")
def weather_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Calls get_weather, then answers."""
    return calling_model(shared, tmp_path_factory.mktemp("nano") / "weather.gguf", CALL, ANSWER)


@pytest.fixture
def embedded(weather_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A package that comes with a model, on a machine that has no other and runs no service."""
    monkeypatch.setenv("PYSLM_NANO", str(weather_model))
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    return weather_model


# --- by name ----------------------------------------------------------------------------------


def test_the_file_in_the_package_is_the_one_that_was_measured() -> None:
    """It takes eight megabytes at most, and the recipe in `pyslm.finetune.config` makes it."""
    data = (embedded_folder() / FILE).read_bytes()
    report = json.loads((embedded_folder() / REPORT).read_text(encoding="utf-8"))
    assert hashlib.sha256(data).hexdigest() == report["sha256"]
    assert len(data) == report["bytes"] <= 8_000_000
    model, train = preset("nano")
    assert (model.num_parameters, train.steps) == (report["parameters"], report["steps"])


@pytest.mark.parametrize("name", ["nano", "pyslm-nano", "Nano", "nano:latest", "library/nano"])
def test_its_names(embedded: Path, store: ModelStore, name: str) -> None:
    assert store.find(name).path == embedded
    assert resolve(name) == embedded


def test_it_is_listed_last_and_says_where_it_is_from(
    embedded: Path, store: ModelStore, tmp_path: Path, capsys: Capture
) -> None:
    (mine := tmp_path / "mine.gguf").write_bytes(b"GGUF")
    store.adopt(mine, "mine")
    assert [(model.name, model.origin) for model in store.list()] == [
        ("mine", "pyslm"), ("nano", "package"),
    ]  # fmt: skip
    assert invoke(["list"]) == 0
    last = capsys.readouterr().out.splitlines()[-1].split()
    assert (last[0], last[-1]) == ("nano", "package")
    assert invoke(["show", "nano", "--json"]) == 0
    here = json.loads(capsys.readouterr().out)["here"]
    assert here["path"] == str(embedded)
    assert len(here["digest"]) == 64


def test_a_folder_of_a_training_is_no_model(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nano").mkdir()
    monkeypatch.chdir(tmp_path)
    assert resolve("nano") == embedded
    with pyslm.LLM("nano") as llm:
        assert llm.info.path == embedded


def test_it_is_here_already_and_stays(embedded: Path, store: ModelStore, capsys: Capture) -> None:
    told: list[PullProgress] = []
    assert store.pull("nano", told.append, force=True).path == embedded  # no hub can be reached
    assert [step.status for step in told] == ["resolving", "success"]
    with pytest.raises(InvalidRequestError, match="comes with pyslm"):
        store.remove("nano")
    assert invoke(["rm", "nano"]) == 2
    assert "comes with pyslm" in capsys.readouterr().err
    for taken in ("nano", "pyslm-nano:latest"):
        with pytest.raises(InvalidRequestError, match="give another name"):
            store.copy("nano", taken)
        with pytest.raises(InvalidRequestError, match="give another name"):
            store.adopt(embedded, taken)


def test_a_copy_is_a_file_of_its_own(embedded: Path, store: ModelStore) -> None:
    copy = store.copy("nano", "mine")
    assert (copy.origin, copy.path.read_bytes()) == ("pyslm", embedded.read_bytes())
    assert copy.path != embedded
    store.remove("mine")
    assert [model.name for model in store.list()] == ["nano"]
    assert embedded.exists()


@pytest.mark.usefixtures("embedded")
def test_a_mistyped_name_is_told(store: ModelStore) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean nano"):
        store.find("nanno")


def test_a_package_without_it(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    assert (default_model(), store.list()) == (None, [])
    for name in ("nano", "nano:latest"):
        with pytest.raises(ModelNotFoundError, match="there is no model 'nano' here"):
            store.find(name)
    assert invoke(["run"]) == 2
    assert "no model is named" in capsys.readouterr().err
    assert invoke(["run", QUESTION]) == 2
    assert "is not the name of a model" in capsys.readouterr().err
    with pytest.raises(AgentConfigError, match="the agent agent has no model"):
        Agent().chat("hello")


def test_a_file_that_is_not_there_is_told(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYSLM_NANO", str(tmp_path / "absent.gguf"))
    for ask in (embedded_path, store.list, lambda: resolve("nano")):
        with pytest.raises(InvalidRequestError, match=r"PYSLM_NANO names .*absent"):
            ask()


def test_it_says_how_well_it_does(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("pyslm.hub.embedded.embedded_folder", lambda: tmp_path)
    measures = {"routing": {"wanted": 0.95, "constrained": [9, 10], "free": [8, 10]}}
    told = {
        "sha256": hashlib.sha256(embedded.read_bytes()).hexdigest(), "license": "Apache-2.0",
        "evaluation": {"measures": measures},
    }  # fmt: skip
    (tmp_path / "report.json").write_text(json.dumps(told))
    assert invoke(["show", "nano"]) == 0
    assert "routing 90%" in capsys.readouterr().out
    (tmp_path / "report.json").write_text(json.dumps(told | {"sha256": "of another"}))
    assert invoke(["show", "nano"]) == 0
    assert "routing" not in capsys.readouterr().out


# --- without a name ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (QUESTION, True), ("Hello?", True), ("Hello there", True), ("-", True), ("天气", True),
        ("Hello", False), ("qwen2.5:0.5b", False), ("./my model.gguf", False), ("", False),
        ("my model.gguf", False), ("qwen2.5:", False), ("hf:a/b:Q4_0", False), (" ", False),
    ],
)  # fmt: skip
def test_sentences(text: str, is_one: bool) -> None:
    assert is_sentence(text) is is_one


@pytest.mark.usefixtures("embedded")
def test_a_sentence_alone_is_a_prompt(capsys: Capture) -> None:
    assert invoke(["run", QUESTION, "--tools", "demo"]) == 0
    out, err = capsys.readouterr()
    assert out == "It will be made up in Oslo.\n"
    assert '[get_weather {"city": "Oslo", "day": "tomorrow"}: ok' in err


@pytest.mark.usefixtures("embedded")
def test_a_prompt_of_a_pipe() -> None:
    command = [sys.executable, "-m", "pyslm", "run", "--tools", "demo"]
    done = subprocess.run(command, input=QUESTION, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "It will be made up in Oslo.\n"), done.stderr


@pytest.mark.usefixtures("embedded")
def test_one_word_is_a_name(capsys: Capture) -> None:
    assert invoke(["run", "Hello"]) == 2
    told = capsys.readouterr().err
    assert "there is no model 'Hello'" in told
    assert 'pyslm run nano "Hello"' in told
    assert invoke(["run", "absent.gguf"]) == 2
    assert "pyslm run nano" not in capsys.readouterr().err
    with pytest.raises(ModelNameError):
        resolve(QUESTION)  # elsewhere a sentence is no name


@pytest.mark.usefixtures("embedded")
@pytest.mark.parametrize("how", ["default", "name"])
def test_agents(how: str) -> None:
    agent = Agent(Config(max_tokens=60), model="nano") if how == "name" else Agent()

    @agent.tool
    def get_weather(city: str, day: str = "today") -> str:
        """Get the weather."""
        return f"rain in {city} {day}"

    assert agent.chat(QUESTION) == "It will be made up in Oslo."


def test_finetuning_begins_with_it(embedded: Path, tmp_path: Path, capsys: Capture) -> None:
    tools = tmp_path / "tools.json"
    tools.write_text("[]")
    line = ["finetune", str(tools), "--out", str(tmp_path / "my.gguf")]
    assert invoke([*line, "--lora"]) == 2
    assert "--lora is for larger models" in capsys.readouterr().err
    pytest.importorskip("torch", reason="needs torch: the extra 'train'")
    assert invoke(line) == 2
    assert f"{embedded} is no model of `pyslm.finetune`" in capsys.readouterr().err


@pytest.fixture
def server(embedded: Path) -> Iterator[ServerProcess]:  # noqa: ARG001
    server = ServerProcess("--threads", "1", "--no-weight-cache")
    yield server
    assert server.stop() == 0


def test_a_server_without_models_has_it(
    server: ServerProcess, shared: Path, tmp_path: Path
) -> None:
    with server.http() as http:
        ModelStore().adopt(chat_stories(shared, tmp_path), "mine")
        http.get("/v1/models/mine")  # known before the default is
        assert [card["id"] for card in http.get("/v1/models").json()["data"]] == ["nano", "mine"]
        assert http.get("/api/tags").json()["models"][0]["name"] == "nano:latest"
        assert http.get("/openai/models").json()[0] == "nano-generic-cpu:1"
        assert http.get("/foundry/list").json()[0]["alias"] == "nano"
        asked = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 2}
        for name in ({}, {"model": "pyslm-nano"}, {"model": "nano-generic-cpu:1"}):
            answer = http.post("/v1/chat/completions", json=asked | name)
            assert answer.json()["model"] in ("nano", *name.values())
        assert http.post("/api/pull", json={"model": "nano", "stream": False}).status_code == 200
        refused = http.request("DELETE", "/api/delete", json={"model": "nano"})
        assert (refused.status_code, "comes with pyslm" in refused.text) == (400, True)


# --- the file itself --------------------------------------------------------------------------


def test_the_package_file_is_small_and_loads(nano: Path) -> None:
    assert nano.stat().st_size <= 8_000_000
    with pyslm.LLM("nano", max_sequences=1) as llm:
        assert llm.info.trained_context_length >= 2048
        assert llm.info.has_chat_template
