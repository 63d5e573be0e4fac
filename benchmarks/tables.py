"""The tables of the README, from the code itself, and what it says of the model in the package.

python benchmarks/tables.py            prints them
python benchmarks/tables.py --write    puts them into README.md, between its markers

What is said of nano comes from the report that `python -m pyslm.finetune.release` writes beside it.
Where there is none, the README says nothing of it.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyslm import _native

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
REPORT = ROOT / "pyslm" / "hub" / "nano" / "report.json"
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
    """What pyslm runs."""
    return "\n\n".join((architectures(), formats(), tiers())) + "\n"


# --- the model in the package ---------------------------------------------------------------------


def report() -> dict[str, Any] | None:
    """Of nano; None where the package has no model."""
    if not REPORT.is_file():
        return None
    found: dict[str, Any] = json.loads(REPORT.read_text(encoding="utf-8"))
    return found


def first_command() -> str:
    """What a new user types, and who answers."""
    if report() is None:
        return '    pip install . && pyslm run MODEL.gguf "Why is the sky blue?"\n'
    return (
        '    pip install . && pyslm run "What is the weather in Oslo tomorrow?" --tools demo\n\n'
        "The model that calls the tool comes with pyslm: [nano](#nano). "
        '`pyslm run MODEL.gguf "Why is the sky blue?"` runs\nany other.\n'
    )


def nano() -> str:
    """The chapter about it."""
    told = report()
    if told is None:
        return ""
    asked = told["evaluation"]
    blind = told["blind"]["measures"] if told.get("blind") else {}
    rows = [
        "| Held-out requests that are right | Wanted | Grammar, weighed | Free | Blind set |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, measure in asked["measures"].items():
        shares = [_share(*measure[how]) for how in ("constrained", "free")]
        shares.append(_share(*blind[name]["constrained"]) if blind else "")
        rows.append(f"| {name} | {measure['wanted']:.0%} | {' | '.join(shares)} |")
    goes_on = not told["begun_with"] or told["recipe"].get("begin", 0)
    begun = "nothing" if goes_on else "an earlier one"
    code = f", the last of them at commit {told['commit'][:7]}" if told["commit"] else ""
    table, size = "\n".join(rows), f"{told['bytes'] / 1e6:.1f} MB"
    near = ""
    if told["nearness"]:
        near = f" and, for how near texts are in meaning, {told['nearness']['dimensions']} numbers"
        near += " a token"
    about = f"""\
The model that comes with pyslm, and what `pyslm run`, `pyslm serve` and `Agent` take where none is
named: {told["parameters"] / 1e6:.1f} million parameters{near}, {size}, a context of
{told["context"]:,} tokens. It reads described tools, calls the right one or none, copies the
arguments, asks for what is missing, tells what a result says, and chooses among described agents:
tools and agents it has never seen. It is no general chat model: it knows nothing of the world,
writes no texts, and reads English alone. In agents and servers its tools are weighed: where none is
certain, the best call of each is made, and the best taken, by its likelihood and by how near the
request is in meaning to what the tool is for; agents are chosen so, too. What was said once is not
given to two arguments of a call where something else is likely. Each request of a conversation is
read by itself, with what came before only where it leans on that ("and tomorrow?") or answers a
question; a "send it to Ann" is not understood. Texts in arguments are quoted: the
grammar takes only what the conversation says, from the beginning of a word to the end of one;
without it, signs that it has never seen, such as ° and emoji, may come out wrong, and a time such
as 07:07. Wanted is what we hold it to; where it falls short, it is not there yet. `pyslm pull`
brings larger ones. Requests of up to 1,000 characters are read twice, and counted so."""
    return f"""\
## nano

{textwrap.fill(about, 100, break_on_hyphens=False)}

`pyslm.finetune` [made it](pyslm/finetune/README.md) from {begun}, seed {told["seed"]}, in
{told["steps"]:,} steps of {told["tokens"] / told["steps"]:,.0f} tokens{code}
([report](pyslm/hub/nano/report.json), [loss](pyslm/hub/nano/loss.svg)). What it makes of
{asked["cases"]:,} requests with tools, values, phrasings and schemas that its training never draws
(`python -m pyslm.finetune.evaluate nano`):

{table}

What it does at single requests of the first set was looked at, to see what its training lacks; at
those of the blind set (`--set blind`, by the grammar, weighed) it was not.

`PYSLM_NANO=my.gguf` puts another file in its place, as `pyslm finetune TOOLS.json --out my.gguf`
writes one.
"""


def _share(right: int, total: int) -> str:
    return f"{right / total:.1%} of {total}" if total else "none"


def trained() -> str:
    """Whether what the training makes is here."""
    if report() is None:
        return (
            "No trained model comes with pyslm yet: what two cores made so far calls the right one "
            "of held-out tools too seldom.\n"
        )
    return (
        "`python -m pyslm.finetune.release nano` makes the model of a training the one that comes "
        "with\npyslm; `--start nano` begins a training with that, as `pyslm finetune` does by "
        "itself.\n"
    )


MARKED: dict[str, Callable[[], str]] = {
    "first command": first_command, "nano": nano, "trained": trained, "tables": tables,
}  # fmt: skip
"""What stands between the README's markers of these names."""


def updated(readme: str) -> str:
    """The README's text with all of it made anew."""
    for name, make in MARKED.items():
        begin, end = (
            f"<!-- {name}: python benchmarks/tables.py --write -->\n",
            f"<!-- end of {name} -->",
        )
        before, opening, rest = readme.partition(begin)
        _, closing, after = rest.partition(end)
        if not opening or not closing:
            raise SystemExit(f"README.md has lost its markers of {name}")
        readme = before + opening + make() + closing + after
    return readme


if __name__ == "__main__":
    if sys.argv[1:] == ["--write"]:
        README.write_text(updated(README.read_text(encoding="utf-8")), encoding="utf-8")
    else:
        print("\n".join(make() for make in MARKED.values()))
