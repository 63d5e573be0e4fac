"""Routes about the server itself: /health, /version, /metrics."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pyslm import __version__
from pyslm.serve.metrics import CONTENT_TYPE
from pyslm.serve.registry import Registry

__all__ = ["system_router"]


def system_router(registry: Registry) -> APIRouter:
    """The routes, which are the same in every dialect."""
    router = APIRouter(tags=["server"])

    @router.get("/health", responses={503: {"description": "Shutting down"}})
    async def health() -> Response:
        """200 while the server takes requests. Needs no key."""
        status = "stopping" if registry.is_closing else "ok"
        return JSONResponse({"status": status}, 503 if registry.is_closing else 200)

    @router.get("/version")
    async def version() -> dict[str, str]:
        """The version of pyslm."""
        return {"version": __version__}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Prometheus's text format."""
        page = registry.metrics.render(vllm_names=registry.config.vllm_metrics)
        return Response(page, media_type=CONTENT_TYPE)

    return router
