"""`pyslm serve`."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from pyslm import service
from pyslm.cli import serve_options as options
from pyslm.extras import check_extra

__all__ = ["serve"]


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

      pyslm serve

      pyslm serve model.gguf

      pyslm serve model.gguf --name tiny --ctx 8192 --port 8080

      pyslm serve model.gguf --port 11434 --lora legal=legal.gguf   [dim](Ollama's port)[/dim]

      pyslm keys create ann   [dim](then, for other machines:)[/dim]

      pyslm serve model.gguf --host 0.0.0.0 --require-key --tls-cert cert.pem --tls-key key.pem

      curl localhost:8000/v1/chat/completions -d '{"messages":[{"role":"user","content":"Hi"}]}'
    """
    given = dict(locals())
    check_extra("serve", "pyslm serve")
    from pyslm.cli.serve_config import serve_config
    from pyslm.serve.server import serve as run_server

    config = serve_config(given)
    with _announced(state_file) as announce:
        run_server(config, announce, ends_process=True)


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
