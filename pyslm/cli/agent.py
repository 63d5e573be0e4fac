"""`pyslm agent`: run, list, logs, eval."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyslm.cli.console import JsonOption, output_console
from pyslm.errors import AgentConfigError, InvalidRequestError

if TYPE_CHECKING:
    from pyslm.agents import Agent, AgentResult, ApprovalRequest

__all__ = ["AgentArgument", "EndpointOption", "ModelOption", "agent_app", "load"]

agent_app = typer.Typer(
    name="agent",
    help="Agents: models with a job, tools and a memory.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

AgentArgument = Annotated[
    str, typer.Argument(metavar="AGENT", help="A TOML file, or a name: see `pyslm agent list`.")
]
ModelOption = Annotated[
    str | None, typer.Option("--model", "-m", help="In place of the agent's own.")
]
EndpointOption = Annotated[
    str | None, typer.Option("--endpoint", help="An OpenAI-compatible server's URL.")
]
SessionOption = Annotated[
    str | None, typer.Option("--session", "-s", help="Go on with this conversation, and keep it.")
]
UserOption = Annotated[str, typer.Option("--user", help="Whose request it is.")]
FollowedOption = Annotated[int, typer.Option("--last", "-n", min=1, help="How many entries.")]


@agent_app.command()
def run(
    agent: AgentArgument,
    prompt: Annotated[
        str | None, typer.Argument(help="Text; - reads it from stdin. Default: a conversation.")
    ] = None,
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    session: SessionOption = None,
    user: UserOption = "",
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve all calls that need approval.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Ask an agent."""
    made = load(agent, model=model, endpoint=endpoint, yes=yes)
    if prompt is None:
        _converse(made, session or f"cli-{time.time():.0f}", user)
        return
    text = sys.stdin.read() if prompt == "-" else prompt
    if not text.strip():
        raise InvalidRequestError("the prompt is empty")
    if as_json:
        _print_json(_run(made, text, session, user))
    else:
        _show(made, text, session, user)


@agent_app.command("list")
def list_agents(as_json: JsonOption = False) -> None:
    """Show the agents that are known by name, and their kept conversations."""
    _check_extra()
    from pyslm.agents.files import agents_folder, known_agents, load_agent
    from pyslm.agents.sessions import SessionStore, default_sessions_path

    path = default_sessions_path()
    sessions = SessionStore(path).sessions() if path.exists() else []
    rows: list[dict[str, Any]] = []
    for name, file in known_agents().items():
        made = load_agent(file)
        rows.append(
            {
                "name": name,
                "model": made.config.model,
                "tools": [tool.name for tool in made.tools],
                "sessions": sum(each.agent == made.name for each in sessions),
                "file": str(file),
            }
        )
    if as_json:
        print(json.dumps(rows))
        return
    if not rows:
        print(f"no agents in {agents_folder()}; put TOML files there", file=sys.stderr)
        return
    from rich.table import Table

    table = Table("NAME", "MODEL", "TOOLS", "SESSIONS")
    for row in rows:
        table.add_row(row["name"], row["model"] or "-", ", ".join(row["tools"]) or "-",
                      str(row["sessions"]))  # fmt: skip
    output_console().print(table)


@agent_app.command()
def logs(
    agent: Annotated[str | None, typer.Argument(metavar="AGENT", help="Only its entries.")] = None,
    session: SessionOption = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="Default: the user's own log.")
    ] = None,
    last: FollowedOption = 50,
    as_json: JsonOption = False,
) -> None:
    """Show what agents did (their audit log) or, with --session, what was said."""
    _check_extra()
    if session is not None:
        _show_session(session, as_json)
        return
    from pyslm.agents.audit import default_audit_path

    path = file or default_audit_path()
    if not path.exists():
        raise AgentConfigError(f"there is no audit log {path}; agents with audit = true write one")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    chosen = [e for e in entries if agent is None or e.get("agent") == agent][-last:]
    for entry in chosen:
        print(json.dumps(entry) if as_json else _described(entry))


