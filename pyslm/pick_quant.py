"""Which quantization to take, from what it is for and the memory there is.

pick_quant("balanced", memory_bytes=4 << 30, parameters=3_200_000_000)  # "Q4_K_M"
"""

from __future__ import annotations

from collections.abc import Mapping

from pyslm.errors import InsufficientMemoryError, InvalidRequestError

__all__ = ["GOALS", "estimate_file_bytes", "pick_quant"]

GOALS: Mapping[str, str] = {
    "quality": "Q8_0",  # next to lossless
    "high-end": "Q8_0",
    "desktop": "Q5_K_M",
    "balanced": "Q4_K_M",  # what most people want
    "general": "Q4_K_M",
    "mobile": "Q4_K_M",  # and the fastest on basic processors
    "small": "Q3_K_M",
    "extreme": "Q2_K",
}
"""The type for each goal where memory is no concern."""

# Best first; bits per weight of a whole file with the usual mix: of a model with 1 to 10 billion
# parameters, and of a smaller one, whose embedding table (never below 6 bits) is a larger share and
# whose rows are often no multiple of 256.
_LADDER: Mapping[str, tuple[float, float]] = {
    "Q8_0": (8.5, 8.5),
    "Q6_K": (6.6, 8.1),
    "Q5_K_M": (5.9, 6.7),
    "Q4_K_M": (5.2, 6.4),
    "Q3_K_M": (4.5, 5.7),
    "Q2_K": (3.8, 5.4),
}
_OVERHEAD = 1.15
"""Memory of the loaded weights per byte of file."""
_WORKING_BYTES = 256 << 20
"""Caches for a context of a few thousand tokens, buffers, the interpreter."""


def estimate_file_bytes(type: str, parameters: int) -> int:
    """About how large a file of that type is, for the types that `pick_quant` chooses from."""
    if type not in _LADDER:
        raise InvalidRequestError(f"no estimate for type {type!r}; known: {', '.join(_LADDER)}")
    large, small = _LADDER[type]
    return int(parameters * (large if parameters >= 1_000_000_000 else small) / 8)


def pick_quant(goal: str, memory_bytes: int, parameters: int) -> str:
    """The type for `goal`, or the best one below it that fits the memory.

    Args:
        goal: One of `GOALS`, in any case.
        memory_bytes: What the model may use, its caches included.
        parameters: Of the model, in units.

    Raises:
        InvalidRequestError: an unknown goal, or a number below 1.
        InsufficientMemoryError: not even Q2_K fits.
    """
    first = GOALS.get(goal.strip().lower().replace("_", "-"))
    if first is None:
        raise InvalidRequestError(f"unknown goal {goal!r}; choose one of {', '.join(GOALS)}")
    if memory_bytes < 1 or parameters < 1:
        raise InvalidRequestError(
            f"memory_bytes is {memory_bytes} and parameters {parameters}; both must be positive"
        )
    types = list(_LADDER)
    for type in types[types.index(first) :]:
        if _needed_bytes(type, parameters) <= memory_bytes:
            return type
    needed = _needed_bytes("Q2_K", parameters)
    raise InsufficientMemoryError(
        f"a model of {parameters / 1e9:.1f} billion parameters needs {needed / 2**20:,.0f} MiB "
        f"even as Q2_K and there are {memory_bytes / 2**20:,.0f} MiB; take a smaller model"
    )


def _needed_bytes(type: str, parameters: int) -> int:
    return int(_OVERHEAD * estimate_file_bytes(type, parameters)) + _WORKING_BYTES
