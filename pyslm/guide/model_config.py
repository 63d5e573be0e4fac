"""`ModelConfig`: how a model is to be run."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from pyslm.agents.config import refuse_unknown
from pyslm.errors import AgentConfigError
from pyslm.hub.quants import bits_per_weight, canonical_quant
from pyslm.serve.config import ServeConfig

__all__ = ["ModelConfig"]

_FLAGS = {"threads": "--threads", "batch_size": "--parallel"}
_DEFAULTS = {"batch_size": str(ServeConfig().max_sequences)}
_REMEDY = "`pyslm service stop` ends it, and it is started anew with this"


@refuse_unknown
@dataclasses.dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model, and how it is to be run.

    The quantization chooses the file, the context is that of the loaded model; threads and batch
    belong to the service as a whole and count where it is started for this. What has no effect is
    accepted, and said in the log.

    Raises:
        AgentConfigError: an unknown keyword, or a value that is not allowed.
    """

    alias: str
    quantization: str | None = None
    """As "Q5_K_M"; None: chosen for this machine."""
    context_length: int | None = None
    """Tokens of prompt and reply; None: as the service has it."""
    batch_size: int | None = None
    """Requests that are computed together."""
    threads: int | None = None
    gpu_layers: int | None = None
    """No effect: the model runs on the CPU."""
    memory_lock: bool = False
    """No effect: weights are mapped, and stay in memory as long as they are used."""
    numa: bool = False
    """No effect: the engine binds its own threads."""

    def __post_init__(self) -> None:
        if not isinstance(self.alias, str) or not self.alias:
            raise AgentConfigError(f"alias is {self.alias!r:.80}; allowed: the name of a model")
        quant = self.quantization
        if quant is not None and bits_per_weight(canonical_quant(str(quant))) is None:
            raise AgentConfigError(
                f"quantization is {self.quantization!r:.40}; allowed: one such as Q4_K_M or Q8_0"
            )
        for name in ("context_length", "batch_size", "threads"):
            value = getattr(self, name)
            if value is not None and (
                not isinstance(value, int) or isinstance(value, bool) or value < 1
            ):
                raise AgentConfigError(
                    f"{name} is {value!r:.40}; allowed: a whole number above zero"
                )

    @property
    def name(self) -> str:
        """Alias and quantization in one: what is pulled and loaded."""
        if self.quantization is None:
            return self.alias
        joint = "-" if ":" in self.alias else ":"
        return f"{self.alias}{joint}{canonical_quant(self.quantization)}"

    @property
    def serve_arguments(self) -> list[str]:
        """Of the service that is started for it."""
        return [text for name, value in self._of_service() for text in (_FLAGS[name], str(value))]

    def without_effect(self, arguments: Sequence[str]) -> list[tuple[str, str]]:
        """Settings that were given and change nothing, each with the reason.

        Args:
            arguments: of `pyslm serve`, as the service that runs was started.
        """
        idle = ("gpu_layers", "memory_lock", "numa")
        found = [(name, "on this machine") for name in idle if getattr(self, name)]
        started = dict(itertools.pairwise(arguments))
        for name, value in self._of_service():
            if started.get(_FLAGS[name], _DEFAULTS.get(name)) != str(value):
                found.append((name, f"on the service that runs already; {_REMEDY}"))
        return found

    def _of_service(self) -> list[tuple[str, int]]:
        """What was given of the settings that the service has as a whole."""
        return [(name, getattr(self, name)) for name in _FLAGS if getattr(self, name) is not None]
