"""`pyslm serve`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pyslm import service
from pyslm.cli import serve_options as options
from pyslm.errors import InvalidRequestError
from pyslm.extras import check_extra

__all__ = ["parse_adapters", "parse_bytes", "serve"]


def serve(
    models: options.Models = None,
    name: options.Name = None,
    lora: options.Lora = None,
    store: options.Store = None,
    max_loaded: options.MaxLoaded = 3,
    keep_alive: options.KeepAlive = "5m",
    memory_budget: options.MemoryBudget = None,
    load_on_demand: options.LoadOnDemand = True,
    host: options.Host = "127.0.0.1",
    port: options.Port = 8000,
    tls_cert: options.TlsCert = None,
    tls_key: options.TlsKey = None,
    api_key: options.ApiKey = None,
    require_key: options.RequireKey = False,
    allow_host: options.AllowHost = None,
    cors_origin: options.CorsOrigin = None,
    insecure: options.Insecure = False,
    ctx: options.Ctx = None,
    parallel: options.Parallel = 16,
    batch: options.Batch = 512,
    threads: options.Threads = None,
    kv_type: options.KvType = "f16",
    weight_cache: options.WeightCache = True,
    max_queued: options.MaxQueued = 256,
    rate_limit: options.RateLimit = None,
    token_limit: options.TokenLimit = None,
    max_body: options.MaxBody = "16M",
    responses_db: options.ResponsesDb = None,
    responses_days: options.ResponsesDays = 30.0,
    responses_count: options.ResponsesCount = 10_000,
    log_level: options.LogLevel = "info",
    log_json: options.LogJson = False,
    otel: options.Otel = None,
    vllm_metrics: options.VllmMetrics = False,
    state_file: options.StateFile = None,
) -> None:
    """Serve models to the clients you have: OpenAI's, Ollama's, and those that speak their APIs.

    Listens on this machine alone, unless told otherwise. Ctrl-C lets running requests end.

    [dim]Examples:[/dim]

      pyslm serve model.gguf

      pyslm serve model.gguf --name tiny --ctx 8192 --port 8080

      pyslm serve model.gguf --port 11434 --lora legal=legal.gguf   [dim](Ollama's port)[/dim]

      pyslm keys create ann   [dim](then, for other machines:)[/dim]

      pyslm serve model.gguf --host 0.0.0.0 --require-key --tls-cert cert.pem --tls-key key.pem

      curl localhost:8000/v1/chat/completions -d '{"messages":[{"role":"user","content":"Hi"}]}'
    """
    check_extra("serve", "pyslm serve")
    from pyslm.serve.config import ServeConfig
    from pyslm.serve.durations import keep_alive_seconds
    from pyslm.serve.keys import default_keys_path
    from pyslm.serve.server import serve as run_server

    keys_file = default_keys_path() if require_key else None
    seconds = keep_alive_seconds(keep_alive)
    config = ServeConfig(
        models=tuple(models or ()),
        served_names=tuple(name or ()),
        adapters=parse_adapters(lora or ()),
        store=not models if store is None else store,
        max_loaded_models=max(max_loaded, len(models or ())),
        keep_alive=300.0 if seconds is None else seconds,
        memory_budget=None if memory_budget is None else parse_bytes(memory_budget),
        load_on_demand=load_on_demand,
        host=host,
        port=port,
        tls_cert=tls_cert,
        tls_key=tls_key,
        api_keys=tuple(api_key or ()),
        keys_file=keys_file,
        require_key=require_key,
        allowed_hosts=tuple(allow_host or ()),
        cors_origins=tuple(cors_origin or ()),
        allow_insecure=insecure,
        context_length=ctx,
        max_sequences=parallel,
        batch_size=batch,
        threads=threads,
        kv_type=kv_type,
        weight_cache=None if weight_cache else False,
        max_queued=max_queued,
        rate_limits=tuple(rate_limit or ()),
        token_limits=tuple(token_limit or ()),
        max_body_bytes=parse_bytes(max_body),
        responses_db=_responses_path(responses_db),
        responses_days=responses_days,
        responses_count=responses_count,
        log_level=log_level,
        log_json=log_json,
        otel_endpoint=otel,
        vllm_metrics=vllm_metrics,
    )
    with _announced(state_file) as announce:
        run_server(config, announce)


def _responses_path(given: str | None) -> Path | None:
    from pyslm.serve.openai.responses.store import default_responses_path

    if given is None:
        return default_responses_path()
    return None if given == ":memory:" else Path(given).expanduser()


@contextlib.contextmanager
def _announced(state_file: Path | None) -> Iterator[Callable[[str], None]]:
    """Says where the server is, and to programs that look for a service as long as it runs."""

    def announce(url: str) -> None:
        print(f"pyslm serves at {url}  (OpenAI clients: base_url={url}/v1)", flush=True)
        if state_file is not None:
            service.announce(state_file, url, sys.argv[2 : sys.argv.index("--state-file")])

    try:
        yield announce
    finally:
        if state_file is not None:
            service.withdraw(state_file)


def parse_adapters(pairs: Sequence[str]) -> dict[str, str]:
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
