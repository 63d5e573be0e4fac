"""Responses kept on disk, so that a client can go on where it left off."""

from __future__ import annotations

import asyncio
import dataclasses
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import platformdirs

from pyslm.errors import InvalidRequestError
from pyslm.serve.protocol import ServeError
from pyslm.sqlite_file import open_sqlite

__all__ = ["Page", "ResponseStore", "StoredResponse", "default_responses_path"]

_T = TypeVar("_T")

_VERSION = 1
_PRUNE_SECONDS = 60.0
_SCHEMA = """
CREATE TABLE responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, previous TEXT, used REAL NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX responses_by_use ON responses (used);
CREATE TABLE items (
    response TEXT NOT NULL REFERENCES responses (id) ON DELETE CASCADE,
    position INTEGER NOT NULL, is_output INTEGER NOT NULL, id TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (response, position)
) WITHOUT ROWID;
CREATE INDEX items_by_id ON items (id);
"""
_CHAIN = """
WITH RECURSIVE chain (id, previous, depth) AS (
    SELECT id, previous, 0 FROM responses WHERE id = ? AND owner = ?
    UNION ALL
    SELECT r.id, r.previous, depth + 1 FROM chain JOIN responses r
    ON r.id = chain.previous AND r.owner = ?
) SELECT id, previous FROM chain ORDER BY depth DESC
"""

Item = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredResponse:
    """One turn."""

    body: dict[str, Any]
    """The response as the client was given it."""
    inputs: Sequence[Item]
    """What this request brought, each with an id; not what came before it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Page:
    """Some items of a list."""

    items: list[Item]
    has_more: bool


def default_responses_path() -> Path:
    """The user's own file of responses."""
    return Path(platformdirs.user_data_dir("pyslm")) / "responses.db"


