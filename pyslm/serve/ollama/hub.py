"""Routes that bring, name and remove models: all that needs the hub, in one place."""

from __future__ import annotations

from typing import NoReturn

from fastapi import APIRouter, Request
from starlette.responses import Response

from pyslm.serve.protocol import ServeError, Services

__all__ = ["UPLOADS", "add_routes"]

UPLOADS = ("/api/blobs/",)


def add_routes(router: APIRouter, services: Services) -> None:  # noqa: ARG001
    """Adds this module's routes."""

    @router.post("/api/pull")
    async def pull(request: Request) -> Response:  # noqa: ARG001
        """Downloads a model."""
        _not_yet("pulling models")

    @router.post("/api/copy")
    async def copy(request: Request) -> Response:  # noqa: ARG001
        """Gives a model a further name."""
        _not_yet("copying models")

    @router.delete("/api/delete")
    async def delete(request: Request) -> Response:  # noqa: ARG001
        """Removes a model."""
        _not_yet("deleting models")

    @router.post("/api/push")
    async def push(request: Request) -> Response:  # noqa: ARG001
        """Uploads a model."""
        _not_yet("pushing models")

    @router.post("/api/create")
    async def create(request: Request) -> Response:  # noqa: ARG001
        """Makes a model of another."""
        _not_yet("creating models")

    @router.head("/api/blobs/{digest}")
    async def has_blob(digest: str) -> Response:  # noqa: ARG001
        """Whether a file is there."""
        _not_yet("blobs")

    @router.post("/api/blobs/{digest}")
    async def add_blob(digest: str, request: Request) -> Response:  # noqa: ARG001
        """Takes a file."""
        _not_yet("blobs")


def _not_yet(what: str) -> NoReturn:
    raise ServeError(
        "not_implemented",
        f"{what}: not implemented; it comes with the hub. Start the server with the models' files",
    )
