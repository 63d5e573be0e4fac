"""POST /api/generate."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from pydantic import StrictBool
from starlette.responses import Response

from pyslm.serve.body import parse_body, request_schema
from pyslm.serve.ollama.answer import answer, load_or_unload
from pyslm.serve.ollama.common import TextRequest
from pyslm.serve.ollama.messages import refuse_images
from pyslm.serve.ollama.stream import NDJSON, generate_shape
from pyslm.serve.openai.common import new_id
from pyslm.serve.protocol import GenerateRequest, ModelCard, ServeError, Services
from pyslm.serve.protocol.number import Integer, Integers

__all__ = ["OllamaGenerateRequest", "add_routes"]

_INSTEAD = {
    "template": "the model's own chat template is used; to write the whole prompt, say raw: true",
    "context": "send the conversation to /api/chat",
    "width": "this server makes text",
    "height": "this server makes text",
    "steps": "this server makes text",
}


class OllamaGenerateRequest(TextRequest):
    """A question, or with `raw` or `suffix` a text to be continued as it is."""

    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: Integers | None = None
    raw: StrictBool | None = None
    images: list[Any] | None = None
    width: Integer | None = None
    height: Integer | None = None
    steps: Integer | None = None

    def to_generate(self, card: ModelCard) -> GenerateRequest:
        """The same for the worker.

        Raises:
            ServeError: a field that cannot be honoured.
        """
        self._refuse()
        sampling, reasoning = self.sampling(), self.reasoning(card)
        ident, prompt = new_id("ollama"), self.prompt or ""
        has_template = "tools" in card.capabilities
        if not self.raw and not self.suffix and has_template:
            system = [{"role": "system", "content": self.system}] if self.system else []
            messages = [*system, {"role": "user", "content": prompt}]
            return GenerateRequest(
                id=ident, messages=messages, sampling=sampling, reasoning=reasoning
            )
        if self.system:
            raise ServeError(
                "invalid_request",
                "system is given, which a raw prompt, one with a suffix, or one for a model "
                "without a chat template has no place for; write it into the prompt",
                param="system",
            )
        return GenerateRequest(
            id=ident,
            prompt=prompt,
            suffix=self.suffix or None,
            parse_special=bool(self.raw),
            sampling=sampling,
        )

    def _refuse(self) -> None:
        refuse_images(self.images, "images")
        for name, instead in _INSTEAD.items():
            if getattr(self, name):
                raise ServeError(
                    "unsupported_field", f"{name} is not supported: {instead}", param=name
                )


def add_routes(router: APIRouter, services: Services) -> None:
    """Adds this module's route."""
    described = request_schema(OllamaGenerateRequest, streams=NDJSON)

    @router.post("/api/generate", openapi_extra=described)
    async def generate(request: Request) -> Response:
        """Answers a prompt; without one, loads the model or lets it go."""
        body = await parse_body(request, OllamaGenerateRequest)
        card = await services.models.get_model(body.model)
        asked = body.to_generate(card)
        if not body.prompt and not body.suffix:
            return await load_or_unload(services, body, card, generate_shape)
        return await answer(request, services, body, card, asked, generate_shape)
