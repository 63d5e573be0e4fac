"""Server-sent events."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from pyslm.serve.openai.error import error_object
from pyslm.serve.protocol import ServeError

__all__ = ["DONE", "PING", "error_event", "json_event"]

DONE = b"data: [DONE]\n\n"
PING = b": still here\n\n"

_encode = msgspec.json.encode


def json_event(body: Any) -> bytes:
    """One event."""
    return b"data: " + _encode(body) + b"\n\n"


def error_event(error: ServeError) -> bytes:
    """An error under way, as OpenAI's clients read it, and the end of the stream."""
    return b"data: " + json.dumps(error_object(error)).encode() + b"\n\n" + DONE
