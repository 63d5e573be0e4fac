"""A model behind an OpenAI-compatible server: POST /chat/completions, streamed."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import weakref
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from pyslm.agents.models.chunks import CHOICE, ChunkReader, reason_of
from pyslm.agents.models.model import Message, ModelEvent, ModelRequest
from pyslm.agents.portal import portal
from pyslm.chat.request import ToolChoice
from pyslm.errors import ModelCallError

__all__ = ["EndpointModel", "is_this_machine"]

_TRIES = 3
_WAIT_SECONDS = 0.5
_MAX_WAIT_SECONDS = 10.0
_RETRIED = (408, 409, 425, 429, 502, 503, 504)
_BYTES_PER_TOKEN = 3  # fewer than real text has, so that estimates err on the safe side
_TOKENS_PER_MESSAGE = 8


def is_this_machine(url: str) -> bool:
    """Whether a URL leads nowhere else. Names other than localhost are not looked up."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class EndpointModel:
    """Asks a server. Its connections are kept and shared by all event loops."""

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """
        Args:
            url: the base, as "http://127.0.0.1:8000/v1".
            model: its name there; None: the first that the server lists.
            transport: in place of the network, for tests.
        """
        self._url = url.rstrip("/")
        self._model = model
        self._key = api_key
        self._transport = transport
        self._client: httpx.AsyncClient | None = None  # made and used on the portal's loop
        self._counts = True
        self.context_length: int | None = None
        self.place: Literal["machine", "network"] = "machine" if is_this_machine(url) else "network"

    @property
    def name(self) -> str:
        """As the server calls it."""
        return self._model or self._url

    def __repr__(self) -> str:
        return f"EndpointModel({self._url!r}, {self._model!r})"

    async def stream(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        """See `ChatModel`.

        Raises:
            ModelCallError: the server cannot be reached, refuses, or breaks off.
        """
        async for event in portal().iterate(self._events(request)):
            yield event

    async def count_tokens(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()
    ) -> int:
        """Asks for /tokenize, which pyslm and vLLM have; any other server's tokens are
        estimated."""
        counted = await portal().call(self._counted(messages, tools)) if self._counts else None
        return _estimate(messages, tools) if counted is None else counted

    async def close(self) -> None:
        """Closes the connections."""
        client, self._client = self._client, None
        if client is not None:
            await portal().call(client.aclose())

    # What follows runs on the portal's loop.

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            # A server on this machine is not behind a proxy.
            near = self.place == "machine"
            headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
            client = self._client = httpx.AsyncClient(
                transport=self._transport,
                headers=headers,
                timeout=httpx.Timeout(None, connect=10.0),  # the agent's own limits the reply
                trust_env=not near,
            )
            weakref.finalize(self, _let_go, client)
        return self._client

    async def _events(self, request: ModelRequest) -> AsyncIterator[ModelEvent]:
        if self._model is None:
            self._model = await self._first_model()
        response = await self._opened(self._body(request))
        try:
            unwrap = request.choice is not None
            async for event in ChunkReader(unwrap).read(response.aiter_lines()):
                yield event
        except httpx.HTTPError as error:
            raise ModelCallError(f"{self._url} broke off its reply: {_told(error)}") from error
        finally:
            await response.aclose()

    async def _opened(self, body: Mapping[str, Any]) -> httpx.Response:
        """A reply that has begun. Tries again where that may help."""
        for attempt in range(1, _TRIES + 1):
            last = attempt == _TRIES
            wait = _WAIT_SECONDS * 2 ** (attempt - 1)
            client = self._http()
            asked = client.build_request("POST", f"{self._url}/chat/completions", json=body)
            try:
                response = await client.send(asked, stream=True)
            except httpx.HTTPError as error:
                if last:
                    raise ModelCallError(
                        f"{self._url} cannot be reached: {_told(error)}; is the server running?"
                    ) from error
                await asyncio.sleep(wait)
                continue
            if response.status_code < 400:
                return response
            text = (await response.aread()).decode("utf-8", "replace")
            await response.aclose()
            if last or response.status_code not in _RETRIED:
                raise ModelCallError(
                    f"{self._url} refused with status {response.status_code}: {reason_of(text)}"
                )
            await asyncio.sleep(_wait_of(response, wait))
        raise AssertionError("unreachable")

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self._model,
            "messages": list(request.messages),
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.tools:
            body["tools"] = list(request.tools)
            body["tool_choice"] = _tool_choice(request.tool_choice)
            if not request.parallel_tool_calls:
                body["parallel_tool_calls"] = False
        schema = request.json_schema
        if request.choice is not None:
            schema = {
                "type": "object",
                "properties": {CHOICE: {"type": "string", "enum": list(request.choice)}},
                "required": [CHOICE],
                "additionalProperties": False,
            }
        if schema is not None:
            form = {"name": "reply", "schema": dict(schema), "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
        if request.thinking is False:
            body["reasoning_effort"] = "none"
        return body

    async def _first_model(self) -> str:
        try:
            response = await self._http().get(f"{self._url}/models", timeout=10.0)
            response.raise_for_status()
            listed = response.json()["data"]
            entry = listed[0]
            length = entry.get("max_model_len")
            self.context_length = length if isinstance(length, int) else None
            return str(entry["id"])
        except httpx.HTTPError as error:
            raise ModelCallError(
                f"{self._url}/models cannot be read: {_told(error)}; is the server running?"
            ) from error
        except (ValueError, KeyError, IndexError, TypeError, AttributeError):
            raise ModelCallError(
                f"{self._url} lists no model; name one by model_alias or model_id"
            ) from None

    async def _counted(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> int | None:
        body: dict[str, Any] = {"model": self._model or "", "messages": list(messages)}
        if tools:
            body["tools"] = list(tools)
        url = f"{self._url.removesuffix('/v1')}/tokenize"
        try:
            response = await self._http().post(url, json=body, timeout=10.0)
            found = response.json() if response.status_code == 200 else {}
            count, length = found.get("count"), found.get("max_model_len")
        except (httpx.HTTPError, ValueError, AttributeError):
            return None
        if not isinstance(count, int):
            self._counts = response.status_code not in (404, 405, 501)
            return None
        if isinstance(length, int):
            self.context_length = length
        return count


def _let_go(client: httpx.AsyncClient) -> None:
    """Of a model that nobody closed."""
    with contextlib.suppress(RuntimeError):  # the interpreter ends
        portal().start(client.aclose())


def _tool_choice(choice: ToolChoice) -> Any:
    if choice.names is None or len(choice.names) != 1:
        return choice.mode
    return {"type": "function", "function": {"name": choice.names[0]}}


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__


def _wait_of(response: httpx.Response, usual: float) -> float:
    try:
        return min(float(response.headers["Retry-After"]), _MAX_WAIT_SECONDS)
    except (KeyError, ValueError):
        return usual


def _estimate(messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]) -> int:
    texts = [json.dumps(each, ensure_ascii=False) for each in (*messages, *tools)]
    num_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return num_bytes // _BYTES_PER_TOKEN + _TOKENS_PER_MESSAGE * len(texts)
