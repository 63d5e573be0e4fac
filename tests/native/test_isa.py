"""Which tier runs: the best that the CPU has, or the one that PYSLM_ISA names."""

from __future__ import annotations

import platform

import pytest

from pyslm import _native
from pyslm.errors import InvalidRequestError

WORST_FIRST = [
    "scalar", "avx2", "avxvnni", "evexvnni", "avx512", "avx512vnni", "avx512bf16",
    "neon", "dotprod", "i8mm",
]  # fmt: skip


def test_the_best_supported_tier_is_active(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYSLM_ISA", raising=False)
    info = _native.isa_info()
    assert info["supported"] == [tier for tier in WORST_FIRST if tier in info["supported"]]
    assert info["supported"][0] == "scalar"
    assert set(info["supported"]) <= set(info["compiled"])
    assert info["active"] == info["supported"][-1]


@pytest.mark.skipif(platform.system() != "Linux", reason="reads /proc/cpuinfo")
def test_the_kernel_agrees_on_what_the_cpu_has() -> None:
    with open("/proc/cpuinfo") as file:
        flags = set(file.read().split())
    needs = {
        "avx2": {"avx2", "fma", "f16c"},
        "avx512": {"avx512f", "avx512bw", "avx512dq", "avx512vl"},
        "avx512vnni": {"avx512_vnni"},
        "avx512bf16": {"avx512_bf16"},
        "dotprod": {"asimddp"},
        "i8mm": {"i8mm"},
    }
    info = _native.isa_info()
    for tier, wanted in needs.items():
        if tier in info["compiled"]:
            assert (tier in info["supported"]) == (wanted <= flags), tier


def test_a_tier_can_be_forced(monkeypatch: pytest.MonkeyPatch) -> None:
    for tier in _native.isa_info()["supported"]:
        monkeypatch.setenv("PYSLM_ISA", tier)
        assert _native.isa_info()["active"] == tier


def test_a_tier_that_does_not_run_here_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    foreign = "i8mm" if platform.machine() == "x86_64" else "avx2"
    for name in ("sse9", foreign):
        monkeypatch.setenv("PYSLM_ISA", name)
        with pytest.raises(
            InvalidRequestError, match=rf"'{name}' does not run here.*one of: scalar"
        ):
            _native.isa_info()
