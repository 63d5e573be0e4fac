"""Fields that clients send and we do not take: which are refused, and which passed over.

A field we know and cannot honour is refused by name, unless its value asks for nothing; one that
nearly spells a field we know is refused too, with the right spelling. Hints, which change nothing
about the answer, are taken silently. What nobody knows is passed over, and named in the response
header `x-pyslm-ignored-fields` and in the log.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Mapping
from typing import Any, TypeAlias

from pydantic import BaseModel

from pyslm.serve.protocol import ServeError

__all__ = ["IGNORED_HEADER", "Refused", "check_extra", "log_passed_over"]

_log = logging.getLogger(__name__)
IGNORED_HEADER = "x-pyslm-ignored-fields"
_CLOSE = 0.85
_MAX_NAMED = 16

Refused: TypeAlias = Mapping[str, tuple[tuple[Any, ...], str]]
"""Name -> (values that ask for nothing, what to do instead)."""

_REFUSED: Refused = {
    "audio": ((), "this server writes text only"),
    "moderation": ((), "there is no moderation here"),
    "web_search_options": ((), "there is no web search here; offer it as a tool"),
    "store": ((False,), "stored answers are what /v1/responses is for"),
    "verbosity": (("medium",), "say it in the prompt"),
    "use_beam_search": ((False,), "there is no beam search; best_of of /v1/completions draws more"),
    "length_penalty": ((1, 1.0), "it belongs to beam search"),
    "early_stopping": ((False,), "it belongs to beam search"),
    "truncate_prompt_tokens": ((-1,), "nothing is cut in silence; shorten the prompt"),
    "logprob_token_ids": ((), "use top_logprobs"),
    "repetition_detection": ((), "use the dry_* fields or max_tokens"),
    "thinking_token_budget": ((-1,), "use reasoning_effort or max_tokens"),
    "watermarking": ((False,), "there is none"),
    "documents": (([],), "put them into the messages"),
    "chat_template": (("",), "a request may not bring a template; the model's own is used"),
    "mm_processor_kwargs": (({},), "this server reads text only"),
    "media_io_kwargs": (({},), "this server reads text only"),
    "vllm_xargs": (({},), "they are vLLM's own"),
    "kv_transfer_params": (({},), "they are vLLM's own"),
    "prompt_embeds": ((), "give the prompt as text or token ids"),
    "mirostat": ((0,), "use top_p or min_p"),
    "mirostat_mode": ((0,), "use top_p or min_p"),
    "dynatemp_range": ((0, 0.0), "use temperature"),
    "tfs_z": ((1, 1.0), "use min_p"),
    "samplers": ((), "the order of the samplers is fixed"),
    "id_slot": ((-1,), "there are no slots to choose"),
    "n_keep": ((0, -1), "nothing is cut in silence; shorten the prompt"),
    "lora": (([],), "name the adapter as the model"),
    "t_max_predict_ms": ((0,), "use max_tokens"),
}

# They change when or how, not what: scheduling, caching, book-keeping.
_HINTS = frozenset(
    ("user", "metadata", "safety_identifier", "service_tier", "prediction", "modalities",
     "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "cache_prompt",
     "session_id", "stream_interval", "spaces_between_special_tokens", "guided_decoding_backend",
     "add_special_tokens", "ep", "ttl", "return_progress", "timings_per_token", "verbose",
     "n_probs", "min_keep", "parse_tool_calls", "truncation_side", "num_gpu", "truncate")
)  # fmt: skip


def check_extra(
    request: BaseModel, refused: Refused = _REFUSED, hints: frozenset[str] = _HINTS
) -> list[str]:
    """Looks at the fields that the model of a request does not have.

    Args:
        refused: each with the values that ask for nothing, and what to do instead.
        hints: taken silently.

    Returns the names of those passed over, for the response header.

    Raises:
        ServeError: one of them is refused.
    """
    extra = request.model_extra
    if not extra:
        return []
    ignored = []
    for name, value in extra.items():
        if name in refused:
            _refuse(name, value, *refused[name])
        elif name not in hints:
            _check_spelling(name, [*type(request).model_fields, *refused, *hints])
            ignored.append(name[:64])
    return log_passed_over(ignored[:_MAX_NAMED])


def log_passed_over(names: list[str]) -> list[str]:
    """Tells the log which fields have no effect; gives their names."""
    if names:
        _log.info("fields passed over: %s", ", ".join(names))
    return names


def _refuse(name: str, value: Any, harmless: tuple[Any, ...], instead: str) -> None:
    if value is None or value in harmless:
        return
    raise ServeError("unsupported_field", f"{name} is not supported: {instead}", param=name)


def _check_spelling(name: str, known: list[str]) -> None:
    close = difflib.get_close_matches(name[:64], known, 1, _CLOSE)
    if close:
        raise ServeError(
            "invalid_request", f"there is no field {name!r}; did you mean {close[0]!r}?", param=name
        )
