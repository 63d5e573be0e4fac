"""What every request passes before a route sees it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pyslm.serve.body import read_bounded, replay
from pyslm.serve.caller import SCOPES, Caller, current_caller, current_request_id
from pyslm.serve.config import ServeConfig
from pyslm.serve.dialects import Dialects
from pyslm.serve.keys import KeyRing
from pyslm.serve.limits import Limits
from pyslm.serve.origins import Origins
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.tracing import Trace, Tracing, current_trace

__all__ = ["Gate"]

_log = logging.getLogger("pyslm.access")
_OPEN_PATHS = frozenset(("/health",))


class Gate:
    """Host and Origin, key, limits, body; in this order, and errors in the dialect of the path."""

    def __init__(
        self,
        app: ASGIApp,
        config: ServeConfig,
        dialects: Dialects,
        keys: KeyRing,
        limits: Limits,
        check_room: Callable[[], None] = lambda: None,
        tracing: Tracing | None = None,
    ) -> None:
        """In front of an app.

        Args:
            check_room: raises the error of a request that no model has a place for.
            tracing: makes a span of each request.
        """
        self._app = app
        self._config = config
        self._dialects = dialects
        self._keys = keys
        self._limits = limits
        self._check_room = check_room
        self._tracing = tracing
        self._origins = Origins(config)
        self._num_active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        answer = _Answer(send)
        current_request_id.set(answer.request_id)
        self._num_active += 1
        began = time.monotonic()
        trace = self._tracing.begin(scope) if self._tracing is not None else Trace()
        current_trace.set(trace)
        caller: Caller | None = None
        try:
            caller = self._admit(scope)
            token = current_caller.set(caller)
            try:
                await self._pass_on(scope, receive, answer)
            finally:
                current_caller.reset(token)
        except ServeError as error:
            response = self._dialects.error_response(scope, error)
            await response(scope, receive, answer)
        finally:
            self._num_active -= 1
            trace.end(answer.status)
            self._record(scope, answer, caller, time.monotonic() - began)

    def _admit(self, scope: Scope) -> Caller:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        if not self._origins.allows_host(host):
            raise ServeError(
                "forbidden",
                f"the Host {host[:100]!r} is not one of this server's; allow it with --allow-host",
            )
        if origin is not None and not self._origins.allows_origin(origin, host):
            raise ServeError(
                "forbidden",
                f"pages of {origin[:100]!r} may not ask this server; allow them with --cors-origin",
            )
        if scope["path"] in _OPEN_PATHS:
            return Caller("", scopes=frozenset())
        caller = self._caller(scope, headers)
        if self._num_active > self._config.max_connections:
            raise ServeError(
                "overloaded",
                f"{self._config.max_connections} requests are being answered; try again later",
                retry_after=1,
            )
        self._limits.admit(caller)
        if self._dialects.needs_place(scope):
            self._check_room()
        return caller

    def _caller(self, scope: Scope, headers: Headers) -> Caller:
        client = scope.get("client")
        address = client[0] if client else "local"
        if self._keys.is_empty and not self._config.require_key:
            return Caller(address, scopes=frozenset(SCOPES))
        self._limits.check_failures(address)
        key = _key(headers)
        caller = self._keys.caller(key) if key else None
        if caller is None:
            if key:
                self._limits.count_failure(address)
            raise ServeError(
                "unauthenticated",
                "the API key is not valid"
                if key
                else "an API key is needed: send 'Authorization: Bearer KEY' or 'x-api-key: KEY'",
            )
        if scope["path"] == "/metrics" and "metrics" not in caller.scopes:
            raise ServeError("forbidden", "this API key does not have the scope 'metrics'")
        if scope["path"] != "/metrics" and not caller.scopes & {"inference", "manage"}:
            raise ServeError("forbidden", "this API key does not have the scope 'inference'")
        return caller

    async def _pass_on(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        if not self._dialects.is_upload(scope["path"]):
            body = await read_bounded(scope, receive, self._config.max_body_bytes)
            if body is None:
                return
            receive = replay(body, receive)
        await self._app(scope, receive, answer)

    def _record(self, scope: Scope, answer: _Answer, caller: Caller | None, seconds: float) -> None:
        if _log.isEnabledFor(logging.INFO):
            _log.info(
                "%s %s %s",
                scope["method"],
                scope["path"],
                answer.status,
                extra={
                    "request_id": answer.request_id,
                    "caller": caller.name if caller else None,
                    "status": answer.status,
                    "seconds": round(seconds, 6),
                },
            )


class _Answer:
    """A `send` that notes the status and adds the request's id."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.request_id = secrets.token_hex(8)

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)["x-request-id"] = self.request_id
        await self._send(message)


def _key(headers: Headers) -> str:
    """OpenAI's header, Anthropic's, or Azure's."""
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    return headers.get("x-api-key") or headers.get("api-key") or ""
