"""The examples, with a model that calls what a question asks for and repeats what tools give."""

from __future__ import annotations

import datetime
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from examples.conftest import QUESTIONS, Expected
from reference.scripted_chat import Said, ScriptedModel
from stories import calling_model

from pyslm.agents import Agent, ModelRequest, User, verify_log
from pyslm.agents.security.audit import default_audit
from pyslm.agents.tools import Tool
from pyslm.cli import invoke
from pyslm.errors import AgentConfigError, ModelCallError, ModelNotFoundError
from pyslm.examples import EXAMPLES, command, customer_service, healthcare, invoices
from pyslm.examples.command import answer
from pyslm.examples.scheduling import Calendar
from pyslm.examples.scheduling import build as build_scheduling

CALLS = {each.question: each.calls for each in QUESTIONS}
OF: dict[str, dict[str, Any]] = {
    "healthcare": {"user": healthcare.PATIENT}, "scheduling": {"session": "today"},
}  # fmt: skip


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing of an example is written where the user keeps things."""
    monkeypatch.setenv("PYSLM_STATE_DIR", str(tmp_path / "state"))
    default_audit.cache_clear()  # of the test before
    return tmp_path / "state"


def obedient(request: ModelRequest) -> Said:
    """What a good model does."""
    last = request.messages[-1]
    if last["role"] == "tool":
        return f"Here it is: {last['content']}"
    if request.choice is not None:
        called = CALLS[last["content"]][0][0]
        return next(n for n in request.choice if (n == "scheduling-agent") == ("call" in called))
    return CALLS[last["content"]]


def test_outcome(expected: Expected) -> None:
    agent = expected.module.build(ScriptedModel(by=obedient))
    expected.check(answer(agent, expected.question, **OF.get(expected.example, {})))


def test_the_time_is_that_of_the_clock() -> None:
    agent = importlib.import_module("pyslm.examples.first_agent").build(ScriptedModel(by=obedient))
    before = datetime.datetime.now().replace(microsecond=0)
    found = re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", agent.chat("What time is it?"))
    assert found is not None
    assert before <= datetime.datetime.fromisoformat(found[0]) <= datetime.datetime.now()


def calling(name: str, **arguments: Any) -> ScriptedModel:
    """A model that makes one call, whatever is asked."""
    return ScriptedModel([(name, arguments)], "Done.")


def ask(agent: Any, **of: Any) -> str:
    """What the only call gives."""
    (result,) = answer(agent, "?", **of).tool_results
    return result.content


@pytest.mark.parametrize(
    ("example", "call", "told"),
    [
        ("retail", ("check_inventory", {"product_sku": "XX-1"}), "there is no product XX-1"),
        ("retail", ("create_price_quote", {"items": ["HP-310", "no"]}), "there is no product no"),
        ("customer_service", ("lookup_customer_info", {"customer_id": "C-9"}), "no customer C-9"),
        ("customer_service", ("create_support_ticket", {"issue": "x", "priority": "now"}),
         "priority"),
        ("invoices", ("list_invoices", {"status": "lost"}), "status"),
        ("scheduling", ("find_free_slots", {"day": "tomorrow"}), "day"),
        ("scheduling", ("book_meeting", {"title": "x", "day": "2026-12-01", "hour": 9}), "taken"),
        ("scheduling", ("book_meeting", {"title": "x", "day": "2026-12-01", "hour": 3}),
         "equal to 9"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_told_to_the_model(
    example: str, call: tuple[str, dict[str, Any]], told: str
) -> None:
    model = calling(call[0], **call[1])
    build = importlib.import_module(f"pyslm.examples.{example}").build
    if example == "customer_service":
        (agent,) = [a for a in build(model).agents if any(t.name == call[0] for t in a.tools)]
    else:
        agent = build(model)
    answer(agent, "?")
    assert told in json.loads(model.results()[0])["error"]


def test_the_right_colleague_is_asked() -> None:
    desk = customer_service.Desk()
    team = customer_service.build(ScriptedModel(by=obedient), desk)
    by = [team.process_request(question).agent for question in customer_service.QUESTIONS]
    assert by == ["scheduling-agent"] + 3 * ["support-agent"]
    assert desk.callbacks == {"C-17": "2026-12-01 15:00"}
    assert desk.tickets == [("my router does not start", "high")]
    assert desk.for_people == ["a wrong refund"]


def test_words_decide_where_the_router_fails() -> None:
    def without_choices(request: ModelRequest) -> Said:
        if request.choice is not None:
            raise ModelCallError("it cannot choose")
        return obedient(request)

    team = customer_service.build(ScriptedModel(by=without_choices))
    by = [team.process_request(question).agent for question in customer_service.QUESTIONS]
    assert by == ["scheduling-agent"] + 3 * ["support-agent"]


def test_only_approved_invoices_are_written() -> None:
    ledger = invoices.sample_ledger()
    agent = invoices.build(ScriptedModel(by=obedient), ledger)
    for question in invoices.QUESTIONS:
        agent.chat(question)
    numbers = {number for (number,) in ledger.execute("SELECT number FROM invoice")}
    assert numbers == {"N-201", "N-203", "A-118", "N-204"}
    again = ("N-204", "Nordwind", 1.0, "2026-12-15")
    row = dict(zip(("number", "supplier", "amount", "due_date"), again, strict=True))
    assert "N-204 already" in ask(invoices.build(calling("add_invoice", **row), ledger))


@pytest.mark.parametrize(
    ("user", "patient", "token", "told"),
    [
        (User("1043", ("patient",)), "1043", "birch-owl-2", '{"next_visit":null,"allergies":[]}'),
        (User("1043", ("patient",)), "1043", "wrong", '{"error":"Authentication failed"}'),
        (User("1043", ("patient",)), "1042", "alder-fox-7", "not so"),
        (User("1042", ("visitor",)), "1042", "alder-fox-7", "sensitive"),
        (None, "1042", "alder-fox-7", "penicillin"),  # the front desk itself
        (User("9", ("patient",)), "9", "", '{"error":"Authentication failed"}'),
    ],
)  # fmt: skip
def test_records_are_for_their_patients(
    user: User | None, patient: str, token: str, told: str
) -> None:
    model = calling("access_patient_portal", patient_id=patient, auth_token=token)
    assert told in ask(healthcare.build(model), **({"user": user} if user else {}))


def test_the_log_of_healthcare_is_sound_and_holds_no_secret(state: Path) -> None:
    agent = healthcare.build(ScriptedModel(by=obedient))
    for question in healthcare.QUESTIONS:
        agent.chat(question, user=healthcare.PATIENT)
    log = state / "audit.jsonl"
    assert verify_log(log).is_sound
    text = log.read_text()
    assert text.count('"verdict":"deny"') + text.count('"verdict": "deny"') == 1
    for secret in ("alder-fox", "birch-owl", "penicillin"):
        assert secret not in text
    assert agent.config.privacy_mode


def test_a_calendar_outlives_the_program(tmp_path: Path) -> None:
    file = tmp_path / "calendar.json"
    call = {"title": "Budget", "day": "2026-12-02", "hour": 14}
    ask(build_scheduling(calling("book_meeting", **call), Calendar(file)))
    assert Calendar(file).meetings(datetime.date(2026, 12, 2)) == {"14": "Budget"}
    assert Calendar().meetings(datetime.date(2026, 12, 2)) == {}


def test_the_second_request_knows_the_first() -> None:
    model = ScriptedModel(by=obedient)
    agent = build_scheduling(model)
    for question in importlib.import_module("pyslm.examples.scheduling").QUESTIONS:
        agent.chat(question, session="today")
    said = [m["content"] for m in model.asked[-1].messages if m["role"] == "user"]
    assert len(said) == 2


def test_every_tool_says_what_it_takes() -> None:
    """A small model has nothing else to go by."""
    for name in EXAMPLES:
        made = importlib.import_module(f"pyslm.examples.{name}").build(ScriptedModel("x"))
        agents = [made] if isinstance(made, Agent) else made.agents
        for agent in agents:
            assert 1 <= len(agent.tools) <= 5
            for tool in agent.tools:
                assert isinstance(tool, Tool)
                assert tool.description.endswith(".")
                for argument in tool.parameters.get("properties", {}).values():
                    assert argument["description"]


# --- the command line -------------------------------------------------------------------------

CALL = ["<tool_call>\n", '{"name": "get_current_time", ', '"arguments": {}}', "\n</tool_call>"]


@pytest.fixture(scope="module")
def clock_model(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real model file that asks for the time, and then says something."""
    target = tmp_path_factory.mktemp("clock") / "clock.gguf"
    return calling_model(shared, target, CALL, ["That is ", "the time."])


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "pyslm.examples.first_agent", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


