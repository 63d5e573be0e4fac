"""Errors as Anthropic's documentation lists them: each kind's status and type."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from pyslm.serve.anthropic.answer import MessageWriter
from pyslm.serve.anthropic.error import error_response
from pyslm.serve.anthropic.request import MessagesRequest
from pyslm.serve.protocol import ErrorKind, ServeError

DOCUMENTED = {  # https://docs.anthropic.com/en/api/errors
    "invalid_request_error": {400, 405, 409},
    "authentication_error": {401},
    "permission_error": {403},
    "not_found_error": {404},
    "request_too_large": {413},
    "rate_limit_error": {429},
    "api_error": {500, 501},
    "timeout_error": {504},
    "overloaded_error": {529},
}


@pytest.mark.parametrize("kind", get_args(ErrorKind))
def test_every_kind_has_a_documented_type(kind: ErrorKind) -> None:
    answer = error_response(ServeError(kind, "why"))
    body = json.loads(bytes(answer.body))
    assert body["type"] == "error"
    assert answer.status_code in DOCUMENTED[body["error"]["type"]]


@pytest.mark.parametrize(
    ("kind", "status"), [("overloaded", 529), ("out_of_memory", 529), ("crashed", 500)]
)
def test_what_comes_from_the_server_may_be_tried_again(kind: ErrorKind, status: int) -> None:
    assert error_response(ServeError(kind, "why")).status_code == status


def test_an_error_under_way_is_an_event() -> None:
    body = MessagesRequest.model_validate(
        {"messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
    )
    name, data = (
        MessageWriter("msg_1", "m", body)
        .error(ServeError("crashed", "why"))
        .decode()
        .split("\n", 1)
    )
    assert name == "event: error"
    error = json.loads(data.removeprefix("data: "))["error"]
    assert error == {"type": "api_error", "message": "why"}
