"""`LocalRecords`: customers, orders, tickets and articles in an SQLite file of this machine."""

from __future__ import annotations

import re
import sqlite3
import threading
import time
import weakref
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from pyslm import service
from pyslm.errors import AgentError
from pyslm.sqlite_file import open_sqlite

__all__ = ["LocalRecords", "default_records"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE customers (id TEXT PRIMARY KEY, status TEXT NOT NULL, tier TEXT NOT NULL);
CREATE TABLE orders (id TEXT PRIMARY KEY, status TEXT NOT NULL, eta TEXT NOT NULL);
CREATE TABLE tickets (
    number INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, issue TEXT NOT NULL,
    priority TEXT NOT NULL, time REAL NOT NULL
);
CREATE TABLE articles (title TEXT PRIMARY KEY, body TEXT NOT NULL)
"""
_WORD = re.compile(r"[^\W_]{3,}")
_MAX_ARTICLES = 3
_DIGITS = {"TICK": 4, "INC": 5}

Kind = Literal["TICK", "INC"]


class LocalRecords:
    """What tools of agents look up and write. Thread-safe.

    Args:
        path: None: in memory.

    Raises:
        AgentError: the file is damaged, of another version, or cannot be written.
    """

    def __init__(self, path: str | PathLike[str] | None = None) -> None:
        self._lock = threading.Lock()
        try:
            self._db = open_sqlite(None if path is None else Path(path), _SCHEMA, _VERSION)
        except (OSError, sqlite3.Error) as error:
            raise AgentError(f"{path} cannot keep records: {error}; name another file") from None
        weakref.finalize(self, self._db.close)

    def put_customer(self, ident: str, status: str = "active", tier: str = "standard") -> None:
        """Keeps a customer."""
        self._write("INSERT OR REPLACE INTO customers VALUES (?, ?, ?)", (ident, status, tier))

    def get_customer(self, ident: str) -> dict[str, Any]:
        """{customer_id, status, tier}; or {error, customer_id}."""
        row = self._row("SELECT status, tier FROM customers WHERE id = ?", (ident,))
        if row is None:
            return {"error": "there is no such customer", "customer_id": ident}
        return {"customer_id": ident, "status": row[0], "tier": row[1]}

    def put_order(self, ident: str, status: str, eta: str = "") -> None:
        """Keeps an order."""
        self._write("INSERT OR REPLACE INTO orders VALUES (?, ?, ?)", (ident, status, eta))

    def get_order(self, ident: str) -> dict[str, Any]:
        """{order_id, status, eta}; or {error, order_id}."""
        row = self._row("SELECT status, eta FROM orders WHERE id = ?", (ident,))
        if row is None:
            return {"error": "there is no such order", "order_id": ident}
        return {"order_id": ident, "status": row[0], "eta": row[1]}

    def create(self, issue: str, priority: str = "medium", kind: Kind = "TICK") -> str:
        """Keeps a ticket (or an incident); gives its id, as "TICK-0001". Ids count up: no two are
        alike, and none changes with the process."""
        row = (kind, issue, priority, time.time())
        number = self._write(
            "INSERT INTO tickets (kind, issue, priority, time) VALUES (?, ?, ?, ?)", row
        )
        return f"{kind}-{number:0{_DIGITS[kind]}d}"

    def get_ticket(self, ident: str) -> dict[str, Any]:
        """{ticket_id, issue, priority, created}; or {error, ticket_id}."""
        kind, _, number = ident.partition("-")
        row = self._row(
            "SELECT issue, priority, time FROM tickets WHERE kind = ? AND number = ?",
            (kind, int(number) if number.isdecimal() else -1),
        )
        if row is None:
            return {"error": "there is no such ticket", "ticket_id": ident}
        return {"ticket_id": ident, "issue": row[0], "priority": row[1], "created": row[2]}

    def put_article(self, title: str, body: str) -> None:
        """Keeps an article of the knowledge base."""
        self._write("INSERT OR REPLACE INTO articles VALUES (?, ?)", (title, body))

    def search(self, query: str) -> list[dict[str, str]]:
        """The articles that share most words with a query: {title, body}."""
        wanted = set(_WORD.findall(query.lower()))
        with self._lock:
            rows = self._db.execute("SELECT title, body FROM articles ORDER BY title").fetchall()
        scored = [(len(wanted & set(_WORD.findall(f"{t} {b}".lower()))), t, b) for t, b in rows]
        best = sorted((entry for entry in scored if entry[0]), key=lambda entry: -entry[0])
        return [{"title": title, "body": body} for _, title, body in best[:_MAX_ARTICLES]]

    def _write(self, statement: str, values: tuple[Any, ...]) -> int:
        with self._lock, self._db:
            return self._db.execute(statement, values).lastrowid or 0

    def _row(self, statement: str, values: tuple[Any, ...]) -> Any:
        with self._lock:
            return self._db.execute(statement, values).fetchone()


def default_records() -> LocalRecords:
    """The user's own file, beside the service's state."""
    return LocalRecords(service.state_path().with_name("records.db"))
