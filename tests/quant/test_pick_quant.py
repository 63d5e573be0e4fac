"""The choice of a quantization; the guide's own table is the source (A10, A20)."""

from __future__ import annotations

import gguf
import pytest

from pyslm.errors import InsufficientMemoryError, InvalidRequestError
from pyslm.pick_quant import GOALS, estimate_file_bytes, pick_quant
from pyslm.quant_mix import MIXES, ModelFacts, TensorShape, target_types

PLENTY = 1 << 40
BEST_FIRST = ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q3_K_M", "Q2_K"]


def test_with_plenty_of_memory_the_goal_decides_as_the_guide_says() -> None:
    for goal, want in {
        "extreme": "Q2_K", "general": "Q4_K_M", "balanced": "Q4_K_M", "quality": "Q8_0",
        "mobile": "Q4_K_M", "desktop": "Q5_K_M", "high-end": "Q8_0", "High_End": "Q8_0",
    }.items():  # fmt: skip
        assert pick_quant(goal, PLENTY, 3_200_000_000) == want


def test_less_memory_never_gives_a_larger_type_nor_one_that_does_not_fit() -> None:
    for goal in GOALS:
        ranks = []
        for memory in range(16 << 30, 3 << 30, -(256 << 20)):
            kind = pick_quant(goal, memory, 4_000_000_000)
            assert estimate_file_bytes(kind, 4_000_000_000) < memory
            ranks.append(BEST_FIRST.index(kind))
        assert ranks == sorted(ranks)
        assert ranks[0] == BEST_FIRST.index(GOALS[goal])


def test_a_model_that_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(InsufficientMemoryError, match=r"8\.0 billion.*MiB even as Q2_K.*1,024 MiB"):
        pick_quant("quality", 1 << 30, 8_000_000_000)


@pytest.mark.parametrize(
    ("parameters", "kind", "published"),
    [  # sizes of files that people download
        (494_032_768, "Q4_K_M", 397_808_192),  # Qwen2.5-0.5B-Instruct
        (1_235_814_400, "Q4_K_M", 807_694_464),  # Llama-3.2-1B-Instruct
        (3_212_749_888, "Q8_0", 3_421_899_296),  # Llama-3.2-3B-Instruct
        (3_212_749_888, "Q4_K_M", 2_019_377_696),
    ],
)
def test_estimates_are_near_the_sizes_of_published_files(
    parameters: int, kind: str, published: int
) -> None:
    assert 0.97 * published <= estimate_file_bytes(kind, parameters) <= 1.06 * published


def test_estimates_are_what_the_mixes_give() -> None:
    """The shape of Llama-3.2-1B, tensor by tensor."""
    matrices = [("token_embd.weight", 2048, 128256)]
    for i in range(16):
        matrices += [(f"blk.{i}.attn_{part}.weight", 2048, 2048) for part in ("q", "output")]
        matrices += [(f"blk.{i}.attn_{part}.weight", 2048, 512) for part in ("k", "v")]
        matrices += [(f"blk.{i}.ffn_{part}.weight", 2048, 8192) for part in ("gate", "up")]
        matrices.append((f"blk.{i}.ffn_down.weight", 8192, 2048))
    tensors = [TensorShape(name, (cols, rows), "F16") for name, cols, rows in matrices]
    parameters = sum(cols * rows for _, cols, rows in matrices)
    for name in BEST_FIRST:
        types = target_types(MIXES[name], ModelFacts(num_layers=16, queries_per_kv=4), tensors)
        sizes = [gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]] for kind in types.values()]
        exact = sum(
            cols * rows // elems * size
            for (_, cols, rows), (elems, size) in zip(matrices, sizes, strict=True)
        )
        assert exact <= estimate_file_bytes(name, parameters) <= 1.03 * exact, name


def test_every_choice_can_be_made() -> None:
    assert set(BEST_FIRST) <= set(MIXES)
    assert set(GOALS.values()) <= set(BEST_FIRST)


@pytest.mark.parametrize(
    ("goal", "memory", "parameters", "message"),
    [
        ("best", 1, 1, "unknown goal 'best'; choose one of quality"),
        ("quality", 0, 1, "memory_bytes is 0"),
        ("quality", 1, -5, "parameters -5"),
    ],
)
def test_nonsense_is_refused(goal: str, memory: int, parameters: int, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        pick_quant(goal, memory, parameters)


def test_no_estimate_for_what_is_never_chosen() -> None:
    with pytest.raises(InvalidRequestError, match="no estimate for type 'Q4_K'"):
        estimate_file_bytes("Q4_K", 10)
