"""Errors as Anthropic writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from pyslm.serve.caller import current_request_id
from pyslm.serve.protocol import ErrorKind, ServeError

__all__ = ["error_object", "error_response", "request_headers"]

_OVERLOADED = 529
_STATUS: Mapping[ErrorKind, int] = {
    "overloaded": _OVERLOADED,
    "out_of_memory": _OVERLOADED,
    "crashed": 500,
    "unavailable": 500,
}
# By which clients know that they can go on without threads, and do.
_NO_THREADS = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    _OVERLOADED: "overloaded_error",
}


def error_object(error: ServeError) -> dict[str, Any]:
    """{"type": "error", "error": {type, message}, "request_id"}."""
    fallback = "invalid_request_error" if _status(error) < 500 else "api_error"
    body: dict[str, Any] = {
        "type": _TYPES.get(_status(error), fallback),
        "message": _message(error),
    }
    if error.kind == "unsupported_field" and error.param == "thread":
        body["details"] = _NO_THREADS
    return {"type": "error", "error": body, "request_id": current_request_id.get()}


def error_response(error: ServeError) -> Response:
    """With its status."""
    return JSONResponse(error_object(error), _status(error), request_headers())


def request_headers() -> dict[str, str]:
    """The request's id where Anthropic's clients look for it."""
    return {"request-id": current_request_id.get()}


def _status(error: ServeError) -> int:
    return _STATUS.get(error.kind, error.status)


def _message(error: ServeError) -> str:
    if error.kind == "context_length" and error.prompt_tokens is not None:
        # Clients look for these words to know that they must shorten the conversation.
        counts = f"{error.prompt_tokens} tokens > {error.context_length} maximum"
        return f"prompt is too long: {counts}. {error.message}"
    return error.message
