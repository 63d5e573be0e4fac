"""`OllamaManager` and `OllamaMultiModelManager`: models of a server that speaks Ollama's API."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyslm.agents import Agent, Config
from pyslm.errors import PyslmError
from pyslm.guide.server_client import ServerClient

if TYPE_CHECKING:
    import openai

__all__ = ["OllamaManager", "OllamaMultiModelManager", "ollama_url", "pull_if_missing"]

_log = logging.getLogger(__name__)

API_KEY = "ollama"
_MODELS = {
    "lightweight": "qwen2.5:0.5b-instruct-q4_K_M",  # 350 MB
    "balanced": "phi3.5:3.8b-mini-instruct-q4_K_M",  # 2.3 GB
    "capable": "llama3.2:3b-instruct-q4_K_M",  # 1.9 GB
    "coding": "codellama:7b-code-q4_K_M",  # 4.1 GB
}
_KEYWORDS = {
    "lightweight": ("simple", "route", "classify"),
    "coding": ("code", "programming", "debug"),
    "capable": ("complex", "analysis", "research"),
}


def ollama_url() -> str:
    """OLLAMA_HOST, else Ollama's usual address."""
    host = os.environ.get("OLLAMA_HOST", "").rstrip("/")
    if not host:
        return "http://localhost:11434"
    url = host if "://" in host else f"http://{host}"
    return url.replace("//0.0.0.0", "//127.0.0.1")


def pull_if_missing(server: ServerClient, model: str) -> None:
    """Has a server bring a model that it does not have. Asks for no network otherwise.

    Raises:
        ServiceError, ModelNotFoundError: it cannot.
    """
    names = {entry["name"] for entry in server.ask("/api/tags")["models"]}
    if model not in names and f"{model}:latest" not in names:
        server.ask("/api/pull", {"name": model, "stream": False}, timeout=None)


class OllamaManager:
    """One model.

    Args:
        base_url: of the server; None: `ollama_url`.
    """

    def __init__(self, model_name: str, base_url: str | None = None) -> None:
        self.model_name = model_name
        self.base_url = (base_url or ollama_url()).rstrip("/")
        self.api_url = f"{self.base_url}/api"
        self.openai_url = f"{self.base_url}/v1"
        self._server = ServerClient(self.base_url, API_KEY)

    def ensure_model_available(self) -> bool:
        """Whether the model is there; it is pulled if it was not."""
        try:
            pull_if_missing(self._server, self.model_name)
        except PyslmError as error:
            _log.error("Failed to pull model %s: %s", self.model_name, error)
            return False
        return True

    def get_openai_client(self) -> openai.OpenAI:
        """OpenAI's own client of this server."""
        import openai

        return openai.OpenAI(base_url=self.openai_url, api_key=API_KEY)

    def health_check(self) -> bool:
        """Whether the server answers."""
        try:
            self._server.ask("/api/tags", timeout=5.0)
        except PyslmError:
            return False
        return True


class OllamaMultiModelManager:
    """A model for each kind of task.

    Args:
        models: lightweight, balanced, capable and coding -> model; None: the guide's.
        base_url: of the server; None: `ollama_url`.
    """

    def __init__(
        self, models: Mapping[str, str] | None = None, base_url: str | None = None
    ) -> None:
        self.models = dict(models or _MODELS)
        self.base_url = (base_url or ollama_url()).rstrip("/")
        self.managers = {
            kind: OllamaManager(model, self.base_url) for kind, model in self.models.items()
        }
        self.available = {
            kind: manager.ensure_model_available() for kind, manager in self.managers.items()
        }

    def get_agent_for_task(self, task_type: str) -> Agent:
        """An agent on the model that suits a task."""
        kind = self.classify_task(task_type)
        return Agent(
            Config(
                name=f"ollama-{kind}-agent",
                model_provider="ollama",
                model_id=self.models[kind],
                endpoint=f"{self.base_url}/v1",
                api_key=API_KEY,
            )
        )

    def classify_task(self, task_type: str) -> str:
        """lightweight, coding, capable or balanced, by the words in it."""
        text = task_type.lower()
        for kind, words in _KEYWORDS.items():
            if any(word in text for word in words):
                return kind
        return "balanced"
