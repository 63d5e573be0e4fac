"""`pyslm agent`: run, list, logs."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pyslm.cli.agent_talk import (
    converse,
    prompt_text,
    run_agent,
    show_answer,
    show_call,
    typed_lines,
)
from pyslm.cli.console import JsonOption, output_console
from pyslm.cli.deployed import DeployedAgent, deployed_agents, find_deployed
from pyslm.errors import AgentConfigError, InvalidRequestError

if TYPE_CHECKING:
    from pyslm.agents import Agent, ApprovalRequest

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
    """Ask an agent: one of the deployment that runs (`pyslm deploy`), or one of this machine.

    [dim]Examples:[/dim]

      pyslm agent run office "What is on tomorrow?"

      pyslm agent run auto "My lamp is broken"   [dim](the agent of the deployment that fits)[/dim]

      pyslm agent run ./office.toml --session ann
    """
    deployed = None if model or endpoint else find_deployed(agent)
    if deployed is not None:
        _run_deployed(deployed, prompt, session, user, yes=yes, as_json=as_json)
        return
    made = load(agent, model=model, endpoint=endpoint, yes=yes)
    if prompt is None:
        converse(made, session or f"cli-{time.time():.0f}", user)
        return
    text = prompt_text(prompt)
    if as_json:
        print(json.dumps(run_agent(made, text, session, user).record()))
    else:
        show_answer(made, text, session, user)


@agent_app.command("list")
def list_agents(as_json: JsonOption = False) -> None:
    """Show the agents of the deployment that runs, and those that are known by name."""
    from pyslm.agents.files import agents_folder, known_agents, load_agent
    from pyslm.agents.state.sessions import SessionStore, default_sessions_path

    path = default_sessions_path()
    sessions = SessionStore(path).sessions() if path.exists() else []
    remote, there = deployed_agents() or (None, [])
    rows: list[dict[str, Any]] = [
        {
            "name": each["name"],
            "model": each["model"],
            "tools": each["tools"],
            "sessions": sum(of.agent == each["name"] for of in sessions),
            "running_at": remote.url if remote else None,
            "requests": each["requests"],
        }
        for each in there
    ]
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

    table = Table("NAME", "MODEL", "TOOLS", "SESSIONS", "RUNS")
    for row in rows:
        table.add_row(row["name"], row["model"] or "-", ", ".join(row["tools"]) or "-",
                      str(row["sessions"]), row.get("running_at", "-"))  # fmt: skip
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
    if session is not None:
        _show_session(session, as_json)
        return
    deployed = None if file is not None or agent is None else find_deployed(agent)
    if deployed is not None:
        for told in deployed.logs(last):
            print(json.dumps(told) if as_json else _described(told))
        return
    from pyslm.agents.security.audit import default_audit_path

    path = file or default_audit_path()
    if not path.exists():
        raise AgentConfigError(f"there is no audit log {path}; agents with audit = true write one")
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    entries = [entry for line in lines if (entry := _entry(line)) is not None]
    chosen = [e for e in entries if agent is None or e.get("agent") == agent][-last:]
    for entry in chosen:
        print(json.dumps(entry) if as_json else _described(entry))


def load(name: str, *, yes: bool = False, model: str | None, endpoint: str | None) -> Agent:
    """The agent of a file or a name; AgentConfigError: there is none."""
    from pyslm.agents.files import find_agent, load_agent

    changes: dict[str, Any] = {}
    if model is not None:
        changes |= {"model_alias": model, "model_id": None}
    if endpoint is not None:
        changes["endpoint"] = endpoint
    return load_agent(find_agent(name), approve=(lambda _: True) if yes else _approve, **changes)


def _approve(request: ApprovalRequest) -> bool:
    """Asks on the terminal; without one, no."""
    return _confirmed(request.agent, request.tool, request.reason, request.arguments)


def _confirmed(agent: str, tool: str, reason: str, arguments: Mapping[str, Any]) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return False
    print(f"\n{agent} wants to call {tool}: {reason}", file=sys.stderr)
    print(json.dumps(dict(arguments), default=str, indent=2), file=sys.stderr)
    return typer.confirm("Allow it?", default=False, err=True)


def _run_deployed(
    agent: DeployedAgent,
    prompt: str | None,
    session: str | None,
    user: str,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    def approve(asked: Mapping[str, Any]) -> bool:
        wanted = (asked["agent"], asked["tool"], asked["reason"], asked["arguments"])
        return yes or _confirmed(*wanted)

    def ask(text: str, session: str | None) -> None:
        if as_json:
            print(json.dumps(agent.run(text, session, user, approve)))
            return
        record = agent.run(text, session, user, approve, _show_event)
        if record["finish_reason"] == "refused":
            raise InvalidRequestError(record["text"])
        print()
        for each in record["tools"]:
            show_call(each["name"], each["outcome"], each["seconds"])

    if prompt is not None:
        ask(prompt_text(prompt), session)
        return
    session = session or f"cli-{time.time():.0f}"
    for text in typed_lines():
        ask(text, session)


def _show_event(event: Mapping[str, Any]) -> None:
    if event["type"] == "text":
        sys.stdout.write(event["text"])
        sys.stdout.flush()


def _show_session(session: str, as_json: bool) -> None:
    from pyslm.agents.state.sessions import SessionStore, default_sessions_path

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
