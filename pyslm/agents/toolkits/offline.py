"""Calls of tools that need the network, kept while there is none and made when it is back.

A call is kept only when it is certain that nothing of it was done: the machine is offline, or the
tool says so by an `OfflineError`. It has passed the policy, and its approval, by then. Once it is
started it is never started again, unless its tool changes nothing: what a killed process leaves
behind is told as "interrupted", for somebody to look at.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import logging
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import filelock
import pydantic_core

from pyslm.agents.portal import portal
from pyslm.agents.security.privacy import is_private
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError, OfflineError
from pyslm.sqlite_file import open_sqlite

__all__ = ["OfflineQueue", "QueuedCall", "is_online"]

_log = logging.getLogger(__name__)

State: TypeAlias = Literal["queued", "running", "done", "failed", "interrupted"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE calls (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tool TEXT NOT NULL,
    arguments TEXT NOT NULL,
    state TEXT NOT NULL,
    queued REAL NOT NULL,
    ended REAL,
    result TEXT
);
CREATE INDEX calls_by_state ON calls (state, id)
"""
_COLUMNS = "id, tool, arguments, state, queued, ended, result"
_MAX_RESULT_CHARS = 20_000
_KEPT_SECONDS = 30 * 86400.0


@dataclasses.dataclass(frozen=True, slots=True)
class QueuedCall:
    """A call that was kept."""

    id: int
    tool: str
    arguments: Mapping[str, Any]
    state: State
    queued: float
    """Seconds since 1970."""
    ended: float | None
    result: str | None
    """What the tool gave, or why it failed."""


def is_online() -> bool:
    """Whether this machine has a way to others; sends nothing."""
    for family, address in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((address, 9))  # of a datagram: looks for a route, no more
                return True
        except OSError:
            continue
    return False


