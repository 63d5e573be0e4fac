"""The toolkit `database`: an SQLite file, to be read and, where that is allowed, written.

A model may write the SQL of somebody whose words it has read, so nothing rests on its good will:
the file is opened read-only, an authorizer refuses all but what a tool is for (no attached files,
no pragmas, no extensions), and time, rows and sizes are bounded.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import quote

from pyslm.agents.toolkits.registry import default_folder
from pyslm.agents.tools import Tool
from pyslm.errors import AgentConfigError

__all__ = ["database_tools"]

Parameter: TypeAlias = str | int | float | bool | None

_READS = frozenset(
    (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE)
)
_WRITES = frozenset((sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE))
_REFUSED_FUNCTIONS = ("load_extension", "fts3_tokenizer", "writefile", "readfile", "edit")
_STEPS_BETWEEN_LOOKS = 1000
_MAX_SQL_BYTES = 100_000
_MAX_VALUE_BYTES = 10_000_000
_SHOWN_CHARS = 2000


def database_tools(
    path: Path | None = None,
    writable: bool = False,
    max_rows: int = 100,
    max_changes: int = 1000,
    timeout: float = 5.0,
    trusted: bool = True,
) -> list[Tool]:
    """Tools for one SQLite file.

    Args:
        path: the file. None: `database.db` of the user's tools folder, made if need be.
        writable: offer `database_change`, too, which is sensitive: a policy must name it.
        max_rows: of one result; what goes beyond is left out, and that is told.
        max_changes: rows that one call may change; more are undone.
        timeout: seconds of one call.
        trusted: False where strangers' words stand in it; see `Tool.trusted`.

    Raises:
        AgentConfigError: there is no such database, or a bound is not above 0.
    """
    for name, value in (("max_rows", max_rows), ("max_changes", max_changes), ("timeout", timeout)):
        if not value > 0:
            raise AgentConfigError(f"{name} of the tool database is {value}; allowed: above 0")
    database = _Database(_existing(path), max_rows, max_changes, timeout)
    tools = [
        Tool(database.database_tables, trusted=trusted),
        Tool(database.database_query, trusted=trusted),
    ]
    if writable:
        tools.append(Tool(database.database_change, sensitive=True, writes=True))
    return tools


def _existing(path: Path | None) -> Path:
    if path is None:
        path = default_folder() / "database.db"
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        sqlite3.connect(path).close()
    if not path.is_file():
        raise AgentConfigError(f"there is no database {path}; make it, or give another path")
    try:
        with contextlib.closing(_connected(path, writes=False, timeout=1.0)) as db:
            db.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.DatabaseError as error:
        raise AgentConfigError(f"{path} is no SQLite database that can be read: {error}") from None
    return path


class _Database:
    """Each call has a connection of its own: calls come from several threads."""

    def __init__(self, path: Path, max_rows: int, max_changes: int, timeout: float) -> None:
        self._path = path
        self._max_rows = max_rows
        self._max_changes = max_changes
        self._timeout = timeout

    def database_tables(self) -> list[str]:
        """Show the tables and views of the database, as the SQL that made them."""
        with self._open(_READS) as db:
            found = db.execute(
                "SELECT sql FROM sqlite_master WHERE type IN ('table', 'view') "
                "AND name NOT LIKE 'sqlite_%' ORDER BY name"
            )
            return [sql for (sql,) in found.fetchmany(self._max_rows)]

    def database_query(self, sql: str, parameters: Sequence[Parameter] = ()) -> dict[str, Any]:
        """Read the database by one SELECT.

        Args:
            sql: a SELECT, with ? where values go.
            parameters: the values, in order.
        """
        with self._open(_READS) as db:
            cursor = db.execute(sql, tuple(parameters))
            rows = cursor.fetchmany(self._max_rows + 1)
            if cursor.description is None:
                raise ValueError("this is no SELECT; allowed: one that reads")
            shown: dict[str, Any] = {
                "columns": [column[0] for column in cursor.description],
                "rows": [[_shown(value) for value in row] for row in rows[: self._max_rows]],
            }
        if len(rows) > self._max_rows:
            shown["cut_off"] = f"only the first {self._max_rows} rows; ask for fewer"
        return shown

    def database_change(self, sql: str, parameters: Sequence[Parameter] = ()) -> dict[str, int]:
        """Change rows of the database by one INSERT, UPDATE or DELETE.

        Args:
            sql: the statement, with ? where values go.
            parameters: the values, in order.
        """
        with self._open(_READS | _WRITES) as db:
            cursor = db.execute(sql, tuple(parameters))
            cursor.fetchall()
            changed = db.total_changes
            if changed > self._max_changes:
                raise ValueError(
                    f"{changed} rows would change; allowed: {self._max_changes}. Nothing is changed"
                )
        return {"changed_rows": changed}

    @contextlib.contextmanager
    def _open(self, allowed: frozenset[int]) -> Iterator[sqlite3.Connection]:
        """A transaction in which only some actions are allowed; undone by what is raised."""
        writes = allowed != _READS
        db = _connected(self._path, writes=writes, timeout=self._timeout)
        end = time.monotonic() + self._timeout
        try:
            db.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
            db.set_progress_handler(lambda: time.monotonic() > end, _STEPS_BETWEEN_LOOKS)
            db.set_authorizer(_authorizer(allowed))
            yield db
            db.set_progress_handler(None, 0)
            db.set_authorizer(None)
            db.execute("COMMIT")
        except sqlite3.OperationalError as error:
            if "interrupted" in str(error):
                raise RuntimeError(f"it took longer than {self._timeout:g} s; ask less") from None
            raise
        except sqlite3.DatabaseError as error:
            if "not authorized" in str(error) or "prohibited" in str(error):
                kind = "read and change rows" if writes else "read"
                raise PermissionError(f"{error}: this tool may only {kind}") from None
            raise
        finally:
            db.close()


def _connected(path: Path, *, writes: bool, timeout: float) -> sqlite3.Connection:
    mode = "rw" if writes else "ro"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    db = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    db.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, _MAX_SQL_BYTES)
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_VALUE_BYTES)
    db.execute("PRAGMA trusted_schema = OFF")
    if writes:
        db.execute("PRAGMA foreign_keys = ON")
    else:
        db.execute("PRAGMA query_only = ON")
    return db


def _authorizer(allowed: frozenset[int]) -> Any:
    def decide(action: int, first: str | None, second: str | None, *_: object) -> int:
        if action not in allowed:
            return sqlite3.SQLITE_DENY
        if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _REFUSED_FUNCTIONS:
            return sqlite3.SQLITE_DENY
        if action in _WRITES and (first or "").lower().startswith("sqlite_"):
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    return decide


def _shown(value: Any) -> Any:
    """A value as JSON has it; what is long is cut."""
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, str) and len(value) > _SHOWN_CHARS:
        return f"{value[:_SHOWN_CHARS]}... ({len(value)} characters)"
    return value
