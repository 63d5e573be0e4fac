"""Errors as OpenAI writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse, Response

from pyslm.serve.protocol import ErrorKind, ServeError

__all__ = ["error_object", "error_response"]

_TYPES: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
}
_CODES: Mapping[ErrorKind, str] = {
    "context_length": "context_length_exceeded",
    "model_not_found": "model_not_found",
    "unauthenticated": "invalid_api_key",
    "rate_limited": "rate_limit_exceeded",
    "overloaded": "server_overloaded",
    "unsupported_field": "unsupported_parameter",
    "not_supported": "unsupported_value",
    "crashed": "model_crashed",
    "out_of_memory": "out_of_memory",
}


def error_object(error: ServeError) -> dict[str, Any]:
    """{"error": {message, type, param, code}}, and the counts of a context overflow."""
    fallback = "invalid_request_error" if error.status < 500 else "server_error"
    body: dict[str, Any] = {
        "message": error.message,
        "type": _TYPES.get(error.status, fallback),
        "param": error.param,
        "code": _CODES.get(error.kind),
    }
    if error.kind == "context_length":
        body["prompt_tokens"] = error.prompt_tokens
        body["context_length"] = error.context_length
    return {"error": body}


def error_response(error: ServeError) -> Response:
    """With its status."""
    return JSONResponse(error_object(error), error.status)
