"""The fields by which all routes that write text are told how."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from pyslm.errors import InvalidRequestError
from pyslm.request import SamplingParams
from pyslm.serve.protocol import ServeError
from pyslm.serve.protocol.number import Integer, Integers, Number, Off
from pyslm.serve.protocol.request import UNBOUNDED

__all__ = ["SamplingFields", "StreamOptions", "Strict"]

_Text = Annotated[str, Field(max_length=65536)]
_Schema = dict[str, Any] | StrictBool | str | None


class Strict(BaseModel):
    """A part of a request in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class StreamOptions(Strict):
    """How a stream is written."""

    include_usage: StrictBool | None = None
    include_obfuscation: StrictBool | None = None
    continuous_usage_stats: Off | None = None


class StructuredOutputs(Strict):
    """vLLM's way to say what the answer must look like; one of them."""

    json_: Annotated[_Schema, Field(alias="json")] = None
    regex: str | None = None
    choice: list[str] | None = None
    grammar: str | None = None
    json_object: StrictBool | None = None


class SamplingFields(BaseModel):
    """OpenAI's fields, then those of vLLM and llama.cpp; see `pyslm.SamplingParams`."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)

    model: str = ""
    stream: StrictBool | None = None
    stream_options: StreamOptions | None = None

    temperature: Number | None = Field(None, ge=0, le=2)
    top_p: Number | None = Field(None, ge=0, le=1)
    max_tokens: Integer | None = Field(None, ge=-1, le=UNBOUNDED)
    n: Integer | None = Field(None, ge=1, le=128)
    seed: Integer | None = Field(None, ge=-(2**63), le=2**64 - 1)
    stop: _Text | list[_Text] | None = None
    presence_penalty: Number | None = Field(None, ge=-2, le=2)
    frequency_penalty: Number | None = Field(None, ge=-2, le=2)
    logit_bias: dict[str, Number] | None = None

    top_k: Integer | None = Field(None, ge=-1, le=UNBOUNDED)
    min_p: Number | None = Field(None, ge=0, le=1)
    typical_p: Number | None = Field(None, ge=0, le=1)
    top_n_sigma: Number | None = None
    repetition_penalty: Number | None = None
    repeat_penalty: Number | None = None
    repeat_last_n: Integer | None = None
    xtc_probability: Number | None = None
    xtc_threshold: Number | None = None
    dry_multiplier: Number | None = None
    dry_base: Number | None = None
    dry_allowed_length: Integer | None = None
    dry_penalty_last_n: Integer | None = None
    dry_sequence_breakers: list[str] | None = None
    min_tokens: Integer | None = Field(None, ge=0, le=UNBOUNDED)
    n_predict: Integer | None = Field(None, ge=-1, le=UNBOUNDED)
    stop_token_ids: Integers | None = None
    include_stop_str_in_output: StrictBool | None = None
    ignore_eos: StrictBool | None = None
    skip_special_tokens: StrictBool | None = None
    allowed_token_ids: Integers | None = None
    bad_words: list[str] | None = None
    prompt_logprobs: Integer | None = Field(None, ge=0, le=20)
    random_seed: Integer | None = None
    priority: Integer | None = None
    request_id: str | None = Field(None, max_length=128)
    cache_salt: str | None = Field(None, max_length=256)
    return_token_ids: StrictBool | None = None
    return_tokens_as_token_ids: StrictBool | None = None

    structured_outputs: StructuredOutputs | None = None
    guided_json: _Schema = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    grammar: str | None = None
    json_schema: _Schema = None

    keep_alive: Number | str | None = None
    num_ctx: Integer | None = Field(None, ge=1, le=UNBOUNDED)

    def common_params(self) -> dict[str, Any]:
        """Arguments of `SamplingParams`: what the request says, under its names."""
        found = {name: value for name in _SAME_NAMES if (value := getattr(self, name)) is not None}
        renamed = {
            "n": self.n,
            "stop": self.stop,
            "include_stop_text": self.include_stop_str_in_output,
            "repetition_penalty": _first(self.repetition_penalty, self.repeat_penalty),
            "penalty_last_n": self.repeat_last_n,
            "seed": _seed(_first(self.seed, self.random_seed)),
            "top_k": None if self.top_k is None else max(self.top_k, 0),
            "logit_bias": _bias(self.logit_bias),
        }
        found |= {name: value for name, value in renamed.items() if value is not None}
        return found | self._grammar()

    def _grammar(self) -> dict[str, Any]:
        outputs = self.structured_outputs or StructuredOutputs()
        given = {
            "json_schema": _first(outputs.json_, self.guided_json, self.json_schema),
            "regex": _first(outputs.regex, self.guided_regex),
            "choice": _first(outputs.choice, self.guided_choice),
            "grammar": _lark(_first(outputs.grammar, self.guided_grammar, self.grammar)),
            "json_object": outputs.json_object or None,
        }
        return {name: value for name, value in given.items() if value is not None}


_SAME_NAMES = (
    "temperature", "top_p", "presence_penalty", "frequency_penalty", "min_p", "typical_p",
    "top_n_sigma", "xtc_probability", "xtc_threshold", "dry_multiplier", "dry_base",
    "dry_allowed_length", "dry_penalty_last_n", "dry_sequence_breakers", "min_tokens",
    "stop_token_ids", "ignore_eos", "allowed_token_ids", "bad_words", "prompt_logprobs",
    "priority", "cache_salt",
)  # fmt: skip


def sampling_params(arguments: dict[str, Any]) -> SamplingParams:
    """Checked; the error names the field."""
    try:
        return SamplingParams(**arguments)
    except InvalidRequestError as error:
        field = str(error).split(" ", 1)[0]
        raise ServeError(
            "invalid_request", str(error), param=field if field in arguments else None
        ) from None


def max_tokens(*candidates: int | None) -> int:
    """The first that is given; -1, or none: what the context has room for."""
    chosen = _first(*candidates)
    return UNBOUNDED if chosen is None or chosen < 0 else int(chosen)


def _first(*candidates: Any) -> Any:
    return next((value for value in candidates if value is not None), None)


def _seed(seed: int | None) -> int | None:
    """llama.cpp's -1 is a random one; other negative ones are taken as 64 bits."""
    return None if seed is None or seed == -1 else seed % 2**64


def _bias(bias: dict[str, float] | None) -> dict[int, float] | None:
    if bias is None:
        return None
    try:
        return {int(token): amount for token, amount in bias.items()}
    except ValueError:
        raise ServeError(
            "invalid_request", "logit_bias: its keys are token ids", param="logit_bias"
        ) from None


def _lark(grammar: str | None) -> str | None:
    """llama.cpp's GBNF becomes Lark's EBNF, which stays as it is."""
    if grammar is None or not grammar.strip():
        return None
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        return any_to_lark(grammar)
    except Exception as error:  # GbnfToLarkError, or whatever a stranger's grammar brings about
        raise ServeError(
            "invalid_request", f"grammar: neither Lark nor GBNF: {error}", param="grammar"
        ) from None
