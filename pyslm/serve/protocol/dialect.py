"""How a dialect presents itself to the app."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from fastapi import APIRouter
from starlette.responses import Response

from pyslm.hub import ModelStore
from pyslm.serve.protocol.dispatcher import Dispatcher
from pyslm.serve.protocol.error import ServeError

if TYPE_CHECKING:
    from pyslm.serve.config import ServeConfig

__all__ = ["Dialect", "Services"]


@dataclasses.dataclass(frozen=True, slots=True)
class Services:
    """What the app gives a dialect."""

    models: Dispatcher
    config: ServeConfig
    store: ModelStore | None = None
    """The models of this machine, where this server serves them."""

    def needed_store(self) -> ModelStore:
        """To bring, name and remove models.

        Raises:
            ServeError: "not_supported" where this server has only the models it was started with;
                "forbidden" where the caller may not.
        """
        from pyslm.serve.caller import require_scope  # which imports this package

        require_scope("manage")
        if self.store is None:
            raise ServeError(
                "not_supported",
                "this server has only the models it was started with; start it with --store to "
                "bring others",
            )
        return self.store


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """One API that clients know."""

    name: str
    router: APIRouter
    prefixes: tuple[str, ...]
    """Paths that begin so are this dialect's, for errors that come up before a route is found. The
    longest prefix wins; paths of nobody are OpenAI's."""
    error_response: Callable[[ServeError], Response]
    """Writes an error as the dialect's clients read it. `retry_after` is added as a header by the
    app."""
    header: str | None = None
    """Requests with this header (in lower case) are of this dialect's clients where nothing but
    the default dialect claims their path."""
    uploads: tuple[str, ...] = ()
    """Paths that begin so have bodies of any size, which their routes read piece by piece."""
    busy: frozenset[str] = frozenset()
    """Paths where a POST always needs a place at a model: where no model has one, it is refused
    before its body is read."""
