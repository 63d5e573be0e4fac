"""Runs what a tool is made of: code that may hang, leave, or cancel itself."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from pyslm.agents.tools import Tool

__all__ = ["MAX_HANGING", "ToolRunner"]

MAX_HANGING = 16
"""Calls of one plain function that have not come back; further ones fail."""


class ToolRunner:
    """Runs the functions of one agent's tools; plain ones on threads of their own, which may hang
    without keeping the program."""

    def __init__(self) -> None:
        self._num_running: dict[str, int] = {}
        self._lock = threading.Lock()

    async def value(self, tool: Tool, arguments: dict[str, Any], timeout: float) -> Any:
        """What the tool gives, or raises.

        Raises:
            TimeoutError: it takes longer than `timeout` seconds; a plain function runs on.
        """
        if _is_async(tool.function):
            running = asyncio.ensure_future(_caught(tool.function(**arguments)))
        else:
            running = asyncio.ensure_future(self._on_thread(tool, arguments))
        try:
            await asyncio.wait((running,), timeout=timeout)
        finally:
            ended = running.done()
            running.cancel()  # without waiting for it: it may not listen
        if not ended:
            raise TimeoutError
        return running.result()

    async def _on_thread(self, tool: Tool, arguments: dict[str, Any]) -> Any:
        self._enter(tool.name)
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def tell(value: Any, error: Exception | None) -> None:
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(value)

        def work() -> None:
            value, error = None, None
            try:
                value = context.run(tool.function, **arguments)
            except Exception as raised:
                # A future takes no StopIteration, which would end whoever waits for it.
                error = RuntimeError(repr(raised)) if isinstance(raised, StopIteration) else raised
            except BaseException as raised:  # a tool that calls sys.exit ends itself, not us
                error = RuntimeError(f"{type(raised).__name__}: {raised}")
            finally:
                self._leave(tool.name)
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                loop.call_soon_threadsafe(tell, value, error)

        threading.Thread(target=work, name=f"tool-{tool.name}", daemon=True).start()
        value = await future
        return await value if inspect.isawaitable(value) else value

    def _enter(self, name: str) -> None:
        with self._lock:
            running = self._num_running.get(name, 0)
            if running >= MAX_HANGING:
                raise RuntimeError(f"{running} calls of {name} have not come back; try later")
            self._num_running[name] = running + 1

    def _leave(self, name: str) -> None:
        with self._lock:
            self._num_running[name] -= 1


def _is_async(function: Callable[..., Any]) -> bool:
    call = getattr(function, "__call__", None)  # noqa: B004 (the method, of objects)
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def _caught(coroutine: Awaitable[Any]) -> Any:
    """A tool that cancels itself has failed; one that we cancel is gone."""
    try:
        return await coroutine
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise RuntimeError("the tool cancelled itself") from None
    except (SystemExit, KeyboardInterrupt, StopIteration) as error:
        raise RuntimeError(f"{type(error).__name__}: {error}") from None
