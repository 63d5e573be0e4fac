"""Starts and ends the process of one worker."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import sys
import tempfile
from pathlib import Path
from typing import Self

import psutil

from pyslm.serve import wire
from pyslm.serve.channel import Channel
from pyslm.serve.protocol.error import ServeError

__all__ = ["RuntimeFolder", "WorkerProcess"]

_CONNECT_SECONDS = 60.0
_END_SECONDS = 5.0


class RuntimeFolder:
    """Where the sockets are: a folder of this user alone, gone with the server."""

    def __init__(self) -> None:
        base = os.environ.get("XDG_RUNTIME_DIR")
        # The path of a socket has 100 characters at most.
        usable = base is not None and os.path.isdir(base) and len(base) < 80
        self._folder = tempfile.TemporaryDirectory(
            prefix="pyslm-", dir=base if usable else None, ignore_cleanup_errors=True
        )
        self._numbers = itertools.count(1)

    def socket_path(self) -> Path:
        """A path that no worker has had."""
        return Path(self._folder.name) / f"{next(self._numbers)}.sock"

    def close(self) -> None:
        """Removes it."""
        self._folder.cleanup()


class WorkerProcess:
    """A worker that runs."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: Channel, ready: wire.Ready
    ) -> None:
        self.channel = channel
        self.info = ready.info
        self.load_seconds = ready.load_seconds
        self.capabilities = tuple(ready.capabilities)
        self._process = process

    @classmethod
    async def start(cls, spec: wire.WorkerSpec, folder: RuntimeFolder) -> Self:
        """Starts a worker and loads its model.

        Raises:
            ServeError: the model cannot be loaded, or the process ended while it tried.
        """
        path = folder.socket_path()
        channel = Channel()
        connected = asyncio.Event()

        def connect() -> wire.FrameProtocol:
            connected.set()
            return channel.socket

        old_mask = os.umask(0o177)  # the socket is born 0600
        try:
            server = await asyncio.get_running_loop().create_unix_server(connect, str(path))
        finally:
            os.umask(old_mask)
        process: asyncio.subprocess.Process | None = None
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "pyslm.serve.worker", str(path), Path(spec.path).name),
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
            await _until_connected(connected, process)
            server.close()
            channel.socket.send(wire.Load(spec))
            return cls(process, channel, await channel.ready)
        except BaseException:
            if process is not None:
                await _end(process)
            raise
        finally:
            server.close()
            path.unlink(missing_ok=True)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def memory_bytes(self) -> int:
        """What it holds in memory; 0 once it is gone."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self.pid).memory_info().rss)
        return 0

    async def end(self) -> None:
        """Hangs up, on which the worker ends; kills it if it does not."""
        self.channel.socket.close()
        await _end(self._process, patience=_END_SECONDS)

    def kill(self) -> None:
        """At once."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


async def _until_connected(connected: asyncio.Event, process: asyncio.subprocess.Process) -> None:
    ended = asyncio.ensure_future(process.wait())
    connecting = asyncio.ensure_future(connected.wait())
    await asyncio.wait(
        (ended, connecting), timeout=_CONNECT_SECONDS, return_when=asyncio.FIRST_COMPLETED
    )
    ended.cancel()
    connecting.cancel()
    if not connected.is_set():
        raise ServeError(
            "crashed",
            f"the model's process did not start (exit code {process.returncode}); "
            "the server's log says more",
        )


async def _end(process: asyncio.subprocess.Process, patience: float = 0.0) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(patience):
            await process.wait()
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