@agent_app.command("eval")
def evaluate(
    agent: AgentArgument,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Tasks: one JSON object a line.")],
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    repeats: Annotated[int, typer.Option("--repeats", min=1, help="Of each task.")] = 1,
    plot: Annotated[Path | None, typer.Option("--plot", help="Write a picture (PNG, SVG).")] = None,
    prompt_price: Annotated[
        float, typer.Option("--prompt-price", min=0, help="Cloud: dollars per million tokens.")
    ] = 2.50,
    completion_price: Annotated[
        float, typer.Option("--completion-price", min=0, help="The same, of the answer.")
    ] = 10.00,
    prices: Annotated[
        Path | None,
        typer.Option("--prices", help="A table in TOML or JSON: name = {prompt, completion}."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure an agent: tasks completed, calls made, seconds, memory, cost against the cloud."""
    made = load(agent, model=model, endpoint=endpoint)
    from pyslm.agents.evaluation import evaluate, load_prices, load_tasks
    from pyslm.agents.evaluation_plot import plot_report
    from pyslm.agents.portal import portal
    from pyslm.agents.savings import CLOUD_PRICES, Price

    price = Price(prompt_price, completion_price)
    table = CLOUD_PRICES if prices is None else load_prices(prices)
    tasks = load_tasks(file)
    report = portal().run(evaluate(made, tasks, price=price, prices=table, repeats=repeats))
    if plot is not None:
        plot_report(report, plot)
    if as_json:
        print(json.dumps(report))
    else:
        _show_report(report)


def _check_extra() -> None:
    import pyslm.agents  # noqa: F401 (says what is missing)


def load(name: str, *, yes: bool = False, model: str | None, endpoint: str | None) -> Agent:
    """The agent of a file or a name; AgentConfigError: there is none."""
    _check_extra()
    from pyslm.agents.files import find_agent, load_agent

    changes: dict[str, Any] = {}
    if model is not None:
        changes |= {"model_alias": model, "model_id": None}
    if endpoint is not None:
        changes["endpoint"] = endpoint
    return load_agent(find_agent(name), approve=(lambda _: True) if yes else _approve, **changes)


def _approve(request: ApprovalRequest) -> bool:
    """Asks on the terminal; without one, no."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"\n{request.agent} wants to call {request.tool}: {request.reason}", file=sys.stderr)
    print(json.dumps(dict(request.arguments), default=str, indent=2), file=sys.stderr)
    return typer.confirm("Allow it?", default=False, err=True)


def _run(agent: Agent, text: str, session: str | None, user: str) -> AgentResult:
    from pyslm.agents.portal import portal

    return portal().run(agent.run(text, session=session, user=user))


def _show(agent: Agent, text: str, session: str | None, user: str) -> None:
    stream = agent.stream(text, session=session, user=user)
    for piece in stream:
        sys.stdout.write(piece)
        sys.stdout.flush()
    result = stream.result
    if result.finish_reason == "refused":
        raise InvalidRequestError(result.text)
    print()
    for each in result.tool_results:
        print(f"[{each.call.name}: {each.outcome}, {each.seconds * 1e3:.0f} ms]", file=sys.stderr)


def _converse(agent: Agent, session: str, user: str) -> None:
    while True:
        try:
            text = input("> ")
        except EOFError:
            return
        if text.strip():
            _show(agent, text, session, user)


def _print_json(result: AgentResult) -> None:
    record = {
        "agent": result.agent,
        "model": result.model,
        "text": result.text,
        "finish_reason": result.finish_reason,
        "steps": result.steps,
        "seconds": result.seconds,
        "usage": dataclasses.asdict(result.usage),
        "tools": [
            {"name": e.call.name, "arguments": e.call.arguments, "outcome": e.outcome,
             "content": e.content, "seconds": e.seconds}
            for e in result.tool_results
        ],
    }  # fmt: skip
    print(json.dumps(record))


def _show_session(session: str, as_json: bool) -> None:
    from pyslm.agents.sessions import SessionStore, default_sessions_path

    path = default_sessions_path()
    messages = SessionStore(path).messages(session) if path.exists() else []
    if not messages:
        raise AgentConfigError(f"there is no session {session!r:.80}")
    for message in messages:
        if as_json:
            print(json.dumps(message))
            continue
        called = [call["function"]["name"] for call in message.get("tool_calls") or ()]
        calls = f"[calls {', '.join(called)}]" if called else ""
        print(f"{message['role']}: {message.get('content') or ''}{calls}")


def _entry(line: str) -> dict[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _described(entry: dict[str, Any]) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(entry.get("time", 0))))
    skipped = ("seq", "time", "event", "agent", "prev", "hash", "sig", "request", "sha256")
    rest = " ".join(
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in entry.items()
        if key not in skipped
    )
    return f"{when} {entry.get('agent', '-')} {entry.get('event')} {rest}".rstrip()


def _show_report(report: dict[str, Any]) -> None:
    from rich.table import Table

    table = Table("TASK", "OK", "SECONDS", "STEPS", "TOOLS")
    for each in report["results"]:
        table.add_row(each["id"], "yes" if each["ok"] else "no", f"{each['seconds']:.2f}",
                      str(each["steps"]), ", ".join(each["tools"]) or "-")  # fmt: skip
    console = output_console()
    console.print(table)
    seconds = report["seconds"]
    console.print(
        f"completed {100 * report['task_completion']:.0f} %; calls: precision "
        f"{100 * report['tool_precision']:.0f} %, recall {100 * report['tool_recall']:.0f} %\n"
        f"seconds: p50 {seconds['p50']:.2f}, p95 {seconds['p95']:.2f}; "
        f"{100 * report['within_a_second']:.0f} % within one\n"
        f"memory {report['memory_mb']:.0f} MB, CPU {report['cpu_seconds']:.1f} s, "
        f"{report['tokens_per_second']:.1f} tokens/s\n"
        f"the same tokens in the cloud: ${report['cloud_cost']:.4f}"
    )
    for name, cost in report["cloud_costs"].items():
        console.print(f"  {name}: ${cost:.4f}")