class OfflineQueue:
    """Keeps calls in an SQLite file. Safe to share by threads and by processes.

    ::

        queue = OfflineQueue("calls.db")
        agent = Agent(config, tools=queue.tools(email_tools(...)))
        queue.start()               # looks every 30 s; or queue.sync() where it suits

    Args:
        path: the file; None: in memory.
        online: whether to try; default: whether the machine has a route.
        max_calls: so many are kept; more are refused, which the model is told.

    Raises:
        OSError, sqlite3.Error: the file cannot be used.
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        online: Callable[[], bool] = is_online,
        max_calls: int = 1000,
    ) -> None:
        self._db = open_sqlite(None if path is None else Path(path), _SCHEMA, _VERSION)
        self._db.isolation_level = None
        self._lock = threading.Lock()
        # Whose file it is, of all processes; free again when that one is killed.
        self._turn = filelock.FileLock(f"{path}.lock") if path is not None else threading.Lock()
        self._online = online
        self._max_calls = max_calls
        self._tools: dict[str, Tool] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def tools(self, tools: Iterable[Tool]) -> list[Tool]:
        """The same tools; calls of those marked `network` are kept while there is none.

        Raises:
            AgentConfigError: two of one name.
        """
        return [self._kept(tool) if tool.network else tool for tool in tools]

    def calls(self, state: State | None = None) -> list[QueuedCall]:
        """The calls that are or were kept, the oldest first."""
        if state is not None and state not in get_args(State):
            allowed = ", ".join(get_args(State))
            raise AgentConfigError(f"state is {state!r}; allowed: {allowed}")
        sql = f"SELECT {_COLUMNS} FROM calls WHERE ? IS NULL OR state = ? ORDER BY id"
        with self._lock:
            rows = self._db.execute(sql, (state, state)).fetchall()
        return [QueuedCall(row[0], row[1], json.loads(row[2]), *row[3:]) for row in rows]

    def sync(self) -> list[QueuedCall]:
        """Makes the calls that were kept, in order; gives those that ended. Does nothing while
        the machine is offline, and stops at the first call that finds it so."""
        ended: list[QueuedCall] = []
        if not self._take_turn():
            return ended
        try:
            self._interrupted()
            self._forget_old()
            while self._online() and (call := self._claim()) is not None:
                state, result = self._made(call)
                self._end(call.id, state, result)
                if state == "queued":
                    break
                ended.append(dataclasses.replace(call, state=state, result=result))
        finally:
            self._turn.release()
        return ended

    def start(self, seconds: float = 30.0) -> None:
        """Syncs in the background, so often, until `close`."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(
            target=self._run, args=(seconds,), name="pyslm-offline-queue", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Ends the background thread, after the call that it makes, and closes the file."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._lock:
            self._db.close()

    # --- calls come -------------------------------------------------------------------------

    def _kept(self, tool: Tool) -> Tool:
        known = self._tools.setdefault(tool.name, tool)
        if known is not tool and known.function is not tool.function:
            raise AgentConfigError(f"two tools of one queue are named {tool.name}")

        def call(**arguments: Any) -> Any:
            if not self._reachable():
                return self._keep(tool, arguments)
            try:
                value = tool.function(**arguments)
            except OfflineError:
                return self._keep(tool, arguments)
            return self._awaited(tool, arguments, value) if inspect.isawaitable(value) else value

        return dataclasses.replace(tool, function=call)

    async def _awaited(self, tool: Tool, arguments: Mapping[str, Any], value: Any) -> Any:
        try:
            return await value
        except OfflineError:
            return self._keep(tool, arguments)

    def _reachable(self) -> bool:
        """In private, calls are made whatever the network is, for the privacy mode to refuse them:
        nothing is kept that would leave the machine later."""
        return is_private() or self._online()

    def _keep(self, tool: Tool, arguments: Mapping[str, Any]) -> dict[str, Any]:
        if is_private():
            raise PermissionError(f"privacy mode: {tool.name} cannot be kept for later")
        text = pydantic_core.to_json(dict(arguments)).decode()
        with self._lock:
            sql = "SELECT count(*) FROM calls WHERE state = 'queued'"
            (waiting,) = self._db.execute(sql).fetchone()
            if waiting >= self._max_calls:
                raise OfflineError(
                    f"there is no network, and {waiting} calls wait for it already; try later"
                )
            sql = "INSERT INTO calls (tool, arguments, state, queued) VALUES (?, ?, 'queued', ?)"
            number = self._db.execute(sql, (tool.name, text, time.time())).lastrowid
        _log.info("offline: the call %s of %s is kept", number, tool.name)
        return {
            "status": "queued",
            "number": number,
            "note": f"There is no network now. {tool.name} will run by itself when it is back; "
            "do not call it again for this.",
        }

    # --- calls go ---------------------------------------------------------------------------

    def _run(self, seconds: float) -> None:
        while not self._stop.is_set():
            try:
                self.sync()
            except sqlite3.Error as error:
                _log.error("the queue of calls cannot be used: %s", error)
            self._stop.wait(seconds)

    def _take_turn(self) -> bool:
        """False: another thread or another process syncs."""
        try:
            return self._turn.acquire(blocking=False) is not False
        except filelock.Timeout:
            return False

    def _claim(self) -> QueuedCall | None:
        """The next call of a tool that we have, marked as started."""
        if not self._tools:
            return None
        places = ", ".join("?" * len(self._tools))
        sql = (
            "UPDATE calls SET state = 'running' WHERE id = (SELECT id FROM calls WHERE "
            f"state = 'queued' AND tool IN ({places}) ORDER BY id LIMIT 1) RETURNING {_COLUMNS}"
        )
        with self._lock:
            row = self._db.execute(sql, tuple(self._tools)).fetchone()
        return None if row is None else QueuedCall(row[0], row[1], json.loads(row[2]), *row[3:])

    def _made(self, call: QueuedCall) -> tuple[State, str | None]:
        tool = self._tools[call.tool]
        try:
            value = tool.function(**tool.arguments(call.arguments))
            if inspect.isawaitable(value):
                value = portal().run(_waited(value))
            text = value if isinstance(value, str) else pydantic_core.to_json(value).decode()
        except OfflineError:
            return "queued", None
        except Exception as error:
            _log.warning("the kept call %d of %s failed", call.id, call.tool, exc_info=error)
            return "failed", f"{type(error).__name__}: {error}"
        _log.info("online: the kept call %d of %s is done", call.id, call.tool)
        return "done", text[:_MAX_RESULT_CHARS]

    def _end(self, number: int, state: State, result: str | None) -> None:
        when = None if state == "queued" else time.time()
        sql = "UPDATE calls SET state = ?, result = ?, ended = ? WHERE id = ?"
        with self._lock:
            self._db.execute(sql, (state, result, when, number))

    def _interrupted(self) -> None:
        """What ran when its process ended: made again if it changes nothing, else told."""
        for call in self.calls("running"):
            tool = self._tools.get(call.tool)
            again = tool is not None and not tool.writes
            if not again:
                _log.error(
                    "the kept call %d of %s was interrupted; whether it was done is not known",
                    call.id,
                    call.tool,
                )
            self._end(call.id, "queued" if again else "interrupted", None)

    def _forget_old(self) -> None:
        sql = "DELETE FROM calls WHERE ended < ? AND state IN ('done', 'failed', 'interrupted')"
        with self._lock:
            self._db.execute(sql, (time.time() - _KEPT_SECONDS,))


async def _waited(value: Any) -> Any:
    return await value
