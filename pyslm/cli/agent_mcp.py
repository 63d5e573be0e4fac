"""`pyslm agent mcp` and `pyslm agent pins`."""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

from pyslm.cli.agent import AgentArgument, EndpointOption, ModelOption, load
from pyslm.cli.console import JsonOption, output_console

__all__ = ["mcp", "pins"]


def mcp(
    agents: Annotated[
        list[str],
        typer.Argument(metavar="AGENT...", help="TOML files, or names: see `pyslm agent list`."),
    ],
    model: ModelOption = None,
    endpoint: EndpointOption = None,
    http: Annotated[
        int | None,
        typer.Option("--http", metavar="PORT", min=0, max=65535,
                     help="Streamable HTTP on this machine, at http://127.0.0.1:PORT/mcp; 0: any "
                     "port. Default: the standard streams."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Approve all calls that need approval.")
    ] = False,
) -> None:  # fmt: skip
    """Serve agents to MCP clients: each is a tool that takes a request and gives the answer.

    Over HTTP, clients must send the key that PYSLM_API_KEY holds, where it is set.
    """
    made = [load(agent, model=model, endpoint=endpoint, yes=yes) for agent in agents]
    from pyslm.agents.mcp.load import check_mcp

    check_mcp()
    from pyslm.agents.mcp.serving import agents_server, serve_http, serve_stdio

    server = agents_server(made)
    if http is None:
        signal.signal(signal.SIGINT, _leave)
        asyncio.run(serve_stdio(server))
    else:
        key = os.environ.get("PYSLM_API_KEY")
        asyncio.run(serve_http(server, http, key=key, told=lambda url: print(url, flush=True)))


def pins(
    agent: AgentArgument,
    accept: Annotated[
        list[str] | None,
        typer.Option("--accept", metavar="SERVER__TOOL", help="Pin this tool as it is now."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what an agent's MCP servers offer, with the hashes; accept tools that have changed."""
    made = load(agent, model=None, endpoint=None)
    from pyslm.agents.portal import portal
    from pyslm.errors import AgentConfigError

    servers = {each.server.name: each for each in made.mcp_servers}
    for server in servers.values():
        portal().run(server.offered())
    for tool in accept or ():
        name, _, own = tool.partition("__")
        if name not in servers:
            raise AgentConfigError(f"{tool!r:.80} is of none of {', '.join(servers) or 'none'}")
        servers[name].accept(own)
        portal().run(servers[name].offered())
    rows: list[dict[str, Any]] = []
    for name, server in servers.items():
        for own, found in server.hashes.items():
            tool = f"{name}__{own}"
            rows.append({"tool": tool, "hash": found, "refused": server.refused.get(tool)})
    made.close()
    if as_json:
        print(json.dumps(rows))
    elif not rows:
        print(f"{made.name} has no tools of MCP servers", file=sys.stderr)
    else:
        _show(rows)


def _leave(*_: object) -> NoReturn:
    """On Ctrl-C, without waiting for the thread that waits for the standard input."""
    atexit._run_exitfuncs()
    os._exit(130)


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.table import Table

    table = Table("TOOL", "HASH", "REFUSED")
    for row in rows:
        table.add_row(row["tool"], row["hash"], row["refused"] or "-")
    output_console().print(table)
