"""Finds the dialects, which are the folders of this package that have one, and asks them."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import Scope

from pyslm.serve.protocol.dialect import Dialect, Services
from pyslm.serve.protocol.error import ServeError

__all__ = ["Dialects"]

_DEFAULT = "openai"
_NOT_DIALECTS = frozenset(("protocol", "worker"))


class Dialects:
    """All dialects of one app."""

    def __init__(self, services: Services, more: Sequence[Dialect] = ()) -> None:
        """`more`: besides those of this package."""
        self.all = [*(make(services) for make in _factories()), *more]
        self._by_prefix = sorted(
            ((prefix, dialect) for dialect in self.all for prefix in dialect.prefixes),
            key=lambda pair: len(pair[0]),
            reverse=True,
        )
        self._uploads = tuple(path for dialect in self.all for path in dialect.uploads)
        self._busy = frozenset(path for dialect in self.all for path in dialect.busy)

    def error_response(self, scope: Scope, error: ServeError) -> Response:
        """An error as the client that sent a request reads it."""
        response = self._of(scope).error_response(error)
        if error.retry_after is not None:
            response.headers["retry-after"] = str(max(math.ceil(error.retry_after), 1))
        if error.kind == "unauthenticated":
            response.headers["www-authenticate"] = "Bearer"
        return response

    def is_upload(self, path: str) -> bool:
        """Whether the route reads its body itself, piece by piece."""
        return bool(self._uploads) and path.startswith(self._uploads)

    def needs_place(self, scope: Scope) -> bool:
        """Whether a request can be nothing but work for a model."""
        return scope["method"] == "POST" and scope["path"] in self._busy

    def _of(self, scope: Scope) -> Dialect:
        path = scope["path"]
        default = next(dialect for dialect in self.all if dialect.name == _DEFAULT)
        claimed = next((d for prefix, d in self._by_prefix if path.startswith(prefix)), default)
        if claimed is not default:
            return claimed
        headers = Headers(scope=scope)
        known = (d for d in self.all if d.header is not None and d.header in headers)
        return next(known, default)


def _factories() -> list[Callable[[Services], Dialect]]:
    import pyslm.serve

    found = []
    for module in pkgutil.iter_modules(pyslm.serve.__path__):
        if module.ispkg and module.name not in _NOT_DIALECTS:
            package = importlib.import_module(f"pyslm.serve.{module.name}")
            if hasattr(package, "dialect"):
                found.append(package.dialect)
    return found
