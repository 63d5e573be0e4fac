"""The tables of the README, from the code itself.

python benchmarks/tables.py            prints them
python benchmarks/tables.py --write    puts them into README.md, between its markers
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pyslm import _native

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MARKERS = re.compile(
    r"(?<=<!-- tables: python benchmarks/tables.py --write -->\n).*?(?=<!-- end)", re.S
)
PROCESSORS = {"x86_64": "x86-64", "aarch64": "ARM64"}


def formats() -> str:
    """Weight formats, with bits per weight and whether `pyslm quantize` writes them."""
    rows = ["| Format | Bits per weight | Written by `quantize` |", "|---|---:|:---:|"]
    for name, (elems, num_bytes, writable) in sorted(
        _native.weight_formats().items(), key=_by_bits
    ):
        rows.append(f"| {name} | {num_bytes * 8 / elems:g} | {'yes' if writable else ''} |")
    return "\n".join(rows)


def _by_bits(item: tuple[str, tuple[int, int, bool]]) -> tuple[float, str]:
    name, (elems, num_bytes, _) = item
    return -num_bytes / elems, name


def architectures() -> str:
    """Architectures, as GGUF names them."""
    return "Architectures: " + ", ".join(f"`{name}`" for name in _native.architectures()) + "."


def tiers() -> str:
    """The tiers of kernels of each processor, read from the build's own list."""
    rows = ["| Processor | Tiers, best last |", "|---|---|"]
    cmake = (ROOT / "csrc" / "isa" / "tiers.cmake").read_text(encoding="utf-8")
    _, _, body = cmake.partition("function(pyslm_add_isa_tiers")
    common, *branches = re.split(r"\s(?:else)?if\(CMAKE_SYSTEM_PROCESSOR MATCHES ", body)
    for branch in branches:
        processor = next(name for key, name in PROCESSORS.items() if key in branch.split(")")[0])
        names = [*_tier_names(common), *_tier_names(branch)]
        rows.append(f"| {processor} | {', '.join(names)} |")
    return "\n".join(rows)


def _tier_names(cmake: str) -> list[str]:
    return re.findall(r"pyslm_add_tier\(\$\{target\} (\w+)", cmake)


def tables() -> str:
    """All of it, in Markdown."""
    return "\n\n".join((architectures(), formats(), tiers())) + "\n"


def updated(readme: str) -> str:
    """The README's text with its tables made anew."""
    if not MARKERS.search(readme):
        raise SystemExit("README.md has lost the markers of its tables")
    return MARKERS.sub(lambda _: tables(), readme)


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print(tables())
