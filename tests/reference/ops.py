"""The layers' equations. Rows are tokens; everything is float64."""

from __future__ import annotations

from collections.abc import Callable

import gguf
import numpy as np
from scipy.special import erf  # type: ignore[import-untyped]

from .gguf_model import Array


def rms_norm(x: Array, weight: Array, eps: float) -> Array:
    """Zhang and Sennrich 2019, over the last dimension."""
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + eps) * weight


def layer_norm(x: Array, weight: Array, bias: Array, eps: float) -> Array:
    """Ba et al. 2016, over the last dimension."""
    centred = x - x.mean(axis=-1, keepdims=True)
    return centred / np.sqrt(np.mean(centred**2, axis=-1, keepdims=True) + eps) * weight + bias


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


def gelu_tanh(x: Array) -> Array:
    """The approximation that the gemma models were trained with (Hendrycks and Gimpel 2016)."""
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def gelu_erf(x: Array) -> Array:
    """The exact form: x times the normal distribution function."""
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def soft_cap(x: Array, cap: float) -> Array:
    return cap * np.tanh(x / cap) if cap else x


def rope_frequencies(n_rot: int, base: float, factors: Array | None = None) -> Array:
    """Radians per position of each rotated pair, [n_rot / 2] (Su et al. 2021); `factors` divide
    them (llama 3's scaling, phi-3's long rope)."""
    frequencies = base ** (-np.arange(0, n_rot, 2) / n_rot)
    return frequencies if factors is None else frequencies / factors[: n_rot // 2]


def yarn_extrapolated_share(
    n_rot: int, base: float, original_context: int, beta_fast: float = 32, beta_slow: float = 1
) -> Array:
    """How much of each frequency YaRN keeps, [n_rot / 2]: 1 for those that turn `beta_fast` times
    or more within the original context, 0 below `beta_slow`, a ramp over the pairs between."""

    def pair_of(turns: float) -> float:
        return float(n_rot * np.log(original_context / (turns * 2 * np.pi)) / (2 * np.log(base)))

    low = max(np.floor(pair_of(beta_fast)), 0)
    high = min(np.ceil(pair_of(beta_slow)), n_rot - 1)
    ramp = (np.arange(n_rot // 2) - low) / max(high - low, 0.001)
    return 1 - np.clip(ramp, 0, 1)


def rotate_adjacent(x: Array, angles: Array, magnitude: float = 1.0) -> Array:
    """Rotates the pairs (0, 1), (2, 3), ... of each head: x [tokens, heads, head_dim], angles
    [tokens, pairs]. Channels past the last pair stay as they are."""
    cos, sin = _cos_sin(angles, magnitude)
    n_rot = 2 * angles.shape[-1]
    out = x.copy()
    a, b = x[..., 0:n_rot:2], x[..., 1:n_rot:2]
    out[..., 0:n_rot:2] = a * cos - b * sin
    out[..., 1:n_rot:2] = a * sin + b * cos
    return out


def rotate_halves(x: Array, angles: Array, magnitude: float = 1.0) -> Array:
    """As `rotate_adjacent`, on the pairs (0, n/2), (1, n/2 + 1), ... of the n rotated channels."""
    cos, sin = _cos_sin(angles, magnitude)
    half = angles.shape[-1]
    out = x.copy()
    a, b = x[..., :half], x[..., half : 2 * half]
    out[..., :half] = a * cos - b * sin
    out[..., half : 2 * half] = a * sin + b * cos
    return out


def _cos_sin(angles: Array, magnitude: float) -> tuple[Array, Array]:
    return (np.cos(angles) * magnitude)[:, None], (np.sin(angles) * magnitude)[:, None]


def attention(
    q: Array,
    k: Array,
    v: Array,
    mask: Array,
    scale: float,
    cap: float = 0.0,
) -> Array:
    """q [tokens, heads, head_dim], k and v [tokens, kv_heads, ...], mask [tokens, tokens] of 0 and
    -inf. Consecutive groups of query heads share a key head (Ainslie et al. 2023).
    Returns [tokens, heads * value_dim]."""
    group = q.shape[1] // k.shape[1]
    keys, values = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    scores = np.einsum("qhd,khd->hqk", q, keys, optimize=True) * scale
    weights = softmax(soft_cap(scores, cap) + mask)
    return np.einsum("hqk,khd->qhd", weights, values, optimize=True).reshape(len(q), -1)


def as_stored(x: Array, kind: str) -> Array:
    """x as a cache of that type gives it back; q8_0 in blocks of 32 along the last dimension."""
    if kind == "f32":
        return x
    quant = gguf.GGMLQuantizationType[kind.upper()]
    stored = gguf.quants.quantize(x.astype(np.float32), quant)
    return gguf.quants.dequantize(stored, quant).astype(np.float64).reshape(x.shape)


def causal_mask(n: int, window: int = 0) -> Array:
    """[n, n]: a query sees keys at distances 0 .. window - 1, or all earlier ones."""
    distance = np.arange(n)[:, None] - np.arange(n)[None, :]
    seen = (distance >= 0) & ((distance < window) if window else True)
    return np.where(seen, 0.0, -np.inf)


Activation = Callable[[Array], Array]
Rotation = Callable[..., Array]
