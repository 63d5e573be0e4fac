"""What the person who starts a server decides."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["ServeConfig"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ServeConfig:
    """The settings of one server; `pyslm serve --help` says the same in its words."""

    models: tuple[str, ...] = ()
    """Names or paths to serve; the first answers requests that name none."""
    served_names: tuple[str, ...] = ()
    """Further names of the first model."""
    aliases: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    """Of any of `models`, as it is given there: what clients call it in place of its file's name.
    """
    adapters: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """LoRA adapters of the first model: what clients call them -> path of a GGUF file."""

    store: bool = False
    """Serve, by name, every model that is on this machine (`pyslm list`) as well."""

    host: str = "127.0.0.1"
    port: int = 8000
    tls_cert: Path | None = None
    tls_key: Path | None = None

    # Each worker.
    context_length: int | None = None
    kv_type: str = "f16"
    threads: int | None = None
    max_sequences: int = 16
    batch_size: int = 512
    max_queued: int = 256
    """Requests of a model that may wait beyond `max_sequences`."""
    weight_cache: bool | None = None

    # The registry.
    max_loaded_models: int = 3
    memory_budget: int | None = None
    """Bytes that all workers may take; None: 80 % of what is available at the start."""
    keep_alive: float = 300.0
    """Seconds that an idle model stays; negative: for ever. Those named at the start are pinned."""
    load_on_demand: bool = True
    """Load what a request names; False: only models named at the start, and by /load."""

    # Who may ask.
    api_keys: tuple[str, ...] = ()
    """Keys in the clear, from the command line or the environment."""
    keys_file: Path | None = None
    """Keys of `pyslm keys`."""
    require_key: bool = False
    allow_insecure: bool = False
    """Listen beyond loopback without a key or TLS."""
    allowed_hosts: tuple[str, ...] = ()
    """Host headers to take besides loopback's and the bound address's."""
    cors_origins: tuple[str, ...] = ()

    # How much.
    rate_limits: tuple[str, ...] = ()
    """Requests of each key or, without one, address, as "60/minute"."""
    token_limits: tuple[str, ...] = ()
    """Tokens likewise, prompt and output together."""
    max_body_bytes: int = 16 << 20
    max_connections: int = 4096
    request_timeout: float = 600.0
    drain_seconds: float = 30.0

    # What is kept for /v1/responses.
    responses_db: Path | None = None
    """None: in memory."""
    responses_days: float = 30.0
    """Days after its last use that a response is kept."""
    responses_count: int = 10_000
    """How many are kept, of all keys together."""

    otel_endpoint: str | None = None
    """Where spans go (OTLP over HTTP); None: where the environment says, if it does."""
    vllm_metrics: bool = False
    """Give the metrics under vLLM's names as well."""
    log_level: str = "info"
    log_json: bool = False
