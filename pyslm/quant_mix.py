"""Which type each tensor of a model gets under the name of a mix, "Q4_K_M" and its kin.

The choices are those that files of that name have everywhere (llama.cpp made them), so that a
Q4_K_M of ours has the size and the quality that people expect of one: tensors that hurt most when
rounded (the output projection, the attention's value projection, the feed-forward's down
projection of some layers) get more bits.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from pyslm import _native
from pyslm.errors import InvalidRequestError

__all__ = ["MIXES", "Mix", "ModelFacts", "TensorShape", "find_mix", "target_types"]


@dataclasses.dataclass(frozen=True, slots=True)
class Mix:
    """A kind of quantized file."""

    name: str
    base: str
    """The type of every weight that no rule singles out."""
    file_type: int
    """Value of the metadata key `general.file_type` (`gguf.LlamaFileType`)."""

    @property
    def is_float(self) -> bool:
        return self.base in ("F32", "F16", "BF16")


MIXES: Mapping[str, Mix] = {
    name: Mix(name, base, file_type)
    for name, base, file_type in (
        ("F32", "F32", 0),
        ("F16", "F16", 1),
        ("BF16", "BF16", 32),
        ("Q8_0", "Q8_0", 7),
        ("Q6_K", "Q6_K", 18),
        ("Q5_K_M", "Q5_K", 17),
        ("Q5_K_S", "Q5_K", 16),
        ("Q5_1", "Q5_1", 9),
        ("Q5_0", "Q5_0", 8),
        ("Q4_K_M", "Q4_K", 15),
        ("Q4_K_S", "Q4_K", 14),
        ("Q4_1", "Q4_1", 3),
        ("Q4_0", "Q4_0", 2),
        ("Q3_K_L", "Q3_K", 13),
        ("Q3_K_M", "Q3_K", 12),
        ("Q3_K_S", "Q3_K", 11),
        ("Q2_K", "Q2_K", 10),
        ("MXFP4_MOE", "Q8_0", 38),  # the experts MXFP4, all else Q8_0
    )
}

_ALIASES = {"Q5_K": "Q5_K_M", "Q4_K": "Q4_K_M", "Q3_K": "Q3_K_M", "MXFP4": "MXFP4_MOE"}

# For rows that the block of 256 does not divide: about as many bits, in blocks of 32.
_FALLBACK = {"Q2_K": "Q4_0", "Q3_K": "Q4_0", "Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}

_EMBEDDING = "token_embd.weight"

# The value projection, alone or fused with others.
_VALUES = ("attn_v.weight", "attn_qkv.weight", "attn_kv_b.weight")

# Matrices that stay as they are: small, and either looked up or very sensitive.
_KEPT = (
    "_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight",
    "ssm_conv1d.weight", "shortconv.conv.weight", "attn_rel_b.weight", "altup", "laurel",
    "per_layer_model_proj",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, slots=True)
class TensorShape:
    """A tensor of the source file."""

    name: str
    shape: tuple[int, ...]
    """Innermost (contiguous) dimension first."""
    type: str


@dataclasses.dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the rules ask about the model as a whole."""

    num_layers: int
    queries_per_kv: int
    """Query heads that share a key/value head."""
    num_experts: int = 0


def find_mix(name: str) -> Mix:
    """The mix of that name, in any case ("q4_k_m"); "Q4_K" means its usual form, "Q4_K_M".

    Raises:
        InvalidRequestError: no such type; the message lists all.
    """
    key = name.strip().upper().replace("-", "_")
    mix = MIXES.get(_ALIASES.get(key, key))
    if mix is None:
        raise InvalidRequestError(f"unknown type {name!r}; choose one of {', '.join(MIXES)}")
    return mix


def target_types(
    mix: Mix,
    facts: ModelFacts,
    tensors: Sequence[TensorShape],
    token_embedding: str | None = None,
) -> dict[str, str]:
    """The type of every tensor in the file to be written, by name.

    Args:
        token_embedding: of the embedding of tokens; None: as the mix has it.

    Raises:
        InvalidRequestError: MXFP4_MOE for a model without experts; an embedding of a format that
            there is not, or whose blocks do not divide its rows.
    """
    names = {tensor.name for tensor in tensors}
    if mix.name == "MXFP4_MOE" and not any("_exps." in name for name in names):
        raise InvalidRequestError(
            "MXFP4_MOE is for mixtures of experts and this model has none; try Q4_K_M or Q4_0"
        )
    values = sorted({_layer_of(name) for name in names if name.endswith(_VALUES)})
    types = {}
    for tensor in tensors:
        layer = _layer_of(tensor.name)
        place = _Place(
            tensor=tensor,
            layer=layer,
            value_rank=values.index(layer) if layer in values else 0,
            num_values=len(values),
            is_output=tensor.name == "output.weight"
            or (tensor.name == _EMBEDDING and "output.weight" not in names),
        )
        types[tensor.name] = _target(mix, facts, place) if _is_matrix(tensor) else tensor.type
        if tensor.name == _EMBEDDING and token_embedding is not None:
            types[tensor.name] = _checked(token_embedding, tensor)
    return types


