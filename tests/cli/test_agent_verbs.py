"""`pyslm agent` and `pyslm audit`: with a real small model, from TOML files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stories import calling_model

from pyslm.cli import invoke

Capture = pytest.CaptureFixture[str]

TOOLS = '''
from pyslm import tool

@tool
def get_weather(city: str, days: int) -> str:
    """Tells the weather."""
    return f"sunny in {city} for {days} days"

def helper():
    """Not offered."""
'''
CALL = ["<tool_call>\n", '{"name": "get_weather", "arguments": {"city": "Oslo", ', '"days": 2}}',
        "\n</tool_call>"]  # fmt: skip
ANSWER = ["It will be ", "sunny ", "in Oslo."]


@pytest.fixture(scope="module")
def model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("cli") / "weather.gguf"
    return calling_model(shared, target, CALL, ANSWER)


@pytest.fixture
def agents(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with an agent "weather"."""
    folder = tmp_path / "agents"
    folder.mkdir()
    monkeypatch.setenv("PYSLM_AGENTS", str(folder))
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    (folder / "tools.py").write_text(TOOLS)
    (folder / "weather.toml").write_text(
        f"""
        model_provider = "local"
        model_alias = "{model}"
        context = "Be brief."
        tools = ["tools.py"]
        roles = ["public"]
        audit = true
        [policy.roles]
        public = [{{ tools = "get_weather", arguments = {{ days = {{ maximum = 9 }} }} }}]
        [resources]
        max_concurrent_agents = 2
        """
    )
    return folder


def output(capsys: Capture, *arguments: str) -> str:
    assert invoke(list(arguments)) == 0
    return capsys.readouterr().out


def refused(capsys: Capture, *arguments: str) -> str:
    assert invoke(list(arguments)) == 2
    return capsys.readouterr().err


@pytest.mark.usefixtures("agents")
def test_run_and_look_back(capsys: Capture) -> None:
    assert output(capsys, "agent", "run", "weather", "How will it be?") == (
        "It will be sunny in Oslo.\n"
    )
    record = json.loads(output(capsys, "agent", "run", "weather", "And?", "-s", "s1", "--json"))
    assert record["text"] == "It will be sunny in Oslo."
    assert record["tools"][0]["content"] == "sunny in Oslo for 2 days"
    assert output(capsys, "agent", "logs", "--session", "s1").splitlines() == [
        "user: And?",
        "assistant: [calls get_weather]",
        "tool: sunny in Oslo for 2 days",
        "assistant: It will be sunny in Oslo.",
    ]
    lines = output(capsys, "agent", "logs", "weather").splitlines()
    assert any("call tool=get_weather" in line and "verdict=allow" in line for line in lines)
    assert len(output(capsys, "agent", "logs", "-n", "2", "--json").splitlines()) == 2
    listed = json.loads(output(capsys, "agent", "list", "--json"))
    assert listed[0]["name"] == "weather"
    assert (listed[0]["tools"], listed[0]["sessions"]) == (["get_weather"], 1)
    assert "weather" in output(capsys, "agent", "list")


def test_audit_verify(agents: Path, capsys: Capture, tmp_path: Path) -> None:
    output(capsys, "agent", "run", str(agents / "weather.toml"), "How will it be?")
    assert "is sound" in output(capsys, "audit", "verify")
    log = tmp_path / "state" / "audit.jsonl"
    head = json.loads(output(capsys, "audit", "verify", str(log), "--json"))["head"]
    assert invoke(["audit", "verify", str(log), "--expect", head]) == 0
    assert invoke(["audit", "verify", str(log), "--expect", "0:beef"]) == 1
    log.write_text(log.read_text().replace("Oslo", "Rome"))
    capsys.readouterr()
    assert invoke(["audit", "verify", str(log)]) == 1
    assert "was changed" in capsys.readouterr().out
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:2]))
    assert invoke(["audit", "verify", str(log), "--json"]) == 1
    assert "cut off" in json.loads(capsys.readouterr().out)["problems"][-1]
    assert "--expect" in refused(capsys, "audit", "verify", str(log), "--expect", "x")
    assert "cannot be read" in refused(
        capsys, "audit", "verify", str(tmp_path / "no.jsonl"), "--public-key", "00" * 32
    )


