"""Finds the model that a `Config` names."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from pyslm import service
from pyslm.agents.config import Config
from pyslm.agents.models.endpoint import EndpointModel
from pyslm.agents.models.local import LocalModel
from pyslm.agents.models.model import ChatModel
from pyslm.agents.models.pool import ModelPool, shared_pool
from pyslm.async_llm import AsyncLLM
from pyslm.errors import AccessDeniedError, AgentConfigError
from pyslm.hub.embedded import default_model
from pyslm.llm import LLM

__all__ = ["as_model", "check_reach", "choose_model"]

_USUAL_ENDPOINTS = {
    "ollama": "http://127.0.0.1:11434/v1",
    "vllm": "http://127.0.0.1:8000/v1",
    "openai": "https://api.openai.com/v1",
}
_KEYS = {"openai": "OPENAI_API_KEY"}


def as_model(model: Any, pool: ModelPool | None = None) -> ChatModel:
    """A model of what a caller may give: an `LLM`, an `AsyncLLM`, a path, or a model.

    Raises:
        AgentConfigError: something else.
    """
    if isinstance(model, (LLM, AsyncLLM, str, os.PathLike)):
        return local_model(model, pool)
    if callable(getattr(model, "stream", None)) and hasattr(model, "place"):
        found: ChatModel = model
        return found
    raise AgentConfigError(
        f"model is {model!r:.80}; allowed: an LLM, an AsyncLLM, a path or a name, or an object "
        "with the methods of pyslm.agents.ChatModel"
    )


def local_model(
    model: LLM | AsyncLLM | str | os.PathLike[str], pool: ModelPool | None = None
) -> LocalModel:
    """A model in this process.

    Raises:
        AgentConfigError: something else.
    """
    if isinstance(model, (LLM, AsyncLLM)):
        return LocalModel(model)
    if not isinstance(model, (str, os.PathLike)):
        raise AgentConfigError(
            f"model is {model!r:.80}; allowed: an LLM, an AsyncLLM, a path or a name"
        )
    return LocalModel(_lease(os.fspath(model), pool or shared_pool()), Path(model).stem)


def choose_model(config: Config, pool: ModelPool | None = None) -> ChatModel:
    """The model; nothing is loaded or asked yet, except whether a service runs.

    Raises:
        AgentConfigError: no model and no server is named or found, and the package has no model.
        AccessDeniedError: it is beyond this machine, and the config forbids that.
    """
    model = _chosen(config, pool or shared_pool())
    check_reach(config, model)
    return model


def check_reach(config: Config, model: ChatModel) -> None:
    """Raises AccessDeniedError for a model that `offline_mode` or `privacy_mode` forbids."""
    if model.place != "network":
        return
    for mode in ("privacy_mode", "offline_mode"):
        if getattr(config, mode):
            raise AccessDeniedError(
                f"{config.name} has {mode}, and its model {model.name!r} is beyond this machine; "
                "name a model or an endpoint on this machine"
            )


def _chosen(config: Config, pool: ModelPool) -> ChatModel:
    provider = config.model_provider
    if config.endpoint is not None:
        return EndpointModel(config.endpoint, config.model, config.api_key)
    if provider in _USUAL_ENDPOINTS:
        url = _ollama_url() if provider == "ollama" else _USUAL_ENDPOINTS[provider]
        key = config.api_key or os.environ.get(_KEYS.get(provider, ""))
        return EndpointModel(url, config.model, key)
    if provider != "local":
        running = service.find()
        if running is not None:
            key = config.api_key or os.environ.get("PYSLM_API_KEY")
            return EndpointModel(f"{running.url}/v1", config.model, key)
    name = config.model or default_model()
    if name is None:
        raise AgentConfigError(
            f"the agent {config.name} has no model: none is named, and no service runs; name one "
            "by model_alias, give an endpoint, or run `pyslm service start`"
        )
    return LocalModel(_lease(name, pool), name)


def _lease(name: str, pool: ModelPool) -> Callable[[], AbstractContextManager[LLM]]:
    """The file is looked up at each use: it may be pulled after the agent was made."""

    def use() -> AbstractContextManager[LLM]:
        from pyslm.hub import resolve

        return pool.use(resolve(name))

    return use


def _ollama_url() -> str:
    host = os.environ.get("OLLAMA_HOST", "")
    if not host:
        return _USUAL_ENDPOINTS["ollama"]
    url = host if "://" in host else f"http://{host}"
    url = url.replace("//0.0.0.0", "//127.0.0.1")
    return f"{url.rstrip('/')}/v1"
