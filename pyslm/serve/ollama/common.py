"""What the requests and answers of /api/generate and /api/chat share."""

from __future__ import annotations

import datetime
import functools
import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from pyslm.request import SamplingParams
from pyslm.serve.durations import keep_alive_seconds
from pyslm.serve.ollama.options import Options
from pyslm.serve.openai.fields import check_extra, log_passed_over
from pyslm.serve.openai.sampling import sampling_params
from pyslm.serve.protocol import (
    Finished,
    FinishReason,
    ModelCard,
    ReasoningOptions,
    ServeError,
    Services,
)
from pyslm.serve.protocol.number import Integer, Number

__all__ = ["BaseRequest", "TextRequest", "done_fields", "now", "rfc3339"]

_NANOSECONDS = 10**9


class BaseRequest(BaseModel):
    """Of every request about a model."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = ""
    options: Options | None = None
    keep_alive: Number | str | None = None

    @property
    def keep_seconds(self) -> float | None:
        """How long the model stays."""
        return keep_alive_seconds(self.keep_alive)

    @property
    def wants_unload(self) -> bool:
        """With a request that asks for no text: the model shall go."""
        return self.keep_seconds == 0

    def passed_over(self) -> list[str]:
        """Names of the fields that have no effect.

        Raises:
            ServeError: one cannot be honoured.
        """
        known = self.options.passed_over() if self.options is not None else []
        return [*check_extra(self), *known]

    def dispatch_options(self, services: Services, card: ModelCard) -> dict[str, Any]:
        """Keyword arguments of `Dispatcher.generate`, `embed` and `load`."""
        options = self.options or Options()
        return {
            "keep_alive": self.keep_seconds,
            "options": options.load_options(card, services.config.context_length),
        }


class TextRequest(BaseRequest):
    """Of the two requests that make text."""

    stream: StrictBool | None = None
    format: Literal["", "json"] | dict[str, Any] | StrictBool | None = None
    think: StrictBool | Literal["low", "medium", "high", "max"] | None = None
    logprobs: StrictBool | None = None
    top_logprobs: Integer | None = Field(None, ge=0, le=20)
    truncate: StrictBool | None = None
    shift: StrictBool | None = None

    @property
    def streams(self) -> bool:
        """Unlike OpenAI's, unless it is told not to."""
        return self.stream is not False

    def passed_over(self) -> list[str]:
        wanted = {"truncate": self.truncate, "shift": self.shift}
        idle = [name for name, value in wanted.items() if value]
        return [*super().passed_over(), *log_passed_over(idle)]

    def sampling(self) -> SamplingParams:
        """How to choose tokens, and what the answer must look like."""
        arguments = (self.options or Options()).sampling()
        if self.format == "json":
            arguments["json_object"] = True
        elif self.format is not None and self.format != "":
            arguments["json_schema"] = self.format
        if self.logprobs or self.top_logprobs:
            arguments["logprobs"] = self.top_logprobs or 0
        return sampling_params(arguments)

    def reasoning(self, card: ModelCard) -> ReasoningOptions:
        """How to think, as far as the model can."""
        if self.think and "thinking" not in card.capabilities:
            raise ServeError("not_supported", f'"{self.model}" does not support thinking')
        if isinstance(self.think, str):
            return ReasoningOptions(enabled=True, effort=self.think)
        return ReasoningOptions(enabled=self.think)


def done_fields(finished: Finished, began_ns: int, load_seconds: float) -> dict[str, Any]:
    """The end of an answer; durations are in nanoseconds.

    Args:
        began_ns: `time.monotonic_ns` when the request came.
    """
    return {
        "done": True,
        "done_reason": _reason(finished.reason),
        "total_duration": time.monotonic_ns() - began_ns,
        "load_duration": int(load_seconds * _NANOSECONDS),
        "prompt_eval_count": finished.prompt_tokens,
        "prompt_eval_duration": int(finished.prompt_seconds * _NANOSECONDS),
        "eval_count": finished.completion_tokens,
        "eval_duration": int(finished.decode_seconds * _NANOSECONDS),
    }


def _reason(reason: FinishReason) -> str:
    return "stop" if reason == "tool_calls" else reason


def now() -> str:
    """The time, as every answer states it."""
    return rfc3339(time.time())


def rfc3339(seconds: float) -> str:
    """A time since 1970, as Go writes it."""
    whole = int(seconds)
    return f"{_written_second(whole)}.{int((seconds - whole) * 1e6):06d}Z"


@functools.lru_cache(maxsize=4)  # every token of a stream has its time
def _written_second(seconds: int) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%S")
