"""`pyslm run --tools`: the model as an agent made on the spot."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from stories import calling_model

from pyslm.cli import invoke

Capture = pytest.CaptureFixture[str]

CALL = ["<tool_call>\n", '{"name": "get_weather", "arguments": {"city": "Oslo", ',
        '"day": "tomorrow"}}', "\n</tool_call>"]  # fmt: skip
ANSWER = ["It will be ", "made up ", "in Oslo."]


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Calls get_weather, then answers."""
    target = tmp_path_factory.mktemp("run tools") / "weather.gguf"
    return str(calling_model(shared, target, CALL, ANSWER))


def test_answers_go_to_stdout_and_calls_to_stderr(model: str, capsys: Capture) -> None:
    asked = ["run", model, "What is the weather in Oslo tomorrow?", "--tools", "demo", "--stats"]
    assert invoke(asked) == 0
    out, err = capsys.readouterr()
    assert out == "It will be made up in Oslo.\n"
    assert '[get_weather {"city": "Oslo", "day": "tomorrow"}: ok' in err
    assert re.search(r"2 steps  prompt \d+ tokens  output \d+ tokens", err)


def test_as_json(model: str, capsys: Capture) -> None:
    assert invoke(["run", model, "And tomorrow?", "--tools", "demo", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (call,) = record["tools"]
    assert json.loads(call["content"])["source"] == "made up for this demo"
    assert record["text"] == "It will be made up in Oslo."


@pytest.mark.parametrize(
    "option", [["--raw"], ["--top-k", "40"], ["--regex", "a"], ["--choice", "a"]]
)
def test_options_that_agents_have_not(model: str, capsys: Capture, option: list[str]) -> None:
    assert invoke(["run", model, "what is it?", "--tools", "demo", *option]) == 2
    assert capsys.readouterr().err == f"pyslm: error: {option[0]} does not go with --tools\n"


def test_an_empty_prompt_is_told(model: str, capsys: Capture) -> None:
    assert invoke(["run", model, "", "--tools", "demo"]) == 2
    assert "the prompt is empty" in capsys.readouterr().err


def test_unknown_tools(model: str, capsys: Capture) -> None:
    assert invoke(["run", model, "what is it?", "--tools", "demmo"]) == 2
    assert "did you mean demo?" in capsys.readouterr().err


@pytest.mark.usefixtures("nano")
def test_the_first_command_of_a_new_user(capsys: Capture) -> None:
    asked = ["run", "What is the weather in Oslo tomorrow?", "--tools", "demo"]
    assert invoke([*asked, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    (call,) = record["tools"]
    assert call["name"] == "get_weather"
    assert json.loads(call["arguments"])["city"] == "Oslo"
    assert json.loads(call["content"])["weather"] in record["text"]


@pytest.mark.usefixtures("nano")
def test_the_first_command_is_about_tomorrow(capsys: Capture) -> None:
    asked = ["run", "What is the weather in Oslo tomorrow?", "--tools", "demo", "--json"]
    assert invoke(asked) == 0
    (call,) = json.loads(capsys.readouterr().out)["tools"]
    assert json.loads(call["arguments"]) == {"city": "Oslo", "day": "tomorrow"}
