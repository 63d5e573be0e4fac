"""LoRA adapters of a loaded model, by name."""

from __future__ import annotations

import dataclasses
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from pyslm.errors import InvalidRequestError
from pyslm.model_info import check_model_path

if TYPE_CHECKING:
    from pyslm import _native
    from pyslm.step_loop import StepLoop

__all__ = ["Adapter", "Adapters"]


@dataclasses.dataclass(frozen=True, slots=True)
class Adapter:
    """A loaded LoRA adapter."""

    name: str
    path: Path
    scale: float
    """A factor on top of the alpha / rank that its file states."""
    id: int
    """Its number in the native model; never used twice."""


class Adapters:
    """Thread-safe. A request keeps the adapter that had its name when it was made."""

    def __init__(self, runner: _native.Model, loop: StepLoop) -> None:
        self._runner = runner
        self._loop = loop
        self._lock = threading.Lock()
        self._loaded: dict[str, Adapter] = {}

    def load(self, path: str | os.PathLike[str], name: str | None, scale: float) -> Adapter:
        """Reads a GGUF adapter; its name is that of the file unless given.

        Raises:
            InvalidRequestError: the name is taken, or the scale is out of range.
            ModelFileError, GGUFError, UnsupportedModelError: as for models; also where the adapter
                is of another architecture or changes what cannot be adapted.
        """
        file = check_model_path(path)
        name = file.stem if name is None else name
        if not isinstance(name, str) or not name:
            raise InvalidRequestError(f"an adapter's name is {name!r}; allowed: text")
        with self._lock:
            if name in self._loaded:
                raise InvalidRequestError(
                    f"an adapter {name!r} is loaded already, from {self._loaded[name].path}; "
                    "unload it or give another name"
                )
            adapter = Adapter(name, file, scale, self._runner.load_adapter(str(file), scale))
            self._loaded[name] = adapter
        return adapter

    def unload(self, name: str) -> None:
        """Forgets an adapter.

        Raises:
            InvalidRequestError: there is none of that name, or requests that run still use it.
        """
        with self._lock:
            self._loop.engine.unload_adapter(self._find(name).id)
            del self._loaded[name]

    def id_of(self, name: str | None) -> int:
        """The native number; -1 for None."""
        if name is None:
            return -1
        with self._lock:
            return self._find(name).id

    @property
    def loaded(self) -> Mapping[str, Adapter]:
        """By name."""
        with self._lock:
            return MappingProxyType(dict(self._loaded))

    def _find(self, name: str) -> Adapter:
        adapter = self._loaded.get(name)
        if adapter is None:
            known = ", ".join(sorted(self._loaded)) or "none is loaded"
            raise InvalidRequestError(f"adapter is {name!r}; allowed: {known}")
        return adapter