@pytest.mark.usefixtures("agents")
def test_eval(capsys: Capture, tmp_path: Path) -> None:
    call = {"name": "get_weather", "arguments": {"city": "Oslo"}}
    tasks = [
        {"id": "a", "task": "How will it be?", "contains": ["sunny"], "tools": [call]},
        {"task": "And in Rome?", "contains": ["Rome"], "tools": [{"name": "get_rain"}]},
    ]
    file = tmp_path / "tasks.jsonl"
    file.write_text("\n".join(map(json.dumps, tasks)))
    picture = tmp_path / "plot.png"
    arguments = ["agent", "eval", "weather", str(file), "--prompt-price", "1000000",
                 "--completion-price", "0"]  # fmt: skip
    report = json.loads(output(capsys, *arguments, "--json"))
    assert (report["tasks"], report["task_completion"]) == (2, 0.5)
    assert (report["tool_precision"], report["tool_recall"]) == (0.5, 0.5)
    assert report["seconds"]["p95"] >= report["seconds"]["p50"] > 0
    # A dollar a prompt token.
    assert report["cloud_cost"] == sum(each["prompt_tokens"] for each in report["results"]) > 0
    assert [each["ok"] for each in report["results"]] == [True, False]
    assert "completed 50 %" in output(capsys, *arguments)
    pytest.importorskip("matplotlib")
    output(capsys, *arguments, "--plot", str(picture), "--repeats", "2")
    assert picture.read_bytes().startswith(b"\x89PNG")
    drawing = picture.with_suffix(".svg")
    output(capsys, *arguments, "--plot", str(drawing))
    assert drawing.read_text().startswith("<?xml")
    assert "cannot be written" in refused(
        capsys, *arguments, "--plot", str(tmp_path / "no" / "plot.svg")
    )


@pytest.mark.usefixtures("agents")
def test_costs_by_a_table_of_prices(capsys: Capture, tmp_path: Path) -> None:
    file, prices = tmp_path / "tasks.jsonl", tmp_path / "prices.toml"
    file.write_text('{"task": "How will it be?"}')
    prices.write_text(
        "big = {prompt = 1e6, completion = 0}\nsmall = {prompt = 0, completion = 2e6}"
    )
    arguments = ["agent", "eval", "weather", str(file), "--prices", str(prices)]
    report = json.loads(output(capsys, *arguments, "--json"))
    (result,) = report["results"]
    assert report["cloud_costs"] == {
        "big": result["prompt_tokens"], "small": 2 * result["completion_tokens"],
    }  # fmt: skip
    assert "big: $" in output(capsys, *arguments)
    usual = json.loads(output(capsys, *arguments[:-2], "--json"))["cloud_costs"]
    assert usual["gpt-4o"] > usual["gpt-4o-mini"] > 0
    for text, told in (
        ("big = 3", "the price of 'big'"), ("[big]\nprompt = -1\ncompletion = 1", "'big'"),
        ("[big]\nprompt = 1", "'big'"), ("", "no prices"), ("{", "cannot be read"),
    ):  # fmt: skip
        prices.write_text(text)
        assert told in refused(capsys, *arguments)


@pytest.mark.parametrize(
    ("line", "told"),
    [("{", "line 1 is no JSON"), ("[]", '"task"'), ('{"task": "x", "contain": []}', "contain"),
     ('{"task": "x", "regex": "("}', "regex"), ('{"task": "x", "tools": [1]}', "tools"),
     ("", "no tasks")],
)  # fmt: skip
@pytest.mark.usefixtures("agents")
def test_tasks_that_are_none(capsys: Capture, tmp_path: Path, line: str, told: str) -> None:
    file = tmp_path / "tasks.jsonl"
    file.write_text(line)
    assert told in refused(capsys, "agent", "eval", "weather", str(file))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nam = 'x'", "did you mean name"),
        ("name = ", "is no TOML"),
        ("tools = ['none.py']", "none.py is no Python file"),
        ("tools = ['broken.py']", "ZeroDivisionError"),
        ("tools = ['empty.py']", "no function with @tool"),
        ("tools = 'tools.py'", "a list"),
        ("max_tokens = 0", "max_tokens"),
        ("[policy]\nrules = 1", "the policy has no 'rules'; did you mean roles?"),
        ("[policy.roles]\na = [{tool = 'x'}]", "a rule is"),
        ("[resources]\nmax_memory = '1GB'", "max_memory_usage"),
    ],
)
def test_files_that_are_no_agents(agents: Path, capsys: Capture, text: str, told: str) -> None:
    (agents / "broken.py").write_text("1 / 0")
    (agents / "empty.py").write_text("def f(): ...")
    (agents / "bad.toml").write_text(text)
    assert told in refused(capsys, "agent", "run", "bad", "hi")


@pytest.mark.usefixtures("agents")
def test_what_is_not_there(capsys: Capture) -> None:
    assert "weather" in refused(capsys, "agent", "run", "whether", "hi")
    assert "no session" in refused(capsys, "agent", "logs", "--session", "nobody")
    assert "no audit log" in refused(capsys, "agent", "logs", "--file", "none.jsonl")
    assert "empty" in refused(capsys, "agent", "run", "weather", " ")


@pytest.mark.usefixtures("agents")
def test_another_model(capsys: Capture, tmp_path: Path) -> None:
    told = refused(capsys, "agent", "run", "weather", "hi", "--model", str(tmp_path / "no.gguf"))
    assert "no.gguf" in told
