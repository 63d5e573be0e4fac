"""What a caller asks of a model, and what comes back.

`SamplingParams` says how tokens are chosen and when to stop; `GenerationResult` is a finished
request; `StreamChunk` is a piece of one that is still running.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Mapping, Sequence
from typing import Literal

from pyslm.errors import InvalidRequestError

__all__ = [
    "FinishReason",
    "GenerationResult",
    "SamplingParams",
    "StreamChunk",
    "Timings",
    "TokenLogprobs",
    "Usage",
]

FinishReason = Literal["stop", "length", "abort"]

_INT32_MAX = 2**31 - 1
_UINT64_MAX = 2**64 - 1
_FLOAT32_MAX = 3.4028234e38

# field -> (lowest, highest), both allowed; the same as in csrc/sampling/validate.cpp.
_INT_RANGES: Mapping[str, tuple[int, int]] = {
    "max_tokens": (1, _INT32_MAX),
    "priority": (-_INT32_MAX - 1, _INT32_MAX),
    "top_k": (0, _INT32_MAX),
    "penalty_last_n": (-1, _INT32_MAX),
}
_OPTIONAL_INT_RANGES: Mapping[str, tuple[int, int]] = {
    "seed": (0, _UINT64_MAX),
    "logprobs": (0, 100),
}
_FLOAT_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, _FLOAT32_MAX),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}
_MAX_BIAS = 100.0
_MAX_STOPS, _MAX_STOP_BYTES = 128, 4096
_BOOLS = ("ignore_eos", "include_stop_text")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen. The defaults leave the model's distribution as it is.

    Every field is checked on construction; an `InvalidRequestError` names the field, the value
    and the range.
    """

    max_tokens: int = 256
    """Tokens to generate at most; at least 1."""
    temperature: float = 1.0
    """Divides the logits; 0 takes the most likely token (greedy)."""
    top_k: int = 0
    """Keep the k most likely tokens; 0: all."""
    top_p: float = 1.0
    """Keep the fewest tokens whose probabilities sum to this (nucleus sampling); 1: all."""
    min_p: float = 0.0
    """Keep tokens at least this times as likely as the most likely one; 0: all."""
    typical_p: float = 1.0
    """Locally typical sampling (Meister et al. 2022); 1: off."""
    repetition_penalty: float = 1.0
    """Over prompt and output (Keskar et al. 2019); 1: off."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of every token of the output so far (OpenAI)."""
    frequency_penalty: float = 0.0
    """Subtracted for each time a token stands in the output so far (OpenAI)."""
    penalty_last_n: int = -1
    """Tokens that `repetition_penalty` looks back on; -1: everything, 0: none."""
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    """Token id -> amount added to its logit, from -100 to 100."""
    seed: int | None = None
    """Same seed, same text. None: a random one, recorded in the result."""
    logprobs: int | None = None
    """None: no log-probabilities; n: those of the chosen token and of the n most likely."""
    stop: str | Sequence[str] = ()
    """The output ends before the first of these strings."""
    stop_token_ids: Sequence[int] = ()
    """The output ends before the first of these tokens."""
    ignore_eos: bool = False
    """Go on past the model's own end tokens, up to `max_tokens`."""
    include_stop_text: bool = False
    """Keep the stop string that matched at the end of the text."""
    priority: int = 0
    """The lower, the earlier the request runs, at the cost of others if need be. Requests of the
    same priority run first come, first served."""
    cache_salt: str = ""
    """Computed prompts are shared only between requests of the same salt: a caller cannot find out
    by the time its requests take what those of others, with salts of their own, have asked."""

    def __post_init__(self) -> None:
        for name, (low, high) in _INT_RANGES.items():
            self._set(name, _checked_int(name, getattr(self, name), low, high))
        for name, (low, high) in _OPTIONAL_INT_RANGES.items():
            if getattr(self, name) is not None:
                self._set(name, _checked_int(name, getattr(self, name), low, high))
        for name, (floor, ceiling) in _FLOAT_RANGES.items():
            self._set(name, _checked_float(name, getattr(self, name), floor, ceiling))
        for name in _BOOLS:
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "True or False")
        if not isinstance(self.cache_salt, str):
            raise _wrong("cache_salt", self.cache_salt, "text")
        self._set("logit_bias", _checked_bias(self.logit_bias))
        self._set("stop", _checked_stop(self.stop))
        ids = _checked_sequence("stop_token_ids", self.stop_token_ids)
        self._set(
            "stop_token_ids", tuple(_checked_int("stop_token_ids", i, 0, _INT32_MAX) for i in ids)
        )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def replace(self, **changes: object) -> SamplingParams:
        """A copy with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True, slots=True)
class Usage:
    """How many tokens a request took."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    """Of the prompt: those that were not computed but found in the prefix cache."""

    @property
    def total_tokens(self) -> int:
        """Prompt and completion together."""
        return self.prompt_tokens + self.completion_tokens


@dataclasses.dataclass(frozen=True, slots=True)
class Timings:
    """Wall time of one request, in seconds; other requests may have run beside it."""

    prompt_seconds: float
    """From the start of the request to its first token."""
    decode_seconds: float
    """From the first token to the last."""
    tokens_per_second: float
    """Tokens after the first, over `decode_seconds`; 0 where there is only one token."""


@dataclasses.dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """Natural-log probabilities at one position of the output."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...]
    """(token id, log-probability) of the most likely tokens, best first."""


