"""`pyslm agent export`."""

from __future__ import annotations

import json
import sys

from pyslm.cli.agent import AgentArgument, load
from pyslm.errors import AgentConfigError

__all__ = ["export"]


def export(agent: AgentArgument) -> None:
    """Write an agent's kept conversations as examples to learn from, a JSON object a line.

    What was interrupted, and calls that its tools would not take now, are left out.

    [dim]Example:[/dim]

      pyslm agent export office > office.jsonl
    """
    from pyslm.agents.state.export import exported_sessions

    made = load(agent, model=None, endpoint=None)
    num_sessions = num_left_out = 0
    for record, left_out in exported_sessions(made):
        print(json.dumps(record, ensure_ascii=False))
        num_sessions += 1
        num_left_out += left_out
    if not num_sessions:
        raise AgentConfigError(
            f"{made.name} has no kept conversation; name one: `pyslm agent run {agent} TEXT "
            "--session NAME`"
        )
    print(f"{num_sessions} conversations, {num_left_out} turns left out", file=sys.stderr)
