"""Asks a running server, for the verbs that do."""

from __future__ import annotations

import http.client
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

from pyslm import service
from pyslm.errors import InvalidRequestError, ServiceError

__all__ = ["Remote", "find_server"]

DEFAULT_URL = "http://127.0.0.1:8000"
_SECONDS = 600.0


class Remote:
    """One server."""

    def __init__(self, url: str, key: str | None = None) -> None:
        """Asks nothing yet.

        Raises:
            InvalidRequestError: not an http URL.
        """
        url = url if "://" in url else f"http://{url}"
        if not url.startswith(("http://", "https://")):
            raise InvalidRequestError(f"{url!r} is no server; allowed: such as {DEFAULT_URL}")
        self.url = url.rstrip("/")
        self._key = key
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, path: str, body: object = None, method: str | None = None) -> Any:
        """GET, or POST of a body, or `method`; the answer's JSON, None where it is empty.

        Raises:
            ServiceError: nobody answers, or with an error.
        """
        text = b"".join(self.lines(path, body, method))
        return json.loads(text) if text.strip() else None

    def lines(self, path: str, body: object = None, method: str | None = None) -> Iterator[bytes]:
        """The same, as the lines of the answer come."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        if self._key:
            headers["authorization"] = f"Bearer {self._key}"
        request = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=_SECONDS) as response:
                yield from response
        except urllib.error.HTTPError as error:
            raise ServiceError(f"{self.url}: {_message(error)}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:  # a URL that is none
            reason = getattr(error, "reason", error)
            raise ServiceError(
                f"no server answers at {self.url} ({reason}); `pyslm service start MODEL` or "
                "`pyslm serve MODEL` starts one"
            ) from None


def _message(error: urllib.error.HTTPError) -> str:
    """What the server says is wrong, in whichever dialect."""
    try:
        told = json.loads(error.read())["error"]
        return str(told["message"] if isinstance(told, dict) else told)
    except (ValueError, KeyError, TypeError):
        return f"{error.code} {error.reason}"


def find_server(url: str | None = None) -> Remote:
    """The server that is meant: by `url`, PYSLM_HOST, the service in the background, or port 8000.

    The key, where it asks for one, is PYSLM_API_KEY.
    """
    url = url or os.environ.get("PYSLM_HOST")
    if not url:
        running = service.find()
        url = running.url if running is not None else DEFAULT_URL
    return Remote(url, os.environ.get("PYSLM_API_KEY"))