def test_one_command(clock_model: Path) -> None:
    done = run("--model", clock_model)
    assert (done.returncode, done.stderr) == (0, "")
    question, call, said = done.stdout.splitlines()
    assert question == "> What time is it?"
    assert re.fullmatch(r"  get_current_time\(\{\}\) -> \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", call)
    assert said == "That is the time."


def test_help() -> None:
    done = run("--help")
    assert done.returncode == 0
    for text in ("first_agent", "looks at the clock", "--model", "--endpoint"):
        assert text in done.stdout


def test_a_server_that_is_not_there() -> None:
    done = run("--endpoint", "http://127.0.0.1:9/v1", "--model", "x")
    assert done.returncode == 2
    assert "127.0.0.1:9" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_without_the_default_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(name: str) -> Path:
        raise ModelNotFoundError(f"no {name}")

    monkeypatch.setattr(command, "resolve", resolve)
    with pytest.raises(AgentConfigError, match="nano is not on this machine; name another"):
        command.chosen_model(None, None)
    with pytest.raises(ModelNotFoundError, match="no other"):
        command.chosen_model("other", None)


def test_they_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert invoke(["agent", "examples"]) == 0
    shown = capsys.readouterr().out
    assert invoke(["agent", "examples", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["command"].rpartition(".")[2] for row in rows] == list(EXAMPLES)
    for row in rows:
        assert row["command"] in shown
        assert Path(row["file"]).is_file()
        assert row["about"].endswith(".")
    present = {path.stem for path in Path(command.__file__).parent.glob("*.py")}
    assert present == {*EXAMPLES, "__init__", "command"}