class ResponseStore:
    """A SQLite file that only its user can read, or memory.

    All of it happens on one thread, so that the event loop never waits for a disk. Each response
    has an owner, and does not exist for anybody else. What has not been read or continued for
    longest goes first when there is too much.
    """

    def __init__(
        self, path: Path | None = None, *, max_age: float = 30 * 86400.0, max_count: int = 10_000
    ) -> None:
        """Opens or makes the file.

        Args:
            path: None: in memory, gone with the process.
            max_age: seconds after its last use that a response is kept.
            max_count: how many are kept.

        Raises:
            InvalidRequestError: the file cannot be used; says why and what to do.
        """
        self._max_age = max_age
        self._max_count = max_count
        self._pruned_at = -_PRUNE_SECONDS
        self._num_added = 0
        self._thread = ThreadPoolExecutor(1, "pyslm-responses")
        try:
            self._db = self._thread.submit(open_sqlite, path, _SCHEMA, _VERSION).result()
        except (OSError, sqlite3.Error) as error:
            self._thread.shutdown()
            raise InvalidRequestError(
                f"{path} cannot keep responses: {error}; move it away, or name another file "
                "by --responses-db, or --responses-db :memory:"
            ) from None

    async def put(self, owner: str, stored: StoredResponse) -> None:
        """Keeps a response."""
        await self._do(lambda: self._put(owner, stored))

    async def get(self, owner: str, ident: str) -> dict[str, Any]:
        """The response as the client was given it.

        Raises:
            ServeError: there is none of this owner ("not_found").
        """
        return await self._do(lambda: self._get(owner, ident))

    async def delete(self, owner: str, ident: str) -> None:
        """Forgets a response and its items; errors as of `get`."""
        await self._do(lambda: self._delete(owner, ident))

    async def conversation(self, owner: str, ident: str) -> list[Item]:
        """All items up to and with the output of a response, from the first turn on.

        Raises:
            ServeError: it, or a turn before it, is not kept ("not_found").
        """
        return await self._do(lambda: self._conversation(owner, ident))

    async def item(self, owner: str, ident: str) -> Item | None:
        """The latest item of this id."""
        return await self._do(lambda: self._item(owner, ident))

    async def inputs(
        self,
        owner: str,
        ident: str,
        *,
        limit: int,
        order: Literal["asc", "desc"],
        after: str | None,
    ) -> Page:
        """What the request of a response brought; errors as of `get`, or no item is `after`."""
        return await self._do(lambda: self._inputs(owner, ident, limit, order, after))

    def close(self) -> None:
        """Writes what is to be written."""
        self._thread.submit(self._db.close).result()
        self._thread.shutdown()

    async def _do(self, work: Callable[[], _T]) -> _T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise ServeError(
                "unavailable", f"the store of responses failed: {error}; store: false does without"
            ) from error

    def _put(self, owner: str, stored: StoredResponse) -> None:
        body = dict(stored.body)
        output = body.pop("output")
        ident, previous = body["id"], body["previous_response_id"]
        both = [(0, item) for item in stored.inputs] + [(1, item) for item in output]
        rows = [(ident, i, kind, item["id"], _pack(item)) for i, (kind, item) in enumerate(both)]
        with self._db:
            self._db.execute(
                "INSERT INTO responses VALUES (?, ?, ?, ?, ?)",
                (ident, owner, previous, time.time(), _pack(body)),
            )
            self._db.executemany("INSERT INTO items VALUES (?, ?, ?, ?, ?)", rows)
        self._num_added += 1
        self._prune()

    def _prune(self) -> None:
        now = time.monotonic()
        if now - self._pruned_at < _PRUNE_SECONDS and self._num_added < self._max_count // 10:
            return
        self._pruned_at, self._num_added = now, 0
        with self._db:
            self._db.execute("DELETE FROM responses WHERE used < ?", (time.time() - self._max_age,))
            self._db.execute(
                "DELETE FROM responses WHERE id IN "
                "(SELECT id FROM responses ORDER BY used DESC LIMIT -1 OFFSET ?)",
                (self._max_count,),
            )

    def _get(self, owner: str, ident: str) -> dict[str, Any]:
        row = self._db.execute(
            "SELECT body FROM responses WHERE id = ? AND owner = ? AND used >= ?",
            (ident, owner, time.time() - self._max_age),
        ).fetchone()
        if row is None:
            raise _missing(ident)
        body: dict[str, Any] = msgspec.json.decode(row[0])
        self._touch([ident])
        body["output"] = self._items(ident, "AND is_output = 1")
        return body

    def _delete(self, owner: str, ident: str) -> None:
        with self._db:
            done = self._db.execute(
                "DELETE FROM responses WHERE id = ? AND owner = ?", (ident, owner)
            )
        if not done.rowcount:
            raise _missing(ident)

    def _conversation(self, owner: str, ident: str) -> list[Item]:
        chain = self._db.execute(_CHAIN, (ident, owner, owner)).fetchall()
        if not chain:
            raise _missing(ident, "previous_response_id")
        if chain[0][1] is not None:
            raise _missing(chain[0][1], "previous_response_id")
        idents = [row[0] for row in chain]
        self._touch(idents)
        return [item for response in idents for item in self._items(response)]

    def _touch(self, idents: Sequence[str]) -> None:
        now = time.time()
        with self._db:
            self._db.executemany(
                "UPDATE responses SET used = ? WHERE id = ?", [(now, ident) for ident in idents]
            )

    def _items(self, ident: str, only: str = "") -> list[Item]:
        rows = self._db.execute(
            f"SELECT body FROM items WHERE response = ? {only} ORDER BY position", (ident,)
        )
        return [msgspec.json.decode(row[0]) for row in rows]

    def _item(self, owner: str, ident: str) -> Item | None:
        row = self._db.execute(
            "SELECT i.body FROM items i JOIN responses r ON r.id = i.response "
            "WHERE i.id = ? AND r.owner = ? ORDER BY r.used DESC LIMIT 1",
            (ident, owner),
        ).fetchone()
        return None if row is None else msgspec.json.decode(row[0])

    def _inputs(self, owner: str, ident: str, limit: int, order: str, after: str | None) -> Page:
        self._get(owner, ident)
        items = self._items(ident, "AND is_output = 0")
        if order == "desc":
            items.reverse()
        if after is not None:
            found = [i for i, item in enumerate(items) if item["id"] == after]
            if not found:
                raise ServeError(
                    "not_found", f"{ident} has no input item {after[:100]!r}", param="after"
                )
            items = items[found[0] + 1 :]
        return Page(items[:limit], len(items) > limit)


def _pack(value: Any) -> bytes:
    return msgspec.json.encode(value)


def _missing(ident: str, param: str = "response_id") -> ServeError:
    return ServeError(
        "not_found",
        f"there is no response {ident[:100]!r}: it was made with store: false or by another key, "
        "was deleted, or is too old; send the whole conversation as input",
        param=param,
    )
