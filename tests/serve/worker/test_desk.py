"""The worker's end of the socket."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import msgspec
import pytest

from pyslm.serve import wire
from pyslm.serve.worker.host import Host
from pyslm.serve.worker.server import _Desk


class Socket:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, message: Any) -> None:
        self.sent.append(message)


def test_what_is_not_understood_is_refused_by_its_channel() -> None:
    """A request that slips through the front's checks costs itself an error, not the worker."""
    frame = msgspec.msgpack.encode({"type": "tokenize", "channel": 7, "request": {"text": 5}})
    with pytest.raises(msgspec.DecodeError) as caught:
        msgspec.msgpack.decode(frame, type=wire.ToWorker)
    socket = Socket()

    async def refuse() -> None:
        desk = _Desk(cast(Host, None), cast(wire.FrameProtocol, socket))
        desk.refuse(frame, caught.value)

    asyncio.run(refuse())
    (failed,) = socket.sent
    assert isinstance(failed, wire.Failed)
    assert failed.channel == 7
    assert failed.error.kind == "invalid_request"
    assert "request.text" in failed.error.message
