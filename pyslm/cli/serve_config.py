"""What `pyslm serve` was asked, as the configuration of a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyslm.errors import InvalidRequestError
from pyslm.hub.embedded import default_model
from pyslm.serve.config import ServeConfig
from pyslm.serve.durations import keep_alive_seconds
from pyslm.serve.keys import default_keys_path
from pyslm.serve.openai.responses.store import default_responses_path

__all__ = ["parse_bytes", "serve_config"]


def serve_config(given: Mapping[str, Any]) -> ServeConfig:
    """Of the options of `pyslm serve`, under the names of its parameters.

    Raises:
        InvalidRequestError: an option that is not allowed.
    """
    models = _models(given)
    seconds, budget = keep_alive_seconds(given["keep_alive"]), given["memory_budget"]
    return ServeConfig(
        models=models,
        served_names=tuple(given["name"] or ()),
        adapters=_adapters(given["lora"] or ()),
        store=not given["models"] if given["store"] is None else given["store"],
        max_loaded_models=max(given["max_loaded"], len(models)),
        keep_alive=300.0 if seconds is None else seconds,
        memory_budget=None if budget is None else parse_bytes(budget),
        load_on_demand=given["load_on_demand"],
        host=given["host"],
        port=given["port"],
        tls_cert=given["tls_cert"],
        tls_key=given["tls_key"],
        api_keys=tuple(given["api_key"] or ()),
        keys_file=default_keys_path() if given["require_key"] else None,
        require_key=given["require_key"],
        allowed_hosts=tuple(given["allow_host"] or ()),
        cors_origins=tuple(given["cors_origin"] or ()),
        allow_insecure=given["insecure"],
        context_length=given["ctx"],
        max_sequences=given["parallel"],
        batch_size=given["batch"],
        threads=given["threads"],
        kv_type=given["kv_type"],
        weight_cache=None if given["weight_cache"] else False,
        max_queued=given["max_queued"],
        rate_limits=tuple(given["rate_limit"] or ()),
        token_limits=tuple(given["token_limit"] or ()),
        max_body_bytes=parse_bytes(given["max_body"]),
        responses_db=_responses_path(given["responses_db"]),
        responses_days=given["responses_days"],
        responses_count=given["responses_count"],
        log_level=given["log_level"],
        log_json=given["log_json"],
        otel_endpoint=given["otel"],
        vllm_metrics=given["vllm_metrics"],
    )


def _models(given: Mapping[str, Any]) -> tuple[str, ...]:
    """Those to serve from the start: the package's own where options speak of a first model, or of
    no others, and none is named."""
    default = default_model()
    if given["models"] or default is None:
        return tuple(given["models"] or ())
    return (default,) if given["name"] or given["lora"] or given["store"] is False else ()


def _responses_path(given: str | None) -> Path | None:
    if given is None:
        return default_responses_path()
    return None if given == ":memory:" else Path(given).expanduser()


def _adapters(pairs: Sequence[str]) -> dict[str, str]:
    """Names and paths of NAME=PATH; an InvalidRequestError for anything else."""
    found: dict[str, str] = {}
    for pair in pairs:
        name, _, path = pair.partition("=")
        if not name or not path:
            raise InvalidRequestError(f"--lora {pair!r}: allowed: NAME=PATH")
        if name in found:
            raise InvalidRequestError(f"--lora names {name!r} twice; give each a name of its own")
        found[name] = path
    return found


def parse_bytes(text: str) -> int:
    """A size such as 500M or 8G, in bytes; an InvalidRequestError for anything else."""
    number, unit = text.strip().upper().removesuffix("IB").removesuffix("B"), 1
    for power, letter in enumerate("KMGT", 1):
        if number.endswith(letter):
            number, unit = number[:-1], 1024**power
    try:
        size = int(float(number) * unit)
    except (ValueError, OverflowError):
        size = 0
    if size < 1:
        raise InvalidRequestError(f"{text!r} is not a size; allowed: such as 500M or 8G")
    return size
