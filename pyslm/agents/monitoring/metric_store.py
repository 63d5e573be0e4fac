"""Metrics on this machine's disk, so that they are there after a restart and without a network."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path

from pyslm.errors import AgentError
from pyslm.sqlite_file import open_sqlite

__all__ = ["MetricStore", "default_metrics_path"]

_VERSION = 1
_KEPT_DAYS = 30.0
_PRUNE_EVERY = 1000
_SCHEMA = """
CREATE TABLE metrics (
    time REAL NOT NULL, agent TEXT NOT NULL, metric TEXT NOT NULL, value REAL NOT NULL
);
CREATE INDEX metrics_by_name ON metrics (metric, agent, time);
CREATE TABLE alerts (
    time REAL NOT NULL, agent TEXT NOT NULL, metric TEXT NOT NULL, value REAL NOT NULL,
    threshold REAL NOT NULL, action TEXT NOT NULL, outcome TEXT NOT NULL
)
"""


def default_metrics_path() -> Path:
    """The user's own file; PYSLM_STATE_DIR names another folder."""
    chosen = os.environ.get("PYSLM_STATE_DIR")
    if chosen:
        return Path(os.path.expanduser(chosen)).absolute() / "metrics.db"
    import platformdirs

    return Path(platformdirs.user_data_dir("pyslm")) / "metrics.db"


class MetricStore:
    """Thread-safe. What is older than a month goes.

    Args:
        path: None: in memory.

    Raises:
        AgentError: the file is damaged, of another version, or cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._lock = threading.Lock()
        self._num_added = 0
        try:
            self._db = open_sqlite(None if path is None else Path(path), _SCHEMA, _VERSION)
        except (OSError, sqlite3.Error) as error:
            raise AgentError(f"{path} cannot keep metrics: {error}; name another file") from None
        weakref.finalize(self, self._db.close)

    def add(self, agent: str, values: Mapping[str, float]) -> None:
        """Keeps values of now."""
        now = time.time()
        rows = [(now, agent, metric, float(value)) for metric, value in values.items()]
        with self._lock, self._db:
            self._db.executemany("INSERT INTO metrics VALUES (?, ?, ?, ?)", rows)
            self._num_added += 1
            if self._num_added % _PRUNE_EVERY == 1:
                oldest = now - _KEPT_DAYS * 86400
                for table in ("metrics", "alerts"):
                    self._db.execute(f"DELETE FROM {table} WHERE time < ?", (oldest,))

    def add_alert(
        self, agent: str, metric: str, value: float, threshold: float, action: str, outcome: str
    ) -> None:
        """Keeps an alert that was fired."""
        row = (time.time(), agent, metric, value, threshold, action, outcome)
        with self._lock, self._db:
            self._db.execute("INSERT INTO alerts VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def values(
        self, metric: str, agent: str | None = None, seconds: float = 3600.0
    ) -> list[tuple[float, float]]:
        """(seconds since 1970, value) of the last seconds, oldest first."""
        with self._lock:
            return self._db.execute(
                "SELECT time, value FROM metrics WHERE metric = ?1 AND time >= ?2 "
                "AND (?3 IS NULL OR agent = ?3) ORDER BY time",
                (metric, time.time() - seconds, agent),
            ).fetchall()

    def alerts(self, limit: int = 100) -> list[tuple[float, str, str, float, float, str, str]]:
        """(time, agent, metric, value, threshold, action, outcome), the latest first."""
        with self._lock:
            return self._db.execute(
                "SELECT * FROM alerts ORDER BY time DESC LIMIT ?", (limit,)
            ).fetchall()
