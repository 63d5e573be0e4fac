"""SQLite files of the user's own: made with care, opened with a look at what they are."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

__all__ = ["open_sqlite"]

_BUSY_SECONDS = 5.0


def open_sqlite(path: Path | None, schema: str, version: int) -> sqlite3.Connection:
    """Opens or makes a file that only its user can read, in WAL mode; None: in memory.

    A writer that is killed loses what it had not committed, and nothing else.

    Args:
        schema: the statements that make its tables.
        version: of the schema; kept in the file.

    Raises:
        OSError, sqlite3.Error: it cannot be opened, is damaged, or is of another version.
    """
    if path is not None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        os.chmod(path, 0o600)
    db = sqlite3.connect(path or ":memory:", timeout=_BUSY_SECONDS, check_same_thread=False)
    try:
        _prepare(db, schema, version)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, schema: str, version: int) -> None:
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found not in (0, version):
        raise sqlite3.DatabaseError(
            f"its schema has version {found}, and this pyslm reads {version}"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA secure_delete = ON")
    if found == 0:
        _make(db, schema, version)
    (problem,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if problem != "ok":
        raise sqlite3.DatabaseError(f"it is damaged: {problem}")


def _make(db: sqlite3.Connection, schema: str, version: int) -> None:
    """The tables, unless another process has just made them."""
    db.execute("BEGIN IMMEDIATE")
    try:
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found == 0:
            for statement in filter(str.strip, schema.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {version}")
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")
