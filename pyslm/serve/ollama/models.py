"""Routes that tell what there is: /api/tags, /api/show, /api/ps, /api/version, and /."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import Any

from fastapi import APIRouter, Request
from pydantic import StrictBool
from starlette.responses import PlainTextResponse, Response

from pyslm import __version__
from pyslm.inspect_model import ModelSummary, inspect_model
from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.ollama.common import BaseRequest, rfc3339
from pyslm.serve.openai.common import ignored_header, json_response
from pyslm.serve.protocol import LoadedModel, ModelCard, Services

__all__ = ["API_VERSION", "OllamaShowRequest", "add_routes", "digest"]

API_VERSION = "0.12.0"
"""The release of Ollama whose API this is: clients look at it to learn what they may send."""

_NEVER = "9999-12-31T23:59:59Z"
_READS = ["GET", "HEAD"]


class OllamaShowRequest(BaseRequest):
    """Asks about a model."""

    name: str = ""
    """What `model` was called before."""
    verbose: StrictBool | None = None


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's routes."""

    @router.api_route("/", methods=_READS, include_in_schema=False)
    async def root() -> Response:
        """By this clients know that somebody is there."""
        return PlainTextResponse("Ollama is running")

    @router.get("/api/version")
    @router.head("/api/version", include_in_schema=False)
    async def version() -> Response:
        """The API's version, and this server's."""
        return json_response({"version": API_VERSION, "server": f"pyslm/{__version__}"})

    @router.get("/api/tags")
    @router.head("/api/tags", include_in_schema=False)
    async def tags() -> Response:
        """The models that can be asked for."""
        cards = await services.models.list_models()
        return json_response({"models": [_listed(card) for card in cards]})

    @router.get("/api/ps")
    async def ps() -> Response:
        """The models in memory, those that stay longest first."""
        models = await services.models.ps()
        models.sort(key=lambda model: model.expires_at or float("inf"), reverse=True)
        return json_response({"models": [_running(model) for model in models]})

    @router.post("/api/show", openapi_extra=request_schema(OllamaShowRequest))
    async def show(request: Request) -> Response:
        """What a model's file says of it."""
        body = await parse_body(request, OllamaShowRequest)
        headers = ignored_header(body.passed_over())
        card = await services.models.get_model(body.model or body.name)
        summary = await asyncio.to_thread(inspect_model, card.path)
        return json_response(_shown(card, summary, verbose=bool(body.verbose)), headers)


def digest(card: ModelCard) -> str:
    """Changes when the file changes. Made of its name, size and time: reading it takes too long."""
    seen = f"{card.path}\n{card.size_bytes}\n{card.created}"
    return hashlib.sha256(seen.encode("utf-8", "surrogateescape")).hexdigest()


def _named(card: ModelCard) -> dict[str, Any]:
    tagged = card.id if ":" in card.id.rsplit("/", 1)[-1] else f"{card.id}:latest"
    return {
        "name": tagged,
        "model": tagged,
        "size": card.size_bytes,
        "digest": digest(card),
        "details": _details(card),
    }


def _listed(card: ModelCard) -> dict[str, Any]:
    capabilities = list(card.capabilities)
    return {**_named(card), "modified_at": rfc3339(card.created), "capabilities": capabilities}


def _running(model: LoadedModel) -> dict[str, Any]:
    return {
        **_named(model.card),
        "size": model.memory_bytes,
        "size_vram": 0,
        "expires_at": _NEVER if model.expires_at is None else rfc3339(model.expires_at),
        "idle_seconds": round(model.idle_seconds, 3),  # ours alone; clients pass over it
        "context_length": model.context_length,
    }


def _details(card: ModelCard) -> dict[str, Any]:
    return {
        "parent_model": card.parent or "",
        "format": "gguf",
        "family": card.architecture,
        "families": [card.architecture],
        "parameter_size": _parameter_size(card.num_parameters),
        "quantization_level": card.file_type,
        "context_length": card.trained_context_length,
    }


def _parameter_size(count: int) -> str:
    """As Ollama rounds it: 7.6B, 494.03M, 260.03K."""
    if count >= 10**9:
        return f"{count / 1e9:.1f}B"
    if count >= 10**6:
        return f"{count / 1e6:.2f}M"
    return f"{count / 1e3:.2f}K"


def _shown(card: ModelCard, summary: ModelSummary, *, verbose: bool) -> dict[str, Any]:
    facts = json.loads(summary.to_json(tensors=False))["metadata"]
    template = facts.pop("tokenizer.chat_template", "")
    lists = {} if verbose else {name: None for name in facts if _is_array(facts[name])}
    return {
        "license": facts.get("general.license", ""),
        "modelfile": f"FROM {card.id}\n",
        "parameters": "",
        "template": template,
        "system": "",
        "details": _details(card),
        "model_info": {**facts, **lists, "general.parameter_count": card.num_parameters},
        "capabilities": list(card.capabilities),
        "modified_at": rfc3339(card.created),
        "tensors": [
            {"name": t.name, "type": t.type, "shape": list(t.shape)} for t in summary.tensors
        ],
    }


def _is_array(value: object) -> bool:
    return isinstance(value, list) or (isinstance(value, str) and value.startswith("array["))
