"""`FoundryLocalManager`: a model of the service in the background, found, started and loaded."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from pyslm import service
from pyslm.errors import AgentConfigError, ModelNotFoundError, PyslmError, ServiceError
from pyslm.guide.local_key import local_api_key
from pyslm.guide.model_config import ModelConfig
from pyslm.guide.server_client import ServerClient
from pyslm.hub import ModelStore
from pyslm.serve.catalog import variant_id

__all__ = ["FoundryLocalManager", "FoundryModelInfo"]

_log = logging.getLogger(__name__)

IDLE_SECONDS = 600.0
"""How long a model stays that nobody asks."""
_DEVICES = {"CPU": "CPU optimized", "GPU": "GPU accelerated", "NPU": "NPU accelerated"}


@dataclasses.dataclass(frozen=True, slots=True)
class FoundryModelInfo:
    """A model of the service."""

    id: str
    """By which it is asked for."""
    alias: str
    size_bytes: int
    device: str
    quantization: str | None
    file: str
    """Its name; that of the repository where it came from one."""

    @property
    def variant_selected(self) -> str:
        """The file that runs here, and on what."""
        return f"{self.file} ({_DEVICES.get(self.device, self.device)})"

    @property
    def file_size_mb(self) -> int:
        """Of the file."""
        return max(1, round(self.size_bytes / 2**20))


class FoundryLocalManager:
    """Finds the service or starts it, brings the model if it is not here, and loads it.

    ::

        manager = FoundryLocalManager("phi-4-mini")
        client = openai.OpenAI(base_url=manager.endpoint, api_key=manager.api_key)

    Several managers, one per model, share one service.

    Args:
        alias: of a model; None: none is loaded.
        config: how the model is to be run, in place of `alias`.
        bootstrap: False: neither is the service started nor a model loaded.

    Raises:
        AgentConfigError: alias and config are of two models.
        ServiceError: the service cannot be started, or refuses.
        ModelNotFoundError, DownloadError: the model cannot be brought.
    """

    def __init__(
        self,
        alias: str | None = None,
        *,
        config: ModelConfig | None = None,
        bootstrap: bool = True,
    ) -> None:
        if config is not None and alias not in (None, config.alias):
            raise AgentConfigError(f"the alias is {alias!r}, and config is of {config.alias!r}")
        self.config = config or (ModelConfig(alias) if alias else None)
        self._client: ServerClient | None = None
        if bootstrap:
            self.start_service()
            if self.config is not None:
                running = service.find()
                arguments = running.arguments if running is not None else ()
                for name, reason in self.config.without_effect(arguments):
                    _log.warning("%s of %s has no effect %s", name, self.config.alias, reason)
                self.load_model(self.config.name)

    # --- the service --------------------------------------------------------------------------

    def is_service_running(self) -> bool:
        """Whether there is one."""
        found = service.find()
        if found is None:
            return False
        self._connect(found.url)
        return True

    def start_service(self) -> None:
        """Starts it, unless it runs."""
        if self.is_service_running():
            return
        own = self.config.serve_arguments if self.config is not None else []
        try:
            self._connect(service.start(["--port", "0", *own]).url)
        except ServiceError:
            if not self.is_service_running():  # else another process was faster
                raise

    @property
    def service_uri(self) -> str:
        """Where it listens."""
        return self._server.url

    @property
    def endpoint(self) -> str:
        """For OpenAI's clients: `base_url`."""
        return f"{self._server.url}/v1"

    @property
    def api_key(self) -> str:
        """For OpenAI's clients."""
        return local_api_key()

    # --- its models ---------------------------------------------------------------------------

    def list_catalog_models(self) -> list[FoundryModelInfo]:
        """Those on this machine, and those that may be downloaded."""
        return [_info(entry) for entry in self._server.ask("/foundry/list")]

    def list_cached_models(self) -> list[FoundryModelInfo]:
        """Those on this machine."""
        return self._infos(self._server.ask("/openai/models"))

    def list_loaded_models(self) -> list[FoundryModelInfo]:
        """Those in memory."""
        return self._infos(self._server.ask("/openai/loadedmodels"))

    def get_model_info(self, alias: str | None = None) -> FoundryModelInfo:
        """Of a model; None: of this manager's.

        Raises:
            ModelNotFoundError: the service does not have it.
        """
        name = self._name(alias)
        ident = self._server.model_id(name)
        wanted = variant_id(ident)
        entries = self._server.ask("/foundry/list")
        entry = next((entry for entry in entries if entry["name"] == wanted), None)
        if entry is None:
            raise ModelNotFoundError(f"the service at {self.service_uri} does not list {name!r}")
        shown = self.config.alias if self.config and name == self.config.name else name
        return dataclasses.replace(_info(entry, ident), alias=shown)

    @property
    def model_info(self) -> FoundryModelInfo:
        """Of this manager's model."""
        return self.get_model_info()

    def download_model(self, alias: str | None = None) -> FoundryModelInfo:
        """Brings a model, unless it is here."""
        name = self._name(alias)
        try:
            self._server.model_id(name)
        except ModelNotFoundError:
            self._server.ask("/api/pull", {"model": name, "stream": False}, timeout=None)
        return self.get_model_info(name)

    def load_model(
        self, alias: str | None = None, *, ttl: float = IDLE_SECONDS
    ) -> FoundryModelInfo:
        """Brings a model if need be, and loads it; asked for again, it stays for so many seconds
        more."""
        name = self._name(alias)
        info = self.download_model(name)
        asked: dict[str, Any] = {"model": info.id, "stream": False, "keep_alive": f"{ttl:.0f}s"}
        context = self.config.context_length if self.config is not None else None
        if context is not None:
            asked["options"] = {"num_ctx": context}
        self._server.ask("/api/generate", asked, timeout=None)
        return info

    def unload_model(self, alias: str | None = None) -> None:
        """Takes a model out of memory; others stay."""
        self._server.ask(f"/openai/unload/{self.get_model_info(alias).id}")

    # --- this manager's model -----------------------------------------------------------------

    def health_check(self) -> bool:
        """Whether the service takes requests and the model is in memory."""
        if self._client is None or not self._client.is_healthy():
            return False
        try:
            return self.config is None or self.is_model_loaded()
        except PyslmError:
            return False

    def is_model_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._loaded() is not None

    def get_memory_usage(self) -> int:
        """Bytes that the model's process has in memory: weights, keys and values, and all else; 0
        where it is not loaded."""
        loaded = self._loaded()
        return int(loaded["size"]) if loaded else 0

    def get_idle_time(self) -> float:
        """Seconds since the model was last used; 0 while it works, infinite where it is not
        loaded."""
        loaded = self._loaded()
        return float(loaded["idle_seconds"]) if loaded else float("inf")

    def get_inference_count(self) -> int:
        """Replies of the model since the service was started."""
        return int(self._server.counts(self._ident()).successes)

    def get_average_latency(self) -> float:
        """Seconds from a request to the end of its reply, on average."""
        return self._server.counts(self._ident()).average_seconds

    def get_error_rate(self) -> float:
        """Percent of the requests."""
        return self._server.counts(self._ident()).error_percent

    def warm_up(self) -> float:
        """Has the model make one token; gives the seconds that it took."""
        asked = {"model": self._ident(), "prompt": "Hello", "stream": False}
        options = {"options": {"num_predict": 1}}
        return (
            float(self._server.ask("/api/generate", {**asked, **options})["total_duration"]) / 1e9
        )

    def shutdown(self) -> None:
        """Takes the model out of memory. The service goes on, for other models."""
        if self.config is not None:
            self.unload_model()

    # ------------------------------------------------------------------------------------------

    @property
    def _server(self) -> ServerClient:
        if self._client is None:
            raise ServiceError("no service runs; start_service() starts it")
        return self._client

    def _connect(self, url: str) -> None:
        if self._client is None or self._client.url != url:
            self._client = ServerClient(url, self.api_key)

    def _name(self, alias: str | None) -> str:
        own = self.config
        if alias is None or (own is not None and alias == own.alias):
            if own is None:
                raise AgentConfigError("this manager has no model of its own; name one")
            return own.name
        return alias

    def _ident(self) -> str:
        return self._server.model_id(self._name(None))

    def _loaded(self) -> dict[str, Any] | None:
        return self._server.loaded(self._ident())

    def _infos(self, idents: Sequence[str]) -> list[FoundryModelInfo]:
        known = {info.id: info for info in self.list_catalog_models()}
        return [known[ident] for ident in idents if ident in known]

    def __repr__(self) -> str:
        return f"FoundryLocalManager({self.config.name if self.config else None!r})"


def _info(entry: dict[str, Any], ident: str | None = None) -> FoundryModelInfo:
    """Of an entry of the catalog; what it does not tell, this machine's store does."""
    file = PurePosixPath(unquote(urlsplit(entry["uri"]).path)).name
    size, quant = int(entry["fileSizeMb"]) * 2**20, None
    try:
        stored = ModelStore().find(ident or entry["alias"])
    except PyslmError:  # a file that was named at the start, or one that is not here
        pass
    else:
        file = PurePosixPath(stored.file).name or stored.path.name
        size, quant = stored.size_bytes, stored.quant
    return FoundryModelInfo(
        entry["name"], entry["alias"], size, entry["runtime"]["deviceType"], quant, file
    )
