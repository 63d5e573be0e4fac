"""The service itself: where it listens, what it runs on, how it is ended."""

from __future__ import annotations

import os
import signal

from fastapi import APIRouter, Request
from starlette.responses import Response

from pyslm.hub.hf_cache import cache_directory
from pyslm.serve.caller import require_scope
from pyslm.serve.openai.common import json_response
from pyslm.serve.protocol import ServeError, Services

__all__ = ["add_routes"]


def add_routes(router: APIRouter, services: Services) -> None:  # noqa: ARG001
    """Adds this module's routes."""

    @router.get("/openai/status")
    async def status(request: Request) -> Response:
        """For SDK 0.x, in both spellings that are about."""
        endpoints, folder = [_own_url(request)], str(cache_directory())
        first = {"endpoints": endpoints, "modelDirPath": folder, "pipeName": ""}
        second = {"Endpoints": endpoints, "ModelDirPath": folder, "PipeName": ""}
        return json_response({**first, **second})

    @router.get("/status")
    async def status_too(request: Request) -> Response:
        """For SDK 2.x."""
        folder = str(cache_directory())
        return json_response(
            {"modelCachePath": folder, "endpoints": [_own_url(request)], "pid": os.getpid()}
        )

    @router.post("/shutdown")
    async def shutdown() -> Response:
        """Ends the server as SIGTERM does: running requests may end."""
        require_scope("manage")
        signal.raise_signal(signal.SIGTERM)
        return json_response({"status": "stopping"})

    @router.get("/openai/getgpudevice")
    async def get_gpu() -> Response:
        """The number of the GPU in use; there is none."""
        return json_response(-1)

    @router.get("/openai/setgpudevice/{device}")
    async def set_gpu(device: int) -> Response:
        """Chooses a GPU."""
        raise ServeError(
            "invalid_request", f"there is no GPU {device}; this server runs on cpu", param="device"
        )


def _own_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"
