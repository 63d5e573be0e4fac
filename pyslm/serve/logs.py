"""The server's log: one line for each thing that happens, on stderr. Never a key or a prompt."""

from __future__ import annotations

import json
import logging
import sys
import time

__all__ = ["configure_logs"]

_EXTRA = ("request_id", "caller", "status", "seconds")


def configure_logs(level: str = "info", *, as_json: bool = False) -> None:
    """Sets up the loggers of pyslm and uvicorn."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if as_json else _Plain())
    for name in ("pyslm", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.propagate = False
        logger.setLevel(level.upper())
    logging.getLogger("uvicorn").setLevel(logging.WARNING)


class _Plain(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        when = time.strftime("%H:%M:%S", time.localtime(record.created))
        seconds = getattr(record, "seconds", None)
        took = "" if seconds is None else f" {seconds * 1e3:.1f} ms"
        caller = getattr(record, "caller", None)
        who = f" [{caller}]" if caller else ""
        text = f"{when} {record.levelname.lower()} {record.getMessage()}{took}{who}"
        return text + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": record.created,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name in _EXTRA if (value := getattr(record, name, None))}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)
