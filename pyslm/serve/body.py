"""Reads what a client sends: bounded in size and in time, checked, its errors named."""

from __future__ import annotations

import asyncio
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

from pyslm.serve.protocol.error import ServeError

__all__ = ["parse_body", "read_bounded", "replay", "request_schema"]

_M = TypeVar("_M", bound=BaseModel)

BODY_SECONDS = 30.0


async def read_bounded(scope: Scope, receive: Receive, max_bytes: int) -> bytes | None:
    """The whole body; None when the client went away.

    Raises:
        ServeError: it is larger than allowed ("too_large"), or takes too long.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise _too_large(max_bytes)
    parts: list[bytes] = []
    num_bytes = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                part = message.get("body", b"")
                num_bytes += len(part)
                if num_bytes > max_bytes:
                    raise _too_large(max_bytes)
                parts.append(part)
                if not message.get("more_body"):
                    return b"".join(parts)
    except TimeoutError:
        raise ServeError("timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body already read, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def parse_body(request: Request, model: type[_M]) -> _M:
    """The body as a pydantic model; JSON whatever its Content-Type says.

    Raises:
        ServeError: it is no JSON, or a field is wrong ("invalid_request", with its name).
    """
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> ServeError:
    problem = error.errors(include_url=False, include_context=False)[0]
    path = _path(problem["loc"])
    if problem["type"] == "json_invalid":
        return ServeError("invalid_request", f"the body is not JSON: {problem['msg'][:300]}")
    seen = repr(problem["input"])[:100] if problem["type"] != "missing" else "missing"
    where = path or "the body"
    return ServeError(
        "invalid_request", f"{where}: {problem['msg']}; it is {seen}", param=path or None
    )


def _path(location: tuple[int | str, ...]) -> str:
    """ "messages.0.content": names of the client's fields, without pydantic's own of a union."""
    names = [
        part
        for part in location
        if isinstance(part, int) or not (part.endswith("]") or part in _OF_UNIONS)
    ]
    return ".".join(map(str, names))


_OF_UNIONS = frozenset(("str", "int", "float", "bool", "dict", "list", "constrained-str"))


def _too_large(max_bytes: int) -> ServeError:
    return ServeError("too_large", f"the body has more than {max_bytes} bytes")


def request_schema(
    model: type[BaseModel], *, required: bool = True, streams: str | None = None
) -> dict[str, Any]:
    """For a route's `openapi_extra`: that its body is this model. The app adds the definitions.

    Args:
        streams: media type of the answers that come as a stream.
    """
    known_models[model.__name__] = model
    schema = {"$ref": f"#/components/schemas/{model.__name__}"}
    answers: dict[str, Any] = {
        media: {} for media in ("application/json", streams) if media is not None
    }
    return {
        "requestBody": {"required": required, "content": {"application/json": {"schema": schema}}},
        "responses": {"200": {"description": "The answer", "content": answers}},
    }


known_models: dict[str, type[BaseModel]] = {}
"""Of `request_schema`, by name."""
