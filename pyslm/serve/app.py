"""The ASGI app of a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp

from pyslm import __version__
from pyslm.errors import PyslmError
from pyslm.serve.body import known_models
from pyslm.serve.config import ServeConfig
from pyslm.serve.dialects import Dialects
from pyslm.serve.extension import ServerExtension
from pyslm.serve.gate import Gate
from pyslm.serve.keys import KeyFile, KeyRing
from pyslm.serve.protocol.dialect import Services
from pyslm.serve.protocol.error import ErrorKind, ServeError
from pyslm.serve.protocol.number import NumberSchema
from pyslm.serve.registry import Registry
from pyslm.serve.system import system_router
from pyslm.serve.tracing import Tracing

__all__ = ["build_app"]

_LOCAL_PAGES = r"https?://(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?"
_ANY_ERROR = {
    "description": "An error, as clients of this dialect read it",
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_CLIENT_GONE = 499  # nginx's; nobody reads it
_KINDS: dict[int, ErrorKind] = {404: "not_found", 405: "method_not_allowed", 413: "too_large"}


def build_app(
    config: ServeConfig,
    registry: Registry,
    tracing: Tracing | None = None,
    extension: ServerExtension | None = None,
) -> ASGIApp:
    """The app, over a registry and a tracing that somebody else opens and closes."""
    services = Services(registry, config, registry.store)
    dialects = Dialects(services, [extension.dialect(services)] if extension else [])
    app = FastAPI(
        title="pyslm", version=__version__, docs_url=None, redoc_url=None, redirect_slashes=False
    )
    app.include_router(system_router(registry))
    for dialect in dialects.all:
        app.include_router(dialect.router, tags=[dialect.name])
    _handle_errors(app, dialects)
    _describe(app)
    keys = key_ring(config)
    gate = Gate(app, config, dialects, keys, registry.limits, registry.check_room, tracing)
    return CORSMiddleware(
        gate,
        allow_origins=list(config.cors_origins),
        allow_origin_regex=_LOCAL_PAGES,
        allow_methods=["GET", "POST", "PUT", "DELETE", "HEAD"],
        allow_headers=["*"],
        expose_headers=["x-request-id", "retry-after"],
    )


def _operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in document["paths"].values():
        yield from path.values()


def key_ring(config: ServeConfig) -> KeyRing:
    """The keys that the server asks for."""
    file = KeyFile(config.keys_file) if config.keys_file is not None else None
    return KeyRing(config.api_keys, file)


def _handle_errors(app: FastAPI, dialects: Dialects) -> None:
    async def on_error(request: Request, error: Exception) -> Response:
        response = dialects.error_response(request.scope, _serve_error(error))
        if isinstance(error, HTTPException) and error.headers:
            response.headers.update(error.headers)  # Allow, of a 405
        return response

    async def on_gone(_request: Request, _error: Exception) -> Response:
        return Response(status_code=_CLIENT_GONE)

    app.add_exception_handler(ClientDisconnect, on_gone)
    for kind in (PyslmError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, on_error)


def _serve_error(error: Exception) -> ServeError:
    if isinstance(error, RequestValidationError):
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"][1:]))
        return ServeError("invalid_request", f"{where}: {problem['msg']}", param=where or None)
    if isinstance(error, HTTPException):
        kind = _KINDS.get(error.status_code, "invalid_request")
        return ServeError(kind, f"{error.detail}; GET /openapi.json lists what there is")
    return ServeError.of(error)


def _describe(app: FastAPI) -> None:
    """Adds the models of `request_schema` to the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            models = [(model, "validation") for model in known_models.values()]
            _, schemas = models_json_schema(
                models,  # type: ignore[arg-type]
                ref_template="#/components/schemas/{model}",
                schema_generator=NumberSchema,
            )
            components = document.setdefault("components", {}).setdefault("schemas", {})
            components.update(schemas.get("$defs", {}))
            for operation in _operations(document):
                operation["responses"].setdefault("default", _ANY_ERROR)
        return app.openapi_schema or {}

    app.openapi = openapi  # type: ignore[method-assign]
