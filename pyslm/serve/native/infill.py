"""POST /infill: llama.cpp's way to have the middle of a text filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.openai.common import dispatch_options, ignored_header, json_response, new_id
from pyslm.serve.openai.fields import check_extra, log_passed_over
from pyslm.serve.openai.sampling import SamplingFields, max_tokens, sampling_params
from pyslm.serve.openai.sse import error_event, json_event
from pyslm.serve.protocol import (
    ContentDelta,
    Event,
    Finished,
    GenerateRequest,
    ServeError,
    Services,
)
from pyslm.serve.streaming import collect_response, stream_response

__all__ = ["PATHS", "InfillBody", "add_routes"]

PATHS = ("/infill",)
_STOP_TYPES = {"length": "limit", "abort": "none"}
_WITHOUT_EFFECT = ("samplers", "n_indent", "t_max_prompt_ms", "t_max_predict_ms", "response_fields")


class OtherFile(BaseModel):
    """What stands in another file of the project."""

    model_config = ConfigDict(extra="allow")

    text: str = ""
    filename: str = "tmp"


class InfillBody(SamplingFields):
    """What stands before the gap and after it."""

    input_prefix: str
    input_suffix: str
    prompt: str = ""
    """More of what stands before: editors put the beginning of the line here."""
    input_extra: list[OtherFile] | None = Field(default=None, max_length=1024)
    samplers: Any = None
    n_indent: Any = None
    t_max_prompt_ms: Any = None
    t_max_predict_ms: Any = None
    response_fields: Any = None

    def to_generate(self, ident: str) -> GenerateRequest:
        """The same for the worker.

        Raises:
            ServeError: a field that cannot be honoured.
        """
        if (self.n or 1) != 1:
            raise ServeError("unsupported_field", "n: only 1 here; ask several times", param="n")
        arguments = self.common_params()
        arguments["max_tokens"] = max_tokens(self.n_predict, self.max_tokens) or 1
        return GenerateRequest(
            id=ident,
            prompt=self.input_prefix + self.prompt,
            suffix=self.input_suffix,
            infill_others=[(other.filename, other.text) for other in self.input_extra or ()],
            sampling=sampling_params(arguments),
        )

    @property
    def only_prompt(self) -> bool:
        """Editors send the prompt ahead, for the cache. One token is made, and not told."""
        return max_tokens(self.n_predict, self.max_tokens) == 0

    def passed_over(self) -> list[str]:
        """Names of the fields that have no effect."""
        idle = [name for name in _WITHOUT_EFFECT if getattr(self, name) is not None]
        return [*check_extra(self), *log_passed_over(idle)]


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's route."""

    @router.post("/infill", openapi_extra=request_schema(InfillBody, streams="text/event-stream"))
    async def infill(request: Request) -> Response:
        """Writes what stands between two texts."""
        body = await parse_body(request, InfillBody)
        headers = ignored_header(body.passed_over())
        asked = body.to_generate(new_id("infill"))
        card = await services.models.get_model(body.model)
        stream = await services.models.generate(body.model, asked, **dispatch_options(body))
        model = body.model or card.id
        if body.stream:
            return stream_response(stream, _Writer(model, body.only_prompt), headers=headers)
        (choice,) = (await collect_response(request, stream, 1)).choices
        assert choice.finished is not None
        content = "" if body.only_prompt else choice.content
        return json_response(_end(model, content, choice.finished), headers)


class _Writer:
    def __init__(self, model: str, only_prompt: bool) -> None:
        self._model = model
        self._only_prompt = only_prompt

    def begin(self) -> bytes:
        return b""

    def events(self, events: Sequence[Event]) -> bytes:
        return b"".join(map(self._write, events))

    def end(self) -> bytes:
        return b""

    def error(self, error: ServeError) -> bytes:
        return error_event(error)

    def ping(self) -> bytes:
        return b": still here\n\n"

    def _write(self, event: Event) -> bytes:
        if isinstance(event, ContentDelta) and not self._only_prompt:
            return json_event({"index": 0, "content": event.text, "tokens": [], "stop": False})
        if isinstance(event, Finished):
            return json_event(_end(self._model, "", event))
        return b""


def _end(model: str, content: str, finished: Finished) -> dict[str, Any]:
    word = finished.stop_reason if isinstance(finished.stop_reason, str) else ""
    prompt, decode = finished.prompt_seconds, finished.decode_seconds
    return {
        "index": 0,
        "content": content,
        "tokens": [],
        "stop": True,
        "model": model,
        "stop_type": _STOP_TYPES.get(finished.reason, "word" if word else "eos"),
        "stopping_word": word,
        "tokens_predicted": finished.completion_tokens,
        "tokens_evaluated": finished.prompt_tokens,
        "tokens_cached": finished.cached_tokens,
        "truncated": False,
        "timings": {
            "cache_n": finished.cached_tokens,
            "prompt_n": finished.prompt_tokens - finished.cached_tokens,
            "prompt_ms": prompt * 1e3,
            "predicted_n": finished.completion_tokens,
            "predicted_ms": decode * 1e3,
        },
    }
