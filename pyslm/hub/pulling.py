"""Downloads for event loops."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

from pyslm.hub.progress import PullProgress
from pyslm.hub.store import ModelStore

__all__ = ["pull_events"]


class _StoppedError(Exception):
    pass


async def pull_events(
    store: ModelStore, name: str, *, force: bool = False, token: str | None = None
) -> AsyncGenerator[PullProgress]:
    """Pulls in a thread; gives what `ModelStore.pull` tells, "success" last.

    Leaving the iterator stops the download; what came so far stays for the next one.

    Raises:
        PyslmError: as `ModelStore.pull`.
    """
    loop = asyncio.get_running_loop()
    told: asyncio.Queue[PullProgress | None] = asyncio.Queue()
    stop = threading.Event()

    def tell(progress: PullProgress) -> None:
        if stop.is_set():
            raise _StoppedError
        loop.call_soon_threadsafe(told.put_nowait, progress)

    pulling = asyncio.create_task(
        asyncio.to_thread(store.pull, name, tell, force=force, token=token)
    )
    pulling.add_done_callback(lambda _: told.put_nowait(None))
    try:
        while (progress := await told.get()) is not None:
            yield progress
        await pulling
    finally:
        stop.set()
        pulling.add_done_callback(lambda task: task.cancelled() or task.exception())
