"""The options of `pyslm serve`, in the groups of its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

__all__ = [
    "AllowHost",
    "ApiKey",
    "Batch",
    "CorsOrigin",
    "Ctx",
    "Host",
    "Insecure",
    "KeepAlive",
    "KvType",
    "LoadOnDemand",
    "LogJson",
    "LogLevel",
    "Lora",
    "MaxBody",
    "MaxLoaded",
    "MaxQueued",
    "MemoryBudget",
    "Models",
    "Name",
    "Otel",
    "Parallel",
    "Port",
    "RateLimit",
    "RequireKey",
    "ResponsesCount",
    "ResponsesDays",
    "ResponsesDb",
    "StateFile",
    "Store",
    "Threads",
    "TlsCert",
    "TlsKey",
    "TokenLimit",
    "VllmMetrics",
    "WeightCache",
]

_MODELS = "Models"
_ADDRESS = "Address"
_ACCESS = "Who may ask"
_LOADING = "How models are loaded"
_LIMITS = "How much may be asked"
_KEPT = "What /v1/responses keeps"
_LOGS = "Logs and numbers"


def _option(*names: str, panel: str, **settings: Any) -> Any:
    return typer.Option(*names, rich_help_panel=panel, **settings)


Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[MODEL]...",
        help="Names or GGUF files. The first answers requests that name none; all stay "
        "loaded. Without any, every model of `pyslm list` can be asked for, and nano, which comes "
        "with pyslm, answers requests that name none.",
        show_default=False,
    ),
]
Name = Annotated[
    list[str] | None,
    _option("--name", panel=_MODELS, help="What clients call the first model."),
]
Lora = Annotated[
    list[str] | None,
    _option(
        "--lora",
        "--lora-modules",
        panel=_MODELS,
        metavar="NAME=PATH",
        help="A LoRA adapter (GGUF) of the first model, which clients ask for by NAME.",
    ),
]
Store = Annotated[
    bool | None,
    _option(
        "--store/--no-store",
        panel=_MODELS,
        help="Serve the models of `pyslm list` besides those named. Default: if none is.",
        show_default=False,
    ),
]
MaxLoaded = Annotated[
    int,
    _option("--max-loaded-models", panel=_MODELS, min=1, help="Loaded at the same time."),
]
KeepAlive = Annotated[
    str,
    _option(
        "--keep-alive",
        panel=_MODELS,
        help="How long an idle model stays: 5m, 1h, 30; -1: for ever.",
    ),
]
MemoryBudget = Annotated[
    str | None,
    _option(
        "--memory-budget",
        panel=_MODELS,
        help="What all models may take: 8G, 500M. Default: 80 % of what is free.",
    ),
]
LoadOnDemand = Annotated[
    bool,
    _option(
        "--load-on-demand/--no-load-on-demand",
        panel=_MODELS,
        help="Load a model when a request names it.",
    ),
]
Host = Annotated[str, _option("--host", panel=_ADDRESS, help="Address to listen on.")]
Port = Annotated[
    int, _option("--port", "-p", panel=_ADDRESS, min=0, max=65535, help="0: any free one.")
]
TlsCert = Annotated[Path | None, _option("--tls-cert", panel=_ADDRESS, help="Certificate (PEM).")]
TlsKey = Annotated[Path | None, _option("--tls-key", panel=_ADDRESS, help="Its key.")]
ApiKey = Annotated[
    list[str] | None,
    _option(
        "--api-key",
        panel=_ACCESS,
        envvar="PYSLM_API_KEY",
        show_envvar=True,
        help="Ask for this key. Better: `pyslm keys create`, whose keys are kept hashed.",
    ),
]
RequireKey = Annotated[
    bool,
    _option("--require-key", panel=_ACCESS, help="Ask for a key of `pyslm keys`."),
]
AllowHost = Annotated[
    list[str] | None,
    _option("--allow-host", panel=_ACCESS, help="A name by which clients reach this server."),
]
CorsOrigin = Annotated[
    list[str] | None,
    _option("--cors-origin", panel=_ACCESS, help="Pages that may ask; this machine's may."),
]
Insecure = Annotated[
    bool,
    _option("--insecure", panel=_ACCESS, help="Listen beyond this machine without a key or TLS."),
]
Ctx = Annotated[
    int | None,
    _option(
        "--ctx",
        "--max-model-len",
        panel=_LOADING,
        min=1,
        help="Context in tokens. Default: the model's, at most 4096.",
    ),
]
Parallel = Annotated[
    int,
    _option(
        "--parallel",
        "--max-num-seqs",
        panel=_LOADING,
        min=1,
        help="Requests computed together.",
    ),
]
Batch = Annotated[
    int,
    _option("--batch", panel=_LOADING, min=1, help="Prompt tokens that one step may compute."),
]
Threads = Annotated[
    int | None,
    _option("--threads", "-t", panel=_LOADING, min=1, help="Default: the physical cores."),
]
KvType = Annotated[
    str,
    _option("--kv-type", panel=_LOADING, help="How keys and values are kept: f16, bf16, q8_0."),
]
WeightCache = Annotated[
    bool,
    _option(
        "--weight-cache/--no-weight-cache",
        panel=_LOADING,
        help="Keep packed weights on disk, so that the next start is faster.",
    ),
]
MaxQueued = Annotated[
    int,
    _option("--max-queued", panel=_LIMITS, min=0, help="Requests that may wait; more get a 429."),
]
RateLimit = Annotated[
    list[str] | None,
    _option("--rate-limit", panel=_LIMITS, help="Requests of each key or address: 60/minute."),
]
TokenLimit = Annotated[
    list[str] | None,
    _option("--token-limit", panel=_LIMITS, help="Tokens of each key or address: 100000/hour."),
]
MaxBody = Annotated[str, _option("--max-body", panel=_LIMITS, help="Largest request body.")]
ResponsesDb = Annotated[
    str | None,
    _option(
        "--responses-db",
        panel=_KEPT,
        metavar="PATH",
        help="File of the conversations of /v1/responses; :memory: keeps none on disk. "
        "Default: in your data folder.",
    ),
]
ResponsesDays = Annotated[
    float,
    _option("--responses-days", panel=_KEPT, min=0, help="Days after its last use."),
]
ResponsesCount = Annotated[
    int, _option("--responses-count", panel=_KEPT, min=1, help="Responses kept at most.")
]
LogLevel = Annotated[
    str, _option("--log-level", panel=_LOGS, help="debug, info, warning or error.")
]
LogJson = Annotated[bool, _option("--log-json", panel=_LOGS, help="One JSON object a line.")]
Otel = Annotated[
    str | None,
    _option(
        "--otel",
        panel=_LOGS,
        metavar="URL",
        help="Send a span of each request to this OpenTelemetry collector, such as "
        "http://localhost:4318. Default: OTEL_EXPORTER_OTLP_ENDPOINT, if it is set.",
        show_default=False,
    ),
]
VllmMetrics = Annotated[
    bool, _option("--vllm-metrics", panel=_LOGS, help="/metrics has vLLM's names as well.")
]
StateFile = Annotated[Path | None, typer.Option("--state-file", hidden=True)]
