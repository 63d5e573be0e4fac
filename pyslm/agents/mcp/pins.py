"""What servers' tools were when they were first seen.

A server may change what its tools say of themselves, and the model heeds what they say: a tool
that was harmless when it was chosen can come to ask for the user's keys. So the definition of each
tool is pinned, by its hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

from mcp_types import Tool as Definition

from pyslm.agents.state.sessions import default_sessions_path
from pyslm.errors import ToolServerError
from pyslm.sqlite_file import open_sqlite

__all__ = ["PinStore", "default_pins_path", "definition_hash"]

_SCHEMA = "CREATE TABLE pins (server TEXT, tool TEXT, hash TEXT, PRIMARY KEY (server, tool))"
_VERSION = 1
_HASHED = {"name", "title", "description", "input_schema", "output_schema", "annotations"}


def default_pins_path() -> Path:
    """The user's own file, beside that of the sessions."""
    return default_sessions_path().with_name("mcp_pins.db")


def definition_hash(tool: Definition) -> str:
    """Of all that the model is told of a tool, and of what it says it does to the world."""
    told = tool.model_dump(mode="json", by_alias=True, include=_HASHED, exclude_none=True)
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


class PinStore:
    """Hashes by server and tool, in a file that processes share."""

    def __init__(self, path: Path | None) -> None:
        """`path`: None: in memory."""
        self._path = path
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None

    def held(self, server: str, hashes: Mapping[str, str]) -> dict[str, str]:
        """The pins of these tools; those that had none are pinned as they are now."""
        rows = [(server, tool, found) for tool, found in hashes.items()]
        with self._open() as db:
            db.executemany("INSERT OR IGNORE INTO pins VALUES (?, ?, ?)", rows)
            found = db.execute("SELECT tool, hash FROM pins WHERE server = ?", (server,))
            return {tool: pinned for tool, pinned in found if tool in hashes}

    def accept(self, server: str, tool: str, found: str) -> None:
        """Pins a tool as it is now."""
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO pins VALUES (?, ?, ?)", (server, tool, found))

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if self._db is None:
                    self._db = open_sqlite(self._path, _SCHEMA, _VERSION)
                with self._db as db:
                    yield db
            except (OSError, sqlite3.Error) as error:
                raise ToolServerError(
                    f"the file of pinned tools {self._path} cannot be used: {error}; mend it, or "
                    "remove it to pin all tools as they are now"
                ) from error

    def __del__(self) -> None:
        if getattr(self, "_db", None) is not None:
            self._db.close()  # type: ignore[union-attr]
