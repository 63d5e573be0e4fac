"""Agents of a deployment that runs, for `pyslm agent`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from pyslm import service
from pyslm.cli.remote import Remote
from pyslm.errors import AgentError, ServiceError

__all__ = ["DeployedAgent", "deployed_agents", "find_deployed"]

ANY_AGENT = "auto"


class DeployedAgent:
    """One of them, asked over HTTP."""

    def __init__(self, remote: Remote, name: str) -> None:
        self.name = name
        self._remote = remote
        self._path = f"/agents/{quote(name, safe='')}"

    def run(
        self,
        text: str,
        session: str | None,
        user: str,
        approve: Callable[[Mapping[str, Any]], bool],
        show: Callable[[Mapping[str, Any]], None] = lambda event: None,
    ) -> dict[str, Any]:
        """Asks it; gives all that was done.

        Args:
            approve: decides on a call that needs it.
            show: gets each event as it comes.

        Raises:
            ServiceError: the deployment cannot be asked, or refuses.
            AgentError: the agent failed.
        """
        body: dict[str, Any] = {"input": text, "user": user, "stream": True}
        if session is not None:
            body["session"] = session
        for event in self._events(body):
            if event["type"] == "approval":
                answer = {"approve": approve(event)}
                self._remote.ask(f"/approvals/{event['id']}", answer)
            elif event["type"] == "error":
                raise AgentError(event["message"])
            elif event["type"] == "done":
                return {key: value for key, value in event.items() if key != "type"}
            else:
                show(event)
        raise AgentError(f"the deployment ended before {self.name} had answered")

    def logs(self, last: int) -> list[dict[str, Any]]:
        """Its newest entries of the audit log."""
        found: dict[str, list[dict[str, Any]]] = self._remote.ask(f"{self._path}/logs?last={last}")
        return found["entries"]

    def _events(self, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        for line in self._remote.lines(f"{self._path}/run", body):
            yield json.loads(line)


def deployed_agents() -> tuple[Remote, list[dict[str, Any]]] | None:
    """The agents of the deployment that runs; None: none does."""
    running = service.find()
    if running is None or running.command != "deploy":
        return None
    remote = Remote(running.url, os.environ.get("PYSLM_API_KEY"))
    return remote, remote.ask("/agents")["agents"]


def find_deployed(name: str) -> DeployedAgent | None:
    """An agent of the deployment that runs; None: it has none of that name, or none runs."""
    if name.endswith(".toml") or os.path.isfile(name):
        return None
    try:
        found = deployed_agents()
    except ServiceError as error:
        print(f"pyslm: warning: {error}", file=sys.stderr)
        return None
    if found is None:
        return None
    remote, agents = found
    names = {agent["name"] for agent in agents}
    return DeployedAgent(remote, name) if name in names | {ANY_AGENT} else None
