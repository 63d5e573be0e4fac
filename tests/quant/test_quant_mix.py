"""Types per tensor. The expectations are facts of published files; the test against llama.cpp
itself is in test_against_llama_cpp.py."""

from __future__ import annotations

import pytest

from pyslm.errors import InvalidRequestError
from pyslm.quant_mix import MIXES, ModelFacts, TensorShape, find_mix, target_types


def model(layers: int, width: int = 2048, ffn: int = 8192, tied: bool = True) -> list[TensorShape]:
    tensors = [("token_embd.weight", (width, 1000)), ("output_norm.weight", (width,))]
    if not tied:
        tensors.append(("output.weight", (width, 1000)))
    for i in range(layers):
        tensors.append((f"blk.{i}.attn_norm.weight", (width,)))
        tensors.append((f"blk.{i}.attn_q.bias", (width,)))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"):
            tensors.append((f"blk.{i}.{name}.weight", (width, 64)))
        tensors.append((f"blk.{i}.ffn_down.weight", (ffn, 64)))
    return [
        TensorShape(name, shape, "F32" if len(shape) == 1 else "F16") for name, shape in tensors
    ]


def layers_of(types: dict[str, str], part: str, kind: str) -> list[int]:
    return [
        int(name.split(".")[1])
        for name, value in types.items()
        if f".{part}." in name and value == kind
    ]


def test_q4_k_m_of_a_sixteen_layer_llama() -> None:
    types = target_types(MIXES["Q4_K_M"], ModelFacts(16, 4), model(16))
    promoted = [0, 1, 4, 7, 10, 13, 14, 15]
    assert layers_of(types, "attn_v", "Q6_K") == promoted
    assert layers_of(types, "ffn_down", "Q6_K") == promoted
    assert layers_of(types, "attn_v", "Q4_K") == [i for i in range(16) if i not in promoted]
    for part in ("attn_q", "attn_k", "attn_output", "ffn_gate", "ffn_up"):
        assert layers_of(types, part, "Q4_K") == list(range(16))
    assert types["token_embd.weight"] == "Q6_K"  # it is the output projection too
    untied = target_types(MIXES["Q4_K_M"], ModelFacts(16, 4), model(16, tied=False))
    assert untied["token_embd.weight"] == "Q4_K"
    assert untied["output.weight"] == "Q6_K"


@pytest.mark.parametrize("name", MIXES)
def test_vectors_are_never_touched(name: str) -> None:
    tensors = [*model(2), TensorShape("blk.0.ffn_up_exps.weight", (2048, 4, 2), "F16")]
    types = target_types(MIXES[name], ModelFacts(2, 1), tensors)
    for tensor in tensors:
        if len(tensor.shape) == 1:
            assert types[tensor.name] == "F32"


@pytest.mark.parametrize(
    ("name", "want"),
    [
        ("Q2_K", "Q4_0"), ("Q3_K_S", "Q4_0"), ("Q4_K_M", "Q5_0"), ("Q5_K_M", "Q5_1"),
        ("Q6_K", "Q8_0"), ("Q4_0", "Q4_0"), ("Q8_0", "Q8_0"),
    ],
)  # fmt: skip
def test_rows_that_256_does_not_divide_fall_back(name: str, want: str) -> None:
    types = target_types(MIXES[name], ModelFacts(4, 1), model(4, width=896, ffn=4864))
    assert set(layers_of(types, "attn_q", want)) == {0, 1, 2, 3}


def test_rows_that_32_does_not_divide_become_f16() -> None:
    types = target_types(MIXES["Q4_K_M"], ModelFacts(1, 1), model(1, width=100))
    assert types["blk.0.attn_q.weight"] == "F16"
    assert types["blk.0.ffn_down.weight"] in ("Q4_K", "Q6_K")


@pytest.mark.parametrize(
    ("given", "want"),
    [("q4_k_m", "Q4_K_M"), ("Q4_k", "Q4_K_M"), (" q8_0 ", "Q8_0"), ("bf16", "BF16"),
     ("q5_K_S", "Q5_K_S"), ("mxfp4", "MXFP4_MOE"), ("Q4-K-M", "Q4_K_M")],
)  # fmt: skip
def test_names_in_any_case(given: str, want: str) -> None:
    assert find_mix(given).name == want


@pytest.mark.parametrize("given", ["", "Q4", "IQ4_XS", "int8", "Q9_K_M"])
def test_an_unknown_name_lists_what_there_is(given: str) -> None:
    with pytest.raises(InvalidRequestError, match=r"unknown type .*choose one of F32, F16.*Q4_K_M"):
        find_mix(given)


def test_file_types_are_the_gguf_package_s() -> None:
    import gguf

    for mix in MIXES.values():
        wanted = "ALL_F32" if mix.name == "F32" else f"MOSTLY_{mix.name}"
        assert gguf.LlamaFileType[wanted] == mix.file_type


def test_mxfp4_is_for_experts() -> None:
    with pytest.raises(InvalidRequestError, match="mixtures of experts and this model has none"):
        target_types(MIXES["MXFP4_MOE"], ModelFacts(4, 1), model(4))


def test_the_embedding_may_have_a_format_of_its_own() -> None:
    facts = ModelFacts(2, 1)
    plain = target_types(MIXES["Q6_K"], facts, model(2))
    types = target_types(MIXES["Q6_K"], facts, model(2), token_embedding="q4_k")
    assert types == plain | {"token_embd.weight": "Q4_K"}
    with pytest.raises(InvalidRequestError, match=r"unknown format 'Q7_K'.*choose one of.*Q4_K"):
        target_types(MIXES["Q6_K"], facts, model(2), token_embedding="Q7_K")
    with pytest.raises(InvalidRequestError, match=r"rows of 96, which blocks of 256 \(Q4_K\)"):
        target_types(MIXES["Q6_K"], facts, model(2, width=96), token_embedding="Q4_K")
