"""The worker's side of the socket: messages in, answers out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec

from pyslm.serve import wire
from pyslm.serve.protocol.error import ServeError
from pyslm.serve.worker.host import Host
from pyslm.serve.worker.outbox import Outbox

__all__ = ["run_worker"]

_log = logging.getLogger(__name__)
_OOM_SCORE = "600"  # when memory runs out, a worker goes before the front


def run_worker(socket_path: str) -> None:
    """Serves one model to the front at the other end of the socket, until it hangs up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the front, which drains us
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)
    try:
        import uvloop
    except ImportError:
        asyncio.run(_serve(socket_path))
    else:
        uvloop.run(_serve(socket_path))
    os._exit(0)  # nothing is left to be saved; and nothing may keep us


async def _serve(socket_path: str) -> None:
    lost = asyncio.Event()
    messages: asyncio.Queue[bytes] = asyncio.Queue()
    socket = wire.FrameProtocol(messages.put_nowait, lost.set)
    await asyncio.get_running_loop().create_unix_connection(lambda: socket, socket_path)
    working = asyncio.ensure_future(_work(socket, messages))
    watching = asyncio.ensure_future(lost.wait())
    await asyncio.wait((working, watching), return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()


async def _work(socket: wire.FrameProtocol, messages: asyncio.Queue[bytes]) -> None:
    decode = msgspec.msgpack.Decoder(wire.ToWorker).decode
    first = decode(await messages.get())
    assert isinstance(first, wire.Load)
    loop = asyncio.get_running_loop()

    def progress(fraction: float) -> None:
        loop.call_soon_threadsafe(socket.send, wire.Loading(fraction))

    try:
        host = await Host.load(first.spec, progress)
    except Exception as error:
        _log.warning("the model is not loaded", exc_info=error)
        socket.send(wire.LoadFailed(wire.WireError.of(error)))
        await asyncio.Event().wait()  # the front hangs up
        return
    socket.send(wire.Ready(host.info, host.load_seconds, list(host.capabilities)))
    desk = _Desk(host, socket)
    while True:
        frame = await messages.get()
        try:
            message = decode(frame)
        except msgspec.ValidationError as error:  # one bad request must not end all the others
            desk.refuse(msgspec.msgpack.decode(frame), error)
        else:
            desk.take(message)


class _Desk:
    """Starts what is asked for and ends what is cancelled."""

    def __init__(self, host: Host, socket: wire.FrameProtocol) -> None:
        self._host = host
        self._socket = socket
        self._outbox = Outbox(socket)
        self._tasks: dict[int, asyncio.Task[None]] = {}

    def take(self, message: wire.ToWorker) -> None:
        """Handles one message; never waits."""
        if isinstance(message, wire.Cancel):
            task = self._tasks.get(message.channel)
            if task is not None:
                task.cancel()
        elif isinstance(message, wire.Ping):
            self._socket.send(wire.Pong(message.channel, self._host.stats()))
        elif not isinstance(message, wire.Load):
            channel = message.channel
            task = asyncio.ensure_future(self._answer(message, channel))
            self._tasks[channel] = task
            task.add_done_callback(lambda _: self._tasks.pop(channel, None))

    def refuse(self, message: dict[str, Any], error: msgspec.ValidationError) -> None:
        """Answers what is no message: a field that no dialect should have let through."""
        _log.error("a request is not well-formed: %s", error)
        self._outbox.fail(
            message["channel"], ServeError("invalid_request", f"the request is wrong: {error}")
        )

    async def _answer(
        self,
        message: wire.Generate | wire.Embed | wire.Tokenize | wire.Detokenize,
        channel: int,
    ) -> None:
        try:
            if isinstance(message, wire.Generate):
                outbox = self._outbox
                await self._host.generate(message.request, lambda e: outbox.put(channel, e))
            elif isinstance(message, wire.Embed):
                await self._reply(wire.Embedded, channel, self._host.embed(message.request))
            elif isinstance(message, wire.Tokenize):
                await self._reply(wire.Tokenized, channel, self._host.tokenize(message.request))
            else:
                await self._reply(wire.Detokenized, channel, self._host.detokenize(message.request))
        except asyncio.CancelledError:
            pass
        except Exception as error:
            known = wire.WireError.of(error)
            if known.kind == "internal":
                _log.error("a request failed", exc_info=error)
            self._outbox.fail(channel, error)

    async def _reply(
        self, kind: Callable[..., wire.Reply], channel: int, result: Awaitable[object]
    ) -> None:
        self._socket.send(kind(channel, await result))
