"""What a caller asks of a model, and what comes back.

`SamplingParams` says how tokens are chosen and when to stop; `GenerationResult` is a finished
request; `StreamChunk` is a piece of one that is still running.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pyslm._param_checks import (
    FLOAT32_MAX,
    INT32_MAX,
    MAX_STOPS,
    MAX_WORD_BYTES,
    UINT64_MAX,
    checked_bias,
    checked_float,
    checked_int,
    checked_stop,
    checked_strings,
    checked_tokens,
    checked_words,
    wrong,
)
from pyslm.grammar.source import GrammarSource, grammar_source

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

# field -> (lowest, highest), both allowed; the same as in csrc/sampling/validate.cpp.
_INT_RANGES: Mapping[str, tuple[int, int]] = {
    "max_tokens": (1, INT32_MAX),
    "min_tokens": (0, INT32_MAX),
    "n": (1, 128),
    "priority": (-INT32_MAX - 1, INT32_MAX),
    "top_k": (0, INT32_MAX),
    "penalty_last_n": (-1, INT32_MAX),
    "dry_allowed_length": (1, INT32_MAX),
    "dry_penalty_last_n": (-1, INT32_MAX),
}
_OPTIONAL_INT_RANGES: Mapping[str, tuple[int, int]] = {
    "seed": (0, UINT64_MAX),
    "logprobs": (0, 100),
    "prompt_logprobs": (0, 100),
    "best_of": (1, 128),
}
_FLOAT_RANGES: Mapping[str, tuple[float, float]] = {
    "temperature": (0.0, FLOAT32_MAX),
    "top_p": (0.0, 1.0),
    "min_p": (0.0, 1.0),
    "typical_p": (0.0, 1.0),
    "top_n_sigma": (0.0, 1000.0),
    "xtc_probability": (0.0, 1.0),
    "xtc_threshold": (0.0, 1.0),
    "dry_multiplier": (0.0, 100.0),
    "dry_base": (1.0, 100.0),
    "repetition_penalty": (0.01, 100.0),
    "presence_penalty": (-2.0, 2.0),
    "frequency_penalty": (-2.0, 2.0),
}
_BOOLS = ("ignore_eos", "include_stop_text", "json_object")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen. The defaults leave the model's distribution as it is.

    Every field is checked on construction; an `InvalidRequestError` names the field, the value
    and the range.
    """

    max_tokens: int = 256
    """Tokens to generate at most; at least 1."""
    min_tokens: int = 0
    """Before so many tokens no end token, stop token or stop string ends the output; a grammar
    that is complete does."""
    n: int = 1
    """Samples of one prompt: the first is the result, the others are its `alternatives`."""
    best_of: int | None = None
    """Samples to draw, of which the `n` with the highest mean log-probability come back, best
    first. None: `n`, in the order of their drawing."""
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
    top_n_sigma: float = 0.0
    """Keep logits within so many standard deviations of the largest (Tang et al. 2024); 0: off."""
    xtc_probability: float = 0.0
    """How often the most likely tokens are left out ("exclude top choices"); 0: never."""
    xtc_threshold: float = 0.1
    """Of the tokens at least this likely, XTC leaves only the least likely."""
    repetition_penalty: float = 1.0
    """Over prompt and output (Keskar et al. 2019); 1: off."""
    presence_penalty: float = 0.0
    """Subtracted once from the logit of every token of the output so far (OpenAI)."""
    frequency_penalty: float = 0.0
    """Subtracted for each time a token stands in the output so far (OpenAI)."""
    penalty_last_n: int = -1
    """Tokens that `repetition_penalty` looks back on; -1: everything, 0: none."""
    dry_multiplier: float = 0.0
    """Penalty ("don't repeat yourself") of a token that would go on a repetition; 0: off."""
    dry_base: float = 1.75
    """The penalty grows by this factor for each token the repetition is longer than allowed."""
    dry_allowed_length: int = 2
    """Repetitions of fewer tokens are free."""
    dry_penalty_last_n: int = -1
    """Tokens that DRY looks back on; -1: everything, 0: none."""
    dry_sequence_breakers: Sequence[str] = ("\n", ":", '"', "*")
    """A repetition does not reach back over these texts."""
    logit_bias: Mapping[int, float] = dataclasses.field(default_factory=dict)
    """Token id -> amount added to its logit, from -100 to 100."""
    allowed_token_ids: Sequence[int] = ()
    """Only these tokens are chosen; empty: all."""
    bad_words: Sequence[str | Sequence[int]] = ()
    """Texts, or sequences of token ids, that the output never holds."""
    forced_tokens: Sequence[int] = ()
    """The output begins with these tokens, whatever the model thinks of them; with `logprobs` it
    says so. They count as output: stop strings, stop tokens and `max_tokens` may end it among
    them, and a grammar must allow them. What comes after is chosen as usual."""
    seed: int | None = None
    """Same seed, same text. None: a random one, recorded in the result."""
    logprobs: int | None = None
    """None: no log-probabilities; n: those of the chosen token and of the n most likely."""
    prompt_logprobs: int | None = None
    """As `logprobs`, for each token of the prompt after the first."""
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
    adapter: str | None = None
    """The loaded LoRA adapter to run with. Requests of several adapters, and of none, share their
    steps."""
    json_schema: Mapping[str, Any] | bool | str | None = None
    """The output is JSON, valid under this schema (given as an object or as JSON text). Its
    properties come in the schema's order, white space is one space after a comma or colon at most.
    A schema with a keyword that cannot be enforced is refused by name. Of this and the four fields
    below, one may be given. Cut off by `max_tokens` or a stop string, an output is incomplete."""
    json_object: bool = False
    """The output is a JSON object."""
    regex: str | None = None
    """The whole output matches this regular expression, in the syntax of Rust's regex crate; but
    \\d and \\w mean ASCII."""
    choice: Sequence[str] | None = None
    """The output is one of these texts."""
    grammar: str | None = None
    """The output follows this grammar, in llguidance's dialect of Lark's EBNF."""

    def __post_init__(self) -> None:
        for name, (low, high) in _INT_RANGES.items():
            self._set(name, checked_int(name, getattr(self, name), low, high))
        for name, (low, high) in _OPTIONAL_INT_RANGES.items():
            if getattr(self, name) is not None:
                self._set(name, checked_int(name, getattr(self, name), low, high))
        for name, (floor, ceiling) in _FLOAT_RANGES.items():
            self._set(name, checked_float(name, getattr(self, name), floor, ceiling))
        for name in _BOOLS:
            if not isinstance(getattr(self, name), bool):
                raise wrong(name, getattr(self, name), "True or False")
        if self.adapter is not None and not isinstance(self.adapter, str):
            raise wrong("adapter", self.adapter, "the name of a loaded adapter, or None")
        if not isinstance(self.cache_salt, str):
            raise wrong("cache_salt", self.cache_salt, "text")
        self._set("logit_bias", checked_bias(self.logit_bias))
        self._set("stop", checked_stop(self.stop))
        for name in ("stop_token_ids", "allowed_token_ids", "forced_tokens"):
            self._set(name, checked_tokens(name, getattr(self, name)))
        self._set("bad_words", checked_words("bad_words", self.bad_words))
        breakers = checked_strings(
            "dry_sequence_breakers", self.dry_sequence_breakers, MAX_STOPS, MAX_WORD_BYTES
        )
        self._set("dry_sequence_breakers", breakers)
        self._check_counts()
        self.grammar_source()  # raises where it is malformed

    def _check_counts(self) -> None:
        if self.min_tokens > self.max_tokens:
            raise wrong("min_tokens", self.min_tokens, f"at most max_tokens, {self.max_tokens}")
        if self.best_of is not None and self.best_of < self.n:
            raise wrong("best_of", self.best_of, f"at least n, {self.n}")

    def grammar_source(self) -> GrammarSource | None:
        """The grammar of the output, as llguidance takes it; None where there is none."""
        return grammar_source(self)

    @property
    def num_samples(self) -> int:
        """How many samples are drawn."""
        return self.n if self.best_of is None else self.best_of

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
    prompt_logprobs: tuple[TokenLogprobs, ...] | None = None
    """One per token of the prompt after the first; None unless asked for."""
    alternatives: tuple[GenerationResult, ...] = ()
    """The other samples, where `n` is more than 1."""

    @property
    def samples(self) -> tuple[GenerationResult, ...]:
        """This result and its alternatives."""
        return (self, *self.alternatives)


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
