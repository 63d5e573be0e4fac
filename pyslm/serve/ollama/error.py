"""Errors as Ollama writes them."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import JSONResponse, Response

from pyslm.serve.protocol import ErrorKind, ServeError

__all__ = ["error_object", "error_response"]

# Where Ollama has a status of its own.
_STATUS: Mapping[ErrorKind, int] = {
    "overloaded": 503,
    "crashed": 500,
    "out_of_memory": 500,
}


def error_object(error: ServeError) -> dict[str, str]:
    """The one field that Ollama's clients read."""
    return {"error": error.message}


def error_response(error: ServeError) -> Response:
    """With its status."""
    return JSONResponse(error_object(error), _STATUS.get(error.kind, error.status))
