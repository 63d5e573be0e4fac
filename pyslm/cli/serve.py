"""`pyslm serve`."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from pyslm import service
from pyslm.errors import InvalidRequestError

__all__ = ["check_extra", "parse_adapters", "parse_bytes", "serve"]

_NEEDED = ("fastapi", "uvicorn", "httptools", "pydantic", "prometheus_client", "limits", "msgspec")

_MODELS = "Models"
_ADDRESS = "Address"
_ACCESS = "Who may ask"
_LOADING = "How models are loaded"
_LIMITS = "How much may be asked"
_KEPT = "What /v1/responses keeps"
_LOGS = "Logs and numbers"


def _option(*names: str, panel: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


def serve(
    models: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[MODEL]...",
            help="Names or GGUF files. The first answers requests that name none; all stay "
            "loaded. Without any, every model of `pyslm list` can be asked for.",
            show_default=False,
        ),
    ] = None,
    name: Annotated[
        list[str] | None,
        _option("--name", panel=_MODELS, help="What clients call the first model."),
    ] = None,
    lora: Annotated[
        list[str] | None,
        _option(
            "--lora",
            "--lora-modules",
            panel=_MODELS,
            metavar="NAME=PATH",
            help="A LoRA adapter (GGUF) of the first model, which clients ask for by NAME.",
        ),
    ] = None,
    store: Annotated[
        bool | None,
        _option(
            "--store/--no-store",
            panel=_MODELS,
            help="Serve the models of `pyslm list` besides those named. Default: if none is.",
            show_default=False,
        ),
    ] = None,
    max_loaded: Annotated[
        int,
        _option("--max-loaded-models", panel=_MODELS, min=1, help="Loaded at the same time."),
    ] = 3,
    keep_alive: Annotated[
        str,
        _option(
            "--keep-alive",
            panel=_MODELS,
            help="How long an idle model stays: 5m, 1h, 30; -1: for ever.",
        ),
    ] = "5m",
    memory_budget: Annotated[
        str | None,
        _option(
            "--memory-budget",
            panel=_MODELS,
            help="What all models may take: 8G, 500M. Default: 80 % of what is free.",
        ),
    ] = None,
    load_on_demand: Annotated[
        bool,
        _option(
            "--load-on-demand/--no-load-on-demand",
            panel=_MODELS,
            help="Load a model when a request names it.",
        ),
    ] = True,
    host: Annotated[
        str, _option("--host", panel=_ADDRESS, help="Address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, _option("--port", "-p", panel=_ADDRESS, min=0, max=65535, help="0: any free one.")
    ] = 8000,
    tls_cert: Annotated[
        Path | None, _option("--tls-cert", panel=_ADDRESS, help="Certificate (PEM).")
    ] = None,
    tls_key: Annotated[Path | None, _option("--tls-key", panel=_ADDRESS, help="Its key.")] = None,
    api_key: Annotated[
        list[str] | None,
        _option(
            "--api-key",
            panel=_ACCESS,
            envvar="PYSLM_API_KEY",
            show_envvar=True,
            help="Ask for this key. Better: `pyslm keys create`, whose keys are kept hashed.",
        ),
    ] = None,
    require_key: Annotated[
        bool,
        _option("--require-key", panel=_ACCESS, help="Ask for a key of `pyslm keys`."),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        _option("--allow-host", panel=_ACCESS, help="A name by which clients reach this server."),
    ] = None,
    cors_origin: Annotated[
        list[str] | None,
        _option("--cors-origin", panel=_ACCESS, help="Pages that may ask; this machine's may."),
    ] = None,
    insecure: Annotated[
        bool,
        _option(
            "--insecure", panel=_ACCESS, help="Listen beyond this machine without a key or TLS."
        ),
    ] = False,
    ctx: Annotated[
        int | None,
        _option(
            "--ctx",
            "--max-model-len",
            panel=_LOADING,
            min=1,
            help="Context in tokens. Default: the model's, at most 4096.",
        ),
    ] = None,
    parallel: Annotated[
        int,
        _option(
            "--parallel",
            "--max-num-seqs",
            panel=_LOADING,
            min=1,
            help="Requests computed together.",
        ),
    ] = 16,
    batch: Annotated[
        int,
        _option("--batch", panel=_LOADING, min=1, help="Prompt tokens that one step may compute."),
    ] = 512,
    threads: Annotated[
        int | None,
        _option("--threads", "-t", panel=_LOADING, min=1, help="Default: the physical cores."),
    ] = None,
    kv_type: Annotated[
        str,
        _option("--kv-type", panel=_LOADING, help="How keys and values are kept: f16, bf16, q8_0."),
    ] = "f16",
    weight_cache: Annotated[
        bool,
        _option(
            "--weight-cache/--no-weight-cache",
            panel=_LOADING,
            help="Keep packed weights on disk, so that the next start is faster.",
        ),
    ] = True,
    max_queued: Annotated[
        int,
        _option(
            "--max-queued", panel=_LIMITS, min=0, help="Requests that may wait; more get a 429."
        ),
    ] = 256,
    rate_limit: Annotated[
        list[str] | None,
        _option("--rate-limit", panel=_LIMITS, help="Requests of each key or address: 60/minute."),
    ] = None,
    token_limit: Annotated[
        list[str] | None,
        _option("--token-limit", panel=_LIMITS, help="Tokens of each key or address: 100000/hour."),
    ] = None,
    max_body: Annotated[
        str, _option("--max-body", panel=_LIMITS, help="Largest request body.")
    ] = "16M",
    responses_db: Annotated[
        str | None,
        _option(
            "--responses-db",
            panel=_KEPT,
            metavar="PATH",
            help="File of the conversations of /v1/responses; :memory: keeps none on disk. "
            "Default: in your data folder.",
        ),
    ] = None,
    responses_days: Annotated[
        float,
        _option("--responses-days", panel=_KEPT, min=0, help="Days after its last use."),
    ] = 30.0,
    responses_count: Annotated[
        int, _option("--responses-count", panel=_KEPT, min=1, help="Responses kept at most.")
    ] = 10_000,
    log_level: Annotated[
        str, _option("--log-level", panel=_LOGS, help="debug, info, warning or error.")
    ] = "info",
    log_json: Annotated[
        bool, _option("--log-json", panel=_LOGS, help="One JSON object a line.")
    ] = False,
    otel: Annotated[
        str | None,
        _option(
            "--otel",
            panel=_LOGS,
            metavar="URL",
            help="Send a span of each request to this OpenTelemetry collector, such as "
            "http://localhost:4318. Default: OTEL_EXPORTER_OTLP_ENDPOINT, if it is set.",
            show_default=False,
        ),
    ] = None,
    vllm_metrics: Annotated[
        bool, _option("--vllm-metrics", panel=_LOGS, help="/metrics has vLLM's names as well.")
    ] = False,
    state_file: Annotated[Path | None, typer.Option("--state-file", hidden=True)] = None,
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
    check_extra()
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


def check_extra() -> None:
    """An InvalidRequestError where the packages of the extra `serve` are missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InvalidRequestError(
            f"pyslm serve needs {missing[0]}, which is not installed; "
            "run: pip install 'pyslm[serve]'"
        )


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