@dataclasses.dataclass(frozen=True, slots=True)
class GenerationResult:
    """A finished request."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    """stop: a stop token or string; length: `max_tokens` or the context; abort: cut off."""
    usage: Usage
    timings: Timings
    logprobs: tuple[TokenLogprobs, ...] | None
    """One per token of `token_ids`; None unless asked for."""
    stop_reason: str | None
    """The stop string that matched, or the id of the stop token."""
    seed: int
    """The seed that was used: the same request with it gives the same text."""


@dataclasses.dataclass(frozen=True, slots=True)
class StreamChunk:
    """What is new since the last chunk. The texts of all chunks make the result's text."""

    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[TokenLogprobs, ...] | None = None
    result: GenerationResult | None = None
    """The whole result, on the last chunk only."""

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the request ended; None on every chunk but the last."""
        return self.result.finish_reason if self.result else None


def _wrong(field: str, value: object, allowed: str) -> InvalidRequestError:
    return InvalidRequestError(f"{field} is {value!r}; allowed: {allowed}")


def _checked_int(field: str, value: object, low: int, high: int) -> int:
    allowed = f"a whole number from {low} to {high}"
    if isinstance(value, bool):
        raise _wrong(field, value, allowed)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _wrong(field, value, allowed) from None
    if not low <= number <= high:
        raise _wrong(field, value, allowed)
    return number


def _checked_float(field: str, value: object, low: float, high: float) -> float:
    allowed = f"from {low:g} to {high:g}"
    if isinstance(value, (bool, str)):
        raise _wrong(field, value, allowed)
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise _wrong(field, value, allowed) from None
    if not low <= number <= high:  # NaN too
        raise _wrong(field, value, allowed)
    return number


def _checked_sequence(field: str, value: object) -> Sequence[object]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _wrong(field, value, "a list")
    return value


def _checked_bias(bias: object) -> dict[int, float]:
    if not isinstance(bias, Mapping):
        raise _wrong("logit_bias", bias, "a mapping of token ids to amounts")
    return {
        _checked_int("logit_bias token", token, 0, _INT32_MAX): _checked_float(
            f"logit_bias[{token}]", amount, -_MAX_BIAS, _MAX_BIAS
        )
        for token, amount in bias.items()
    }


def _checked_stop(stop: object) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else _checked_sequence("stop", stop)
    if len(strings) > _MAX_STOPS:
        raise _wrong("the number of strings in stop", len(strings), f"at most {_MAX_STOPS}")
    return tuple(map(_checked_stop_string, strings))


def _checked_stop_string(string: object) -> str:
    allowed = f"text of 1 to {_MAX_STOP_BYTES} bytes"
    if not isinstance(string, str):
        raise _wrong("stop", string, allowed)
    try:
        num_bytes = len(string.encode())
    except UnicodeEncodeError:  # a lone surrogate
        raise _wrong("stop", string, allowed) from None
    if not 1 <= num_bytes <= _MAX_STOP_BYTES:
        raise _wrong("stop", string[:20], allowed)
    return string
