"""Which quantization of a model suits a machine, and why.

A pure function of the two. Decoding reads every weight once for each token, so that speed is the
memory's bandwidth over the file's bytes; among what fits, the finest variant that is still fast
enough is taken.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from pyslm.errors import ModelNotFoundError
from pyslm.hub.catalog import Variant
from pyslm.hub.quants import bits_per_weight, quality

__all__ = ["Candidate", "Choice", "Hardware", "choose_variant", "needed_bytes"]

GIB = 1 << 30
_PACKED_OVER_FILE = 1.06
_BESIDES_BYTES = 128 << 20
_KV_BYTES_PER_TOKEN_AND_PARAMETER = 16e-6
_CONTEXT_TOKENS = 4096
_MEMORY_SHARE = 0.8
_BANDWIDTH_OF_CORE = 12e9
_BANDWIDTH_OF_MACHINE = 60e9
_FLUENT_TOKENS_PER_SECOND = 15.0
_USUAL = "Q4_K_M"
_FINEST = "Q8_0"


@dataclasses.dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine has for a model."""

    memory_bytes: int
    """That may still be taken."""
    cores: int
    """Physical ones."""
    devices: tuple[str, ...] = ("cpu",)
    """What there is to compute on. pyslm runs on the CPU today; others do not change the choice."""

    @classmethod
    def here(cls) -> Hardware:
        """This machine, or the container we are in."""
        import psutil

        from pyslm.serve.memory import available_bytes

        return cls(available_bytes(), psutil.cpu_count(logical=False) or psutil.cpu_count() or 1)

    @property
    def bandwidth(self) -> float:
        """Bytes per second that all cores read from memory, roughly."""
        return min(self.cores * _BANDWIDTH_OF_CORE, _BANDWIDTH_OF_MACHINE)


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """A variant, on a machine."""

    variant: Variant
    needed_bytes: int
    fits: bool
    tokens_per_second: float
    """Of one stream, at best."""


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """The variant that suits, and why."""

    variant: Variant
    reason: str
    candidates: tuple[Candidate, ...]
    """All, the finest first."""
    fits: bool
    """False: even the smallest is too large; it is chosen all the same."""


def needed_bytes(variant: Variant, parameters: int) -> int:
    """Memory for the weights as they are packed, keys and values of 4096 tokens, and the rest."""
    kv_bytes = parameters * _KV_BYTES_PER_TOKEN_AND_PARAMETER * _CONTEXT_TOKENS
    return int(variant.size_bytes * _PACKED_OVER_FILE + kv_bytes) + _BESIDES_BYTES


def choose_variant(variants: Sequence[Variant], parameters: int, hardware: Hardware) -> Choice:
    """The finest variant, up to Q8_0, that fits and is fluent; else the usual one, or the smallest.

    Args:
        parameters: of the model; 0 where it is not known.

    Raises:
        ModelNotFoundError: none of them is of a format that pyslm runs.
    """
    budget = int(hardware.memory_bytes * _MEMORY_SHARE)
    known = [variant for variant in variants if bits_per_weight(variant.quant) is not None]
    if not known:
        kinds = ", ".join(variant.quant for variant in variants) or "none"
        raise ModelNotFoundError(f"no variant of a format that pyslm runs; there are: {kinds}")
    known.sort(key=lambda variant: (quality(variant.quant), variant.size_bytes), reverse=True)
    candidates = tuple(_candidate(v, parameters, hardware, budget) for v in known)
    fitting = [c for c in candidates if c.fits]
    memory = f"{hardware.memory_bytes / GIB:.1f} GiB free, {hardware.cores} cores"
    if not fitting:
        least = min(candidates, key=lambda c: c.needed_bytes)
        reason = (
            f"the smallest, and still too large: {_gib(least.needed_bytes)} needed, "
            f"{_gib(budget)} may be taken ({memory})"
        )
        return Choice(least.variant, reason, candidates, fits=False)
    allowed = [c for c in fitting if quality(c.variant.quant) <= quality(_FINEST)] or fitting
    fluent = [c for c in allowed if c.tokens_per_second >= _FLUENT_TOKENS_PER_SECOND]
    good = [c for c in allowed if quality(c.variant.quant) >= quality(_USUAL)]
    if fluent and quality(fluent[0].variant.quant) >= quality(_USUAL):
        chosen, why = fluent[0], "the finest that is fluent here"
    elif good:
        chosen, why = good[-1], "the smallest without much loss; finer ones are slower"
    else:
        chosen, why = allowed[0], "the finest that fits"
    reason = (
        f"{why}: {_gib(chosen.needed_bytes)} of memory, "
        f"about {chosen.tokens_per_second:.0f} tokens/s ({memory})"
    )
    return Choice(chosen.variant, reason, candidates, fits=True)


def _candidate(variant: Variant, parameters: int, hardware: Hardware, budget: int) -> Candidate:
    needed = needed_bytes(variant, parameters)
    speed = hardware.bandwidth / max(variant.size_bytes, 1)
    return Candidate(variant, needed, needed <= budget, speed)


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"
