"""Shares one native engine between threads.

The engine computes one step for all its requests at a time, and there is no thread of its own:
whichever caller finds nobody stepping takes the turn and steps for everyone; the others sleep until
that step is over and look whether it brought something for them. The callers' own threads do the
work, so that Ctrl-C reaches the caller between two steps, and an idle model costs nothing.

What a request gets does not depend on who steps: the engine alone decides what a step computes.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pyslm.errors import EngineError, InvalidRequestError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pyslm import _native

__all__ = ["StepLoop"]


class StepLoop:
    """Leader and followers around one `_native.Engine`."""

    def __init__(self, engine: _native.Engine) -> None:
        self._engine: _native.Engine | None = engine
        self._turn = threading.Condition()
        self._taken = False
        self._leaving: deque[int] = deque()  # aborted during a step; the engine still holds them

    @property
    def engine(self) -> _native.Engine:
        """The engine; an `EngineError` once closed."""
        if self._engine is None:
            raise EngineError("the model is closed; make a new LLM to go on")
        return self._engine

    def add(self, prompt: list[int], params: _native.SamplingParams) -> int:
        """Queues a request and gives its id."""
        return self.engine.add(prompt, params)

    def abort(self, request_id: int) -> None:
        """Ends a request that is not finished. Never waits: a garbage collector may call it."""
        if self._engine is not None:
            self._engine.abort(request_id)
            self._forget(self._engine, request_id)

    def next_update(self, request_id: int) -> _native.RequestUpdate:
        """What is new for a request; runs steps, or waits for those of others, until there is."""
        while True:
            update = self.engine.poll(request_id)
            if update is not None:
                return update
            self._step_or_wait()

    def embed(self, texts: Sequence[npt.NDArray[np.int32]]) -> list[npt.NDArray[np.float32]]:
        """The vector of each text, float32 [hidden]; all run together."""
        ids: list[int] = []
        try:
            ids += map(self.engine.add_embedding, texts)
            return [self._embedding(request_id) for request_id in ids]
        finally:
            for request_id in ids:
                self.abort(request_id)

    def _embedding(self, request_id: int) -> npt.NDArray[np.float32]:
        update = self.next_update(request_id)
        while update.finish is None:
            update = self.next_update(request_id)
        if update.embedding is None:
            raise EngineError(update.error or "the request was aborted")
        return update.embedding

    def close(self) -> None:
        """Waits for a step in progress, then lets go of the engine."""
        with self._turn:
            while self._taken:
                self._turn.wait()
            self._engine = None

    def _step_or_wait(self) -> None:
        leading = False
        try:
            with self._turn:
                if self._taken:
                    self._turn.wait()  # until the step in progress is over
                    return
                leading = self._taken = True
            engine = self.engine
            engine.step()
            for _ in range(len(self._leaving)):
                self._forget(engine, self._leaving.popleft())
        finally:
            if leading:
                self._release()

    def _forget(self, engine: _native.Engine, request_id: int) -> None:
        """Takes the last update of an aborted request, with which the engine drops it."""
        try:
            update = engine.poll(request_id)
        except InvalidRequestError:  # it had ended, and its last update was taken
            return
        if update is None or update.finish is None:
            self._leaving.append(request_id)

    def _release(self) -> None:
        with self._turn:
            self._taken = False
            self._turn.notify_all()
