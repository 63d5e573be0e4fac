"""Collects the events of all streams and sends those of one step in one frame."""

from __future__ import annotations

import asyncio

from pyslm.serve import wire
from pyslm.serve.protocol.event import Event

__all__ = ["Outbox"]


class Outbox:
    """The worker's end of the streams."""

    def __init__(self, socket: wire.FrameProtocol) -> None:
        self._socket = socket
        self._deltas: dict[int, list[Event]] = {}
        self._loop = asyncio.get_running_loop()

    def put(self, channel: int, events: list[Event]) -> None:
        """Events of a stream, in their order."""
        if not events:
            return
        if not self._deltas:
            # What one step woke runs in this turn of the loop; in the next one, all is here.
            self._loop.call_soon(self._flush)
        self._deltas.setdefault(channel, []).extend(events)

    def fail(self, channel: int, error: Exception) -> None:
        """The end of a request that failed, after the events it had."""
        self._flush()
        self._socket.send(wire.Failed(channel, wire.WireError.of(error)))

    def _flush(self) -> None:
        if self._deltas:
            deltas, self._deltas = self._deltas, {}
            self._socket.send(wire.Step(list(deltas.items())))
