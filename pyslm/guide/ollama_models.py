"""`OllamaModelManager`: brings models by what they are for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pyslm.errors import ModelNotFoundError, PyslmError
from pyslm.guide.ollama_manager import API_KEY, ollama_url, pull_if_missing
from pyslm.guide.server_client import ServerClient
from pyslm.hub import Hardware

__all__ = ["OllamaModelManager"]

Tier = Literal["low_resource", "medium_resource", "high_resource"]

_CATALOG = {
    "ultra_light": ("qwen2.5:0.5b-instruct-q4_K_M", "tinyllama:1.1b-chat-q4_K_M"),
    "balanced": ("phi3.5:3.8b-mini-instruct-q4_K_M", "llama3.2:3b-instruct-q4_K_M"),
    "code_specialist": ("codellama:7b-code-q4_K_M", "codegemma:7b-code-q4_K_M"),
    "high_capability": ("llama3.1:8b-instruct-q4_K_M", "qwen2.5:7b-instruct-q4_K_M"),
}
_GIB = 1 << 30
# What the models of a tier need, with something to spare; and cores to run them fluently.
_NEEDS: tuple[tuple[Tier, int, int], ...] = (
    ("high_resource", 12 * _GIB, 6),
    ("medium_resource", 5 * _GIB, 2),
)


class OllamaModelManager:
    """Models by category.

    Args:
        base_url: of the server; None: `ollama_url`.
    """

    def __init__(self, base_url: str | None = None) -> None:
        self.base_url = (base_url or ollama_url()).rstrip("/")
        self.model_catalog = {name: list(models) for name, models in _CATALOG.items()}
        self._server = ServerClient(self.base_url, API_KEY)

    def setup_production_models(self, categories: Sequence[str]) -> dict[str, Any]:
        """Brings the models of categories: category -> [{model, status: ready, failed (nobody has
        it) or error, error}], or {status: "error", message} for one that is not known."""
        return {
            category: [self._set_up(model) for model in self.model_catalog[category]]
            if category in self.model_catalog
            else {"status": "error", "message": "Unknown category"}
            for category in categories
        }

    def _set_up(self, model: str) -> dict[str, str]:
        try:
            pull_if_missing(self._server, model)
        except ModelNotFoundError as error:
            return {"model": model, "status": "failed", "error": str(error)}
        except PyslmError as error:
            return {"model": model, "status": "error", "error": str(error)}
        return {"model": model, "status": "ready"}

    def optimize_for_hardware(self) -> dict[str, dict[str, Any]]:
        """What suits each tier of hardware: {models, max_concurrent, memory_usage}. Which tier this
        machine is in, `recommended_tier` says."""
        return {
            "low_resource": {
                "models": ["qwen2.5:0.5b-instruct-q4_K_M"],
                "max_concurrent": 1,
                "memory_usage": "< 1GB",
            },
            "medium_resource": {
                "models": ["phi3.5:3.8b-mini-instruct-q4_K_M", "llama3.2:3b-instruct-q4_K_M"],
                "max_concurrent": 2,
                "memory_usage": "2-4GB",
            },
            "high_resource": {
                "models": ["llama3.1:8b-instruct-q4_K_M", "codellama:7b-code-q4_K_M"],
                "max_concurrent": 3,
                "memory_usage": "6-12GB",
            },
        }

    def recommended_tier(self, hardware: Hardware | None = None) -> Tier:
        """By memory and cores; None: of this machine."""
        hardware = hardware or Hardware.here()
        for tier, memory, cores in _NEEDS:
            if hardware.memory_bytes >= memory and hardware.cores >= cores:
                return tier
        return "low_resource"
