"""The line to one MCP server: opened when it is needed, opened again when the server has ended."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from typing import Any, TextIO

import anyio
import mcp
import mcp_types
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from pyslm import __version__
from pyslm.agents.mcp.server import McpServer
from pyslm.agents.portal import portal
from pyslm.errors import PyslmError, ToolServerError

__all__ = ["Line"]

_MAX_PAGES = 20
_LAST_WORDS = 2000
_EXIT_SECONDS = 3.0
_lines: weakref.WeakSet[Line] = weakref.WeakSet()


class Line:
    """To one server. All of its methods run on the portal's loop.

    The protocol's client lives in a task of its own, for it must be left where it was entered.
    """

    def __init__(self, server: McpServer) -> None:
        self._server = server
        self._client: mcp.Client | None = None
        self._hangup = asyncio.Event()
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self.num_opened = 0
        """So often the server was reached anew."""
        _lines.add(self)

    async def tools(self) -> list[mcp_types.Tool]:
        """Which tools it has, at this moment. A server that has ended, or hangs, is tried anew.

        Raises:
            ToolServerError: it cannot be started or reached, or does not answer in time.
        """
        was_open = self._client is not None
        try:
            return await self._listed()
        except ToolServerError:
            if not was_open:
                raise
        return await self._listed()

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> mcp_types.CallToolResult:
        """What a tool gives. A call is never sent twice.

        Raises:
            ToolServerError: the server has ended, or refuses the call.
        """
        async with self._failing("cannot be called"):
            client = await self._opened()
            return await client.call_tool(tool, dict(arguments))

    async def open(self) -> None:
        """Reaches the server, unless it is reached.

        Raises:
            ToolServerError: it cannot be reached in time.
        """
        async with self._failing("cannot be reached"):
            await self._opened()

    def hang_up(self) -> None:
        """Ends the line, and the server if it was started here, without waiting for it."""
        self._hangup.set()
        self._client = None

    async def close(self) -> None:
        """Ends the line, and waits for it."""
        self.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _listed(self) -> list[mcp_types.Tool]:
        async with self._failing("does not tell its tools"):
            async with asyncio.timeout(self._server.start_timeout):
                client = await self._opened()
                found: list[mcp_types.Tool] = []
                cursor = None
                for _ in range(_MAX_PAGES):
                    page = await client.list_tools(cursor=cursor, cache_mode="bypass")
                    found += page.tools
                    cursor = page.next_cursor
                    if not cursor:
                        break
                return found

    @contextlib.asynccontextmanager
    async def _failing(self, what: str) -> AsyncIterator[None]:
        """Whatever goes wrong in here is told as one error; unless the server itself has said it,
        the line is no longer used."""
        try:
            yield
        except PyslmError:
            raise
        except mcp.MCPError as error:
            if error.error.code == mcp_types.CONNECTION_CLOSED:
                self.hang_up()
            raise self._error(what, error) from error
        except TimeoutError as error:
            self.hang_up()
            seconds = f"no answer within {self._server.start_timeout:g} s"
            raise self._error(what, TimeoutError(seconds)) from error
        except Exception as error:
            self.hang_up()
            raise self._error(what, error) from error

    def _error(self, what: str, error: BaseException) -> ToolServerError:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        reason = str(error) or type(error).__name__
        return ToolServerError(f"the MCP server {self._server.name} {what}: {reason}")

    async def _opened(self) -> mcp.Client:
        async with self._lock:
            if self._client is None:
                opened: asyncio.Future[mcp.Client] = asyncio.get_running_loop().create_future()
                hangup = self._hangup = asyncio.Event()
                task = asyncio.create_task(self._hold(opened, hangup))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                try:
                    async with asyncio.timeout(self._server.start_timeout):
                        self._client = await opened
                except BaseException:
                    task.cancel()
                    raise
                self.num_opened += 1
            return self._client

    async def _hold(self, opened: asyncio.Future[mcp.Client], hangup: asyncio.Event) -> None:
        words = _LastWords()
        try:
            async with _connected(self._server, words) as client:
                if not opened.done():
                    opened.set_result(client)
                await hangup.wait()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            if not opened.done():
                said = words.text()
                reason = self._error("cannot be reached", error)
                opened.set_exception(ToolServerError(f"{reason}; it said: {said}") if said
                                     else reason)  # fmt: skip
        finally:
            words.close()
            if self._hangup is hangup:
                self._client = None


@contextlib.asynccontextmanager
async def _connected(server: McpServer, words: _LastWords) -> AsyncIterator[mcp.Client]:
    info = mcp_types.Implementation(name="pyslm", version=__version__)
    async with contextlib.AsyncExitStack() as stack:
        if server.url is None:
            program, *arguments = server.command
            parameters = mcp.StdioServerParameters(
                command=program, args=arguments, env=dict(server.env), cwd=server.cwd
            )
            streams = stdio_client(parameters, errlog=words.file)
        else:
            client = create_mcp_http_client(headers=dict(server.headers))
            await stack.enter_async_context(client)
            streams = streamable_http_client(server.url, http_client=client)
        yield await stack.enter_async_context(mcp.Client(streams, client_info=info))


class _LastWords:
    """What a program writes to its standard error: the end of it."""

    def __init__(self) -> None:
        reading, writing = os.pipe()
        self.file: TextIO = os.fdopen(writing, "w")
        self._words = b""
        self._done = threading.Event()
        threading.Thread(target=self._read, args=(reading,), daemon=True).start()

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as file:
            while piece := file.read(_LAST_WORDS):
                self._words = (self._words + piece)[-_LAST_WORDS:]
        self._done.set()

    def text(self) -> str:
        """Its last line."""
        self.close()
        self._done.wait(0.2)
        lines = self._words.decode(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else ""

    def close(self) -> None:
        self.file.close()


@atexit.register
def _close_all() -> None:
    """Programs that were started here end with us."""
    open_lines = [line for line in _lines if line._tasks]
    if not open_lines:
        return

    async def close() -> None:
        with anyio.move_on_after(_EXIT_SECONDS):
            await asyncio.gather(*(line.close() for line in open_lines))

    with contextlib.suppress(Exception):
        portal().run(close())