def _checked(name: str, tensor: TensorShape) -> str:
    """A format that a tensor is asked to have."""
    formats = _native.weight_formats()
    written = [kind for kind, (_, _, is_written) in formats.items() if is_written]
    kind = name.strip().upper()
    if kind not in written:
        raise InvalidRequestError(
            f"unknown format {name!r} of {tensor.name}; choose one of {', '.join(written)}"
        )
    if tensor.shape[0] % formats[kind][0]:
        raise InvalidRequestError(
            f"{tensor.name} has rows of {tensor.shape[0]}, which blocks of {formats[kind][0]} "
            f"({kind}) do not divide; Q8_0 has blocks of 32"
        )
    return kind


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """A tensor and where it stands in the model."""

    tensor: TensorShape
    layer: int
    value_rank: int
    """How many layers before this one have a value projection."""
    num_values: int
    """How many layers have one."""
    is_output: bool
    """The output projection, or the token embedding that doubles as one."""


def _is_matrix(tensor: TensorShape) -> bool:
    num_dims = max((i + 1 for i, size in enumerate(tensor.shape) if size > 1), default=0)
    return (
        num_dims >= 2
        and tensor.name.endswith("weight")
        and tensor.type in _native.weight_formats()
        and not any(part in tensor.name for part in _KEPT)
    )


def _target(mix: Mix, facts: ModelFacts, place: _Place) -> str:
    if mix.is_float:
        return mix.base
    wanted = _preferred(mix, facts, place)
    row = place.tensor.shape[0]
    for kind in (wanted, _FALLBACK.get(wanted, "F16")):
        if row % _native.weight_formats()[kind][0] == 0:
            return kind
    return "F16"


def _preferred(mix: Mix, facts: ModelFacts, place: _Place) -> str:
    """The type by the rules, before looking at the length of the rows."""
    name = place.tensor.name
    if place.is_output:
        block = _native.weight_formats()[mix.base][0]
        divides = place.tensor.shape[0] % block == 0
        return "Q6_K" if divides and mix.base != "Q8_0" else "Q8_0"
    if mix.name == "MXFP4_MOE":
        return "MXFP4" if "_exps." in name else "Q8_0"
    if name.endswith(_VALUES):
        return _value_type(mix, facts, place)
    if name.endswith("attn_k.weight") and facts.num_experts == 8:
        return "Q8_0"
    if "ffn_down" in name:
        return _down_type(mix, facts, place)
    if name.endswith("attn_output.weight"):
        return _attention_output_type(mix, facts)
    return mix.base


def _value_type(mix: Mix, facts: ModelFacts, place: _Place) -> str:
    if facts.num_experts == 8:  # so small beside the experts that it may as well be exact
        return "Q8_0"
    rank = place.value_rank
    match mix.name:
        case "Q2_K":
            return "Q4_K" if facts.queries_per_kv >= 4 else "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if rank < 2 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_S" if rank < 4:
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _gets_more_bits(rank, place.num_values):
            return "Q6_K"
    return mix.base


def _down_type(mix: Mix, facts: ModelFacts, place: _Place) -> str:
    layer, num_layers = place.layer, facts.num_layers
    match mix.name:
        case "Q2_K":
            return "Q3_K"
        case "Q3_K_M":
            return "Q5_K" if layer < num_layers // 16 else "Q4_K"
        case "Q3_K_L":
            return "Q5_K"
        case "Q4_K_S" if layer < num_layers // 8:
            return "Q5_K"
        case "Q4_K_M" | "Q5_K_M" if _gets_more_bits(layer, num_layers):
            return "Q6_K"
    return mix.base


def _attention_output_type(mix: Mix, facts: ModelFacts) -> str:
    if facts.num_experts == 8:
        small = ("Q2_K", "Q3_K_S", "Q3_K_M", "Q4_K_S", "Q4_K_M")
        return "Q5_K" if mix.name in small else mix.base
    return {"Q2_K": "Q3_K", "Q3_K_M": "Q4_K", "Q3_K_L": "Q5_K"}.get(mix.name, mix.base)


def _gets_more_bits(layer: int, num_layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    eighth = num_layers // 8
    return layer < eighth or layer >= 7 * num_layers // 8 or (layer - eighth) % 3 == 2


def _layer_of(name: str) -> int:
    """3 for "blk.3.attn_v.weight"; 0 for a tensor outside the layers."""
    parts = name.split(".")
    return int(parts[1]) if parts[0] == "blk" and len(parts) > 2 and parts[1].isdigit() else 0
