"""The ARM tiers, cross-compiled and run under qemu-aarch64, against the scalar one to the bit."""

from __future__ import annotations

import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

CSRC = Path(__file__).resolve().parents[2] / "csrc"
COMPILER = shutil.which("aarch64-linux-gnu-g++")
EMULATOR = shutil.which("qemu-aarch64")
FLAGS = ["-std=c++20", f"-I{CSRC}", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off"]
# Flags of each tier as csrc/isa/tiers.cmake has them; -O1 for a quick build.
TIER_FLAGS = ["-O1", "-fno-exceptions", "-fno-rtti", "-fno-math-errno", "-fno-trapping-math"]
TIERS = {
    "scalar": [],
    "neon": [],
    "dotprod": ["-march=armv8.2-a+dotprod"],
    "i8mm": ["-march=armv8.2-a+dotprod+i8mm"],
}
# What arm_check.cpp calls; sections that it does not reach (the file reader) are dropped.
LINKED = [
    "backend/cpu/attention.cpp", "backend/cpu/matmul.cpp", "backend/cpu/rows.cpp",
    "core/dtype.cpp", "core/thread_pool.cpp", "isa/select.cpp", "kernels/packed_weight.cpp",
    "kv/paged_cache.cpp",
]  # fmt: skip

pytestmark = [
    pytest.mark.arm,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not COMPILER, reason="needs g++-aarch64-linux-gnu"),
    pytest.mark.skipif(not CSRC.is_dir(), reason="needs the C++ sources beside the tests"),
]


def compile_cpp(*arguments: str) -> None:
    done = subprocess.run(
        [str(COMPILER), *FLAGS, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def build(folder: Path) -> Path:
    defines = [f"-DPYSLM_TIER_{tier}" for tier in TIERS]
    jobs = [
        [*TIER_FLAGS, *flags, "-c", f"{CSRC}/isa/tier_{tier}.cpp", "-o", f"{folder}/{tier}.o"]
        for tier, flags in TIERS.items()
    ]
    sources = [CSRC / name for name in LINKED] + [Path(__file__).with_name("arm_check.cpp")]
    for source in sources:
        sections = ["-O1", "-ffunction-sections", *defines, "-c", str(source)]
        jobs.append([*sections, "-o", f"{folder}/{source.parent.name}_{source.stem}.o"])
    with ThreadPoolExecutor(2) as executor:
        list(executor.map(lambda job: compile_cpp(*job), jobs))
    objects = [str(path) for path in sorted(folder.glob("*.o"))]
    program = folder / "arm_check"
    compile_cpp("-static", "-Wl,--gc-sections", *objects, "-o", str(program))
    return program


@pytest.mark.skipif(not EMULATOR, reason="needs qemu-user")
def test_every_arm_tier_gives_the_scalar_bits(tmp_path: Path) -> None:
    program = build(tmp_path)
    done = subprocess.run(
        [str(EMULATOR), "-cpu", "max", str(program)], capture_output=True, text=True, check=False
    )
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiers: neon dotprod i8mm;" in done.stdout
    # A CPU that has neither extension, and says so.
    done = subprocess.run(
        [str(EMULATOR), "-cpu", "cortex-a72", str(program)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "tiers: neon;" in done.stdout


@pytest.mark.parametrize(
    "source",
    [
        str(path.relative_to(CSRC))
        for path in sorted(CSRC.rglob("*.cpp"))
        if path.parent.name != "bindings" and not path.name.startswith("tier_")
    ],
)
def test_the_rest_of_the_core_compiles_for_arm(source: str) -> None:
    compile_cpp("-fsyntax-only", str(CSRC / source))
