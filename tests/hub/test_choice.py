"""Which variant suits which machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyslm.errors import ModelNotFoundError
from pyslm.hub import Hardware, ModelCatalog, choose_variant
from pyslm.hub.catalog import Variant
from pyslm.hub.choice import needed_bytes
from pyslm.hub.quants import quality

GIB = 1 << 30
MODELS = ModelCatalog.load().models


@pytest.mark.parametrize(
    ("name", "gib", "cores", "quant"),
    [
        ("qwen2.5:0.5b", 16, 2, "Q8_0"),
        ("qwen2.5:0.5b", 0.75, 8, "Q6_K"),
        ("qwen2.5:0.5b", 0.5, 8, "Q3_K_M"),
        ("qwen2.5:7b", 32, 2, "Q4_K_M"),
        ("qwen2.5:7b", 5.5, 8, "Q3_K_M"),
        ("llama3.2:3b", 32, 16, "Q8_0"),
        ("llama3.2:3b", 32, 2, "Q4_K_M"),
    ],
)
def test_what_a_person_would_choose(name: str, gib: float, cores: int, quant: str) -> None:
    model = next(model for model in MODELS if model.name == name)
    hardware = Hardware(int(gib * GIB), cores)
    choice = choose_variant(model.variants, model.parameters, hardware)
    assert choice.variant.quant == quant
    assert choice.fits
    assert f"{cores} cores" in choice.reason


def test_nothing_fits_and_it_is_said() -> None:
    model = next(model for model in MODELS if model.name == "phi4:14b")
    choice = choose_variant(model.variants, model.parameters, Hardware(2 * GIB, 4))
    assert not choice.fits
    assert choice.variant == min(model.variants, key=lambda v: v.size_bytes)
    assert "too large" in choice.reason


def test_formats_we_do_not_run_are_not_chosen() -> None:
    variants = [Variant("UD-IQ2_XXS", 10), Variant("IQ3_XS", 20), Variant("Q4_0", 30)]
    assert choose_variant(variants, 0, Hardware(GIB, 1)).variant.quant == "Q4_0"
    with pytest.raises(ModelNotFoundError, match="UD-IQ2_XXS, IQ3_XS"):
        choose_variant(variants[:2], 0, Hardware(GIB, 1))


@given(st.sampled_from(MODELS), st.floats(0.1, 256), st.integers(1, 128), st.floats(1, 4))
def test_more_of_a_machine_never_makes_it_coarser(model, gib, cores, factor) -> None:  # type: ignore[no-untyped-def]
    def chosen(memory: float, num_cores: int) -> int:
        hardware = Hardware(int(memory * GIB), num_cores)
        choice = choose_variant(model.variants, model.parameters, hardware)
        if choice.fits:
            needed = needed_bytes(choice.variant, model.parameters)
            assert needed <= hardware.memory_bytes
        return quality(choice.variant.quant)

    assert chosen(gib * factor, cores) >= chosen(gib, cores)
    assert chosen(gib, int(cores * factor)) >= chosen(gib, cores)
