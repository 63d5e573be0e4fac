"""Errors that a client is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pyslm.errors import (
    ChatTemplateError,
    ContextLengthError,
    GGUFError,
    InsufficientMemoryError,
    InvalidRequestError,
    ModelFileError,
    ModelNotFoundError,
    PyslmError,
    QueueFullError,
    TokenizerError,
    UnsupportedModelError,
)

__all__ = ["STATUS", "ErrorKind", "ServeError"]

ErrorKind: TypeAlias = Literal[
    "invalid_request",
    "unsupported_field",
    "context_length",
    "unauthenticated",
    "forbidden",
    "not_found",
    "model_not_found",
    "method_not_allowed",
    "conflict",
    "too_large",
    "not_supported",
    "rate_limited",
    "overloaded",
    "timeout",
    "unavailable",
    "out_of_memory",
    "crashed",
    "internal",
    "not_implemented",
]

STATUS: Mapping[ErrorKind, int] = {
    "invalid_request": 400,
    "unsupported_field": 400,
    "context_length": 400,
    "not_supported": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "not_found": 404,
    "model_not_found": 404,
    "method_not_allowed": 405,
    "conflict": 409,
    "too_large": 413,
    "rate_limited": 429,
    "overloaded": 429,
    "internal": 500,
    "not_implemented": 501,
    "crashed": 503,
    "unavailable": 503,
    "out_of_memory": 503,
    "timeout": 504,
}

# The most special first.
_KINDS: tuple[tuple[type[Exception], ErrorKind], ...] = (
    (ContextLengthError, "context_length"),
    (InvalidRequestError, "invalid_request"),
    (QueueFullError, "overloaded"),
    (ModelNotFoundError, "model_not_found"),
    (InsufficientMemoryError, "out_of_memory"),
    (ChatTemplateError, "invalid_request"),
    (TokenizerError, "invalid_request"),
    (UnsupportedModelError, "not_supported"),
    (GGUFError, "unavailable"),
    (ModelFileError, "unavailable"),
)


class ServeError(PyslmError):
    """A request that fails, and how; each dialect has its own way to write it."""

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        prompt_tokens: int | None = None,
        context_length: int | None = None,
    ) -> None:
        """Says what was seen, what is allowed and what to do.

        Args:
            param: the field of the request that is to blame.
            retry_after: seconds after which it may be tried again.
            prompt_tokens, context_length: the counts of a "context_length" error.
        """
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.prompt_tokens = prompt_tokens
        self.context_length = context_length

    @property
    def status(self) -> int:
        """The HTTP status."""
        return STATUS[self.kind]

    @classmethod
    def of(cls, error: Exception) -> ServeError:
        """The same for clients: an error of pyslm keeps its message, a defect does not show it."""
        if isinstance(error, cls):
            return error
        for kind_of_error, kind in _KINDS:
            if isinstance(error, kind_of_error):
                return cls(kind, str(error))
        if isinstance(error, PyslmError):
            return cls("internal", str(error))
        return cls("internal", "the server failed; its log says more")
