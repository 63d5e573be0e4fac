"""Nothing compiled for one ISA can be linked into code that runs on another.

A tier's object may define one global symbol, its table. A weak or unique symbol (an inline function
or template with external linkage) could be chosen by the linker for everyone, and would crash on
CPUs that lack the tier's instructions.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ISA = ROOT / "csrc" / "isa"
NM = shutil.which("nm")
ARM_TIERS = {"neon", "dotprod", "i8mm"}
COMPILED_ANYWHERE = ("scalar", "avx2", "neon")  # without a build tree; the others would take long
TIERS = [path.stem.removeprefix("tier_") for path in sorted(ISA.glob("tier_*.cpp"))]

pytestmark = [
    pytest.mark.skipif(not NM, reason="needs nm (binutils)"),
    pytest.mark.skipif(not TIERS, reason="needs the C++ sources beside the tests"),
]


def built_object(tier: str) -> Path | None:
    """The object of a build: in PYSLM_BUILD_DIR, else in build/ of the source tree."""
    build = Path(os.environ.get("PYSLM_BUILD_DIR") or ROOT / "build")
    return next(iter(build.rglob(f"tier_{tier}.cpp.o")), None)


def flags_of(tier: str) -> list[str]:
    """The tier's -m flags, read from csrc/isa/tiers.cmake."""
    text = (ISA / "tiers.cmake").read_text()
    for _ in range(2):  # a variable may name another
        for name, value in re.findall(r"set\((PYSLM_\w+) ([^)]*)\)", text):
            text = text.replace(f"${{{name}}}", value)
    found = re.search(rf"pyslm_add_tier\(\$\{{target\}} {tier}([^)]*)\)", text)
    assert found, f"tiers.cmake does not build {tier}"
    return found[1].split()


def compiled_object(tier: str, folder: Path) -> Path:
    compiler = "aarch64-linux-gnu-g++" if tier in ARM_TIERS else "g++"
    if platform.machine() in ("aarch64", "arm64"):
        if tier not in ARM_TIERS:
            pytest.skip(f"{tier} is a tier of x86-64")
        compiler = "g++"
    if not shutil.which(compiler):
        pytest.skip(f"neither a build tree (PYSLM_BUILD_DIR) nor {compiler}")
    out = folder / f"{tier}.o"
    flags = ["-std=c++20", "-O0", "-fPIC", "-fno-exceptions", "-fno-rtti", *flags_of(tier)]
    command = [compiler, *flags, f"-I{ROOT / 'csrc'}"]
    source = str(ISA / f"tier_{tier}.cpp")
    subprocess.run([*command, "-c", source, "-o", str(out)], check=True, timeout=240)
    return out


@pytest.mark.parametrize("tier", TIERS)
def test_a_tier_exports_its_table_alone(tier: str, tmp_path: Path) -> None:
    if (path := built_object(tier)) is None:
        if tier not in COMPILED_ANYWHERE:
            pytest.skip("no build tree (PYSLM_BUILD_DIR)")
        path = compiled_object(tier, tmp_path)
    listing = subprocess.run(
        [str(NM), "--defined-only", "--format=posix", str(path)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    symbols = [line.split()[:2] for line in listing.splitlines() if line.strip()]
    if sys.platform == "darwin":  # which puts an underscore before every C name
        symbols = [[name.removeprefix("_"), kind] for name, kind in symbols]
    # Upper case: global; u, v, w: unique and weak ones, which the linker may pick for others.
    shared = [name for name, kind in symbols if kind.isupper() or kind in "uvw"]
    assert shared == [f"_ZN5pyslm{len('kernels_' + tier)}kernels_{tier}E"]
