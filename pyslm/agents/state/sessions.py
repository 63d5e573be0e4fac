"""Conversations and memories on disk: SQLite in WAL mode.

Each message is stored as it is said, so that a process that is killed loses none. Messages belong
to turns (one request of a user and all that came of it): turns that run at the same time do not
mix.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pyslm.agents.turn import Turn, mended
from pyslm.errors import SessionError
from pyslm.sqlite_file import open_sqlite

__all__ = [
    "Memory",
    "SessionInfo",
    "SessionStore",
    "default_sessions_path",
    "default_store",
]

_VERSION = 1
_MAX_ID_CHARS = 200
_SCHEMA = """
CREATE TABLE sessions (
    id TEXT PRIMARY KEY, agent TEXT NOT NULL, user TEXT NOT NULL, created REAL NOT NULL,
    used REAL NOT NULL, first_turn INTEGER NOT NULL DEFAULT 0, summary TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user);
CREATE TABLE messages (
    session TEXT NOT NULL REFERENCES sessions (id) ON DELETE CASCADE, turn INTEGER NOT NULL,
    position INTEGER NOT NULL, time REAL NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (session, turn, position)
) WITHOUT ROWID;
CREATE VIRTUAL TABLE memories USING fts5 (
    text, scope UNINDEXED, user UNINDEXED, time UNINDEXED, tokenize = 'porter unicode61'
)
"""


def default_sessions_path() -> Path:
    """The user's own file; PYSLM_STATE_DIR names another folder."""
    chosen = os.environ.get("PYSLM_STATE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute() / "agents.db"
    import platformdirs

    return Path(platformdirs.user_data_dir("pyslm")) / "agents.db"


@functools.cache
def default_store() -> SessionStore:
    """The user's own, opened at first use."""
    return SessionStore(default_sessions_path())


@dataclasses.dataclass(frozen=True, slots=True)
class SessionInfo:
    """A conversation that is kept."""

    id: str
    agent: str
    """That of its first turn."""
    user: str
    """Whose it is; empty: nobody was named."""
    created: float
    """Seconds since 1970."""
    used: float
    num_turns: int


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """A fact that was to be remembered."""

    id: int
    text: str
    time: float
    """Seconds since 1970."""


class SessionStore:
    """Thread-safe; several processes may use one file.

    Args:
        path: None: in memory, gone with the process.

    Raises:
        SessionError: the file is damaged, of another version, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = None if path is None else Path(path)
        self._lock = threading.RLock()
        try:
            self._db = open_sqlite(self.path, _SCHEMA, _VERSION)
        except (OSError, sqlite3.Error) as error:
            raise SessionError(
                f"{path} cannot keep sessions: {error}; nothing in it was changed. Use the pyslm "
                "that wrote it, restore it from a backup, or name another file"
            ) from None
        self._db.isolation_level = None
        weakref.finalize(self, self._db.close)  # of stores that nobody closed

    # --- conversations ------------------------------------------------------------------------

    def begin(self, session: str, *, agent: str = "", user: str = "") -> Turn:
        """A new turn at the end of a conversation, which may be new itself.

        Raises:
            SessionError: it is another user's, or the name is empty or too long.
        """
        if not 0 < len(session) <= _MAX_ID_CHARS or "\0" in session:
            raise SessionError(
                f"a session is named {session!r:.80}; allowed: 1 to {_MAX_ID_CHARS} characters"
            )
        now = time.time()
        with self._changes() as db:
            db.execute(
                "INSERT INTO sessions (id, agent, user, created, used) VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (id) DO UPDATE SET used = excluded.used",
                (session, agent, user, now, now),
            )
            (owner,) = db.execute("SELECT user FROM sessions WHERE id = ?", (session,)).fetchone()
            if owner != user:
                raise SessionError(f"the session {session!r:.80} belongs to another user")
            (last,) = db.execute(
                "SELECT coalesce(max(turn), -1) FROM messages WHERE session = ?", (session,)
            ).fetchone()
            # The row keeps the place, until the first message takes it.
            db.execute("INSERT INTO messages VALUES (?, ?, -1, ?, '')", (session, last + 1, now))
        return Turn(self, session, last + 1)

    def turns(self, session: str, *, before: int | None = None) -> list[list[dict[str, Any]]]:
        """The conversation turn by turn, from `first_turn` on.

        What was interrupted is mended: calls without results get one that says so.
        """
        rows = self._rows(
            "SELECT turn, body FROM messages WHERE session = ? AND position >= 0 AND turn < ? "
            "AND turn >= (SELECT first_turn FROM sessions WHERE id = ?) ORDER BY turn, position",
            (session, 2**62 if before is None else before, session),
        )
        found: dict[int, list[dict[str, Any]]] = {}
        for turn, body in rows:
            found.setdefault(turn, []).append(json.loads(body))
        return [mended(messages) for messages in found.values()]

    def messages(self, session: str) -> list[dict[str, Any]]:
        """All that was said, also what no longer fits a model's context."""
        rows = self._rows(
            "SELECT body FROM messages WHERE session = ? AND position >= 0 ORDER BY turn, position",
            (session,),
        )
        return [json.loads(body) for (body,) in rows]

    def summary(self, session: str) -> str:
        """Of the turns before `first_turn`; empty where there is none."""
        rows = self._rows("SELECT summary FROM sessions WHERE id = ?", (session,))
        return str(rows[0][0]) if rows else ""

    def leave_out(self, session: str, num_turns: int, summary: str) -> None:
        """Further turns are no longer given to models; nothing is deleted."""
        with self._changes() as db:
            kept = db.execute(
                "SELECT DISTINCT turn FROM messages WHERE session = ? AND position >= 0 AND turn >="
                " (SELECT first_turn FROM sessions WHERE id = ?) ORDER BY turn LIMIT ?",
                (session, session, num_turns),
            ).fetchall()
            if kept:
                db.execute(
                    "UPDATE sessions SET first_turn = ?, summary = ? WHERE id = ?",
                    (kept[-1][0] + 1, summary, session),
                )

    def sessions(self, user: str | None = None) -> list[SessionInfo]:
        """Those there are, the one used last first."""
        rows = self._rows(
            "SELECT s.id, s.agent, s.user, s.created, s.used, count(DISTINCT m.turn) "
            "FROM sessions s LEFT JOIN messages m ON m.session = s.id AND m.position >= 0 "
            "WHERE ?1 IS NULL OR s.user = ?1 GROUP BY s.id ORDER BY s.used DESC",
            (user,),
        )
        return [SessionInfo(*row) for row in rows]

    # --- memories -----------------------------------------------------------------------------

    def remember(self, text: str, *, scope: str = "", user: str = "") -> None:
        """Keeps a fact; the same fact once."""
        with self._changes() as db:
            known = db.execute(
                "SELECT 1 FROM memories WHERE text = ? AND scope = ? AND user = ?",
                (text, scope, user),
            ).fetchone()
            if known is None:
                db.execute(
                    "INSERT INTO memories (text, scope, user, time) VALUES (?, ?, ?, ?)",
                    (text, scope, user, time.time()),
                )

    def recall(
        self, query: str = "", *, scope: str = "", user: str = "", limit: int = 5
    ) -> list[Memory]:
        """The facts that share most words with a query, best first; without words, the latest."""
        words = " OR ".join(f'"{word}"' for word in re.findall(r"\w+", query))
        match, order = ("AND memories MATCH ?", "rank") if words else ("", "rowid DESC")
        rows = self._rows(
            f"SELECT rowid, text, time FROM memories WHERE scope = ? AND user = ? {match} "
            f"ORDER BY {order} LIMIT ?",
            (scope, user, *([words] if words else []), limit),
        )
        return [Memory(*row) for row in rows]

    # --- forgetting ---------------------------------------------------------------------------

    def forget(self, *, session: str | None = None, user: str | None = None) -> int:
        """Deletes a session, or all sessions and memories of a user; gives how many rows went.

        Raises:
            SessionError: neither is named.
        """
        if (session is None) == (user is None):
            raise SessionError("forget() needs a session or a user, and not both")
        with self._changes() as db:
            if session is not None:
                return db.execute("DELETE FROM sessions WHERE id = ?", (session,)).rowcount
            gone = db.execute("DELETE FROM sessions WHERE user = ?", (user,)).rowcount
            gone += db.execute("DELETE FROM memories WHERE user = ?", (user,)).rowcount
            # The index keeps the words of what was deleted until it is put in order.
            db.execute("INSERT INTO memories (memories) VALUES ('optimize')")
            return gone

    def prune(self, days: float) -> int:
        """Deletes the sessions that were not used for so long; gives how many."""
        with self._changes() as db:
            oldest = time.time() - days * 86400
            return db.execute("DELETE FROM sessions WHERE used < ?", (oldest,)).rowcount

    def close(self) -> None:
        """Lets go of the file."""
        with self._lock:
            self._db.close()

    def append(self, session: str, turn: int, position: int, message: Mapping[str, Any]) -> None:
        """Stores a message of a turn; turns do it as they go."""
        body = json.dumps(message, ensure_ascii=False)
        with self._changes() as db:
            db.execute(
                "INSERT INTO messages VALUES (?, ?, ?, ?, ?)",
                (session, turn, position, time.time(), body),
            )

    def _rows(self, query: str, values: tuple[Any, ...]) -> list[Any]:
        with self._lock, self._told():
            return self._db.execute(query, values).fetchall()

    @contextmanager
    def _changes(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it happens, or nothing."""
        with self._lock, self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise SessionError(f"{self.path or 'the store of sessions'} failed: {error}") from error
