"""New tools come into the training without what a held-out set has."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from pyslm.finetune.data.compile_tools import compile_tools
from pyslm.finetune.data.domains import DomainParam
from pyslm.finetune.evaluation.cases import held_out_source, held_out_values

HELD_OUT = held_out_source("heldout")["tool"]
TOOL: dict[str, list[str]] = {
    "names": ["oil_hinge", "hingeOiling"],
    "about": ["Oil a hinge.", "Greases a door"],
    "params": ["door=like:front door|back gate|hatch 3", "drops=count?", "kind=enum:thin|thick?"],
    "stem": ["oil {door}", "hinge of {door}", "oil {door} with {drops} drops"],
    "para": [
        "{door} squeaks", "the noise of {door} wakes us", "{door} creaks | kind=thick",
        "silence {door} at last", "{drops} drips against the whining of {door}",
    ],
    "gives": ["done_on=date"],
}  # fmt: skip


def compiled(folder: Path, *tools: dict[str, Any], taken: tuple[str, ...] = ()) -> Any:
    def written(tool: dict[str, Any]) -> str:
        return "[[tool]]\n" + "\n".join(f"{k} = {json.dumps(v)}" for k, v in tool.items())

    (folder / "new.toml").write_text("\n".join(map(written, tools)), encoding="utf-8")
    counts = compile_tools(folder / "new.toml", folder / "out.toml", taken)
    return tomllib.loads((folder / "out.toml").read_text(encoding="utf-8")).get("tool", []), +counts


def changed(**parts: list[str]) -> dict[str, Any]:
    """The tool with more in some parts."""
    return {part: [*texts, *parts.get(part, ())] for part, texts in TOOL.items()}


def test_what_fits_is_kept(tmp_path: Path) -> None:
    assert compiled(tmp_path, TOOL) == ([TOOL], {"tools": 1})


def test_what_a_held_out_set_has_is_left_out(tmp_path: Path) -> None:
    held_out = next(tool for tool in HELD_OUT if held_out_values(tool))
    value = min(held_out_values(held_out))
    new = changed(
        names=[held_out["name"]],
        about=[held_out["about"]],
        para=[f"hang {value} at {{door}}", "{door} at Oslo squeals"],
    )
    new["params"][0] += f"|{value}"
    new["params"][1] += f" - How much of {value} it takes"
    (tool,), counts = compiled(tmp_path, new)
    assert tool == changed(para=["{door} at Oslo squeals"])
    assert counts == {"tools": 1, "names": 1, "about": 2, "para": 1, "values": 1}


@pytest.mark.parametrize(
    "line",
    ["{gate} squeaks", "{door} creaks | kind=red", "{door} | kind", "the {kind} one | kind=thin"],
)
def test_requests_that_do_not_fit_are_left_out(tmp_path: Path, line: str) -> None:
    assert compiled(tmp_path, changed(para=[line])) == ([TOOL], {"tools": 1, "para": 1})


def test_requests_without_a_word_are_left_out(tmp_path: Path) -> None:
    assert compiled(tmp_path, changed(para=["{door}, {drops}"]))[1] == {"tools": 1, "para": 1}


def test_items_of_lists_hold_nothing_that_joins_them(tmp_path: Path) -> None:
    tool = changed()
    tool["params"][0] = "door=list:front door|back gate|hatch 3|salt and pepper|one, two - Which"
    (kept,), counts = compiled(tmp_path, tool)
    assert DomainParam.read(kept["params"][0]).values == ("front door", "back gate", "hatch 3")
    assert DomainParam.read(kept["params"][0]).about == "Which"
    assert counts["values"] == 2


def test_tools_of_which_too_little_is_left_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = {**TOOL, "names": ["a"], "para": TOOL["para"][:2]}
    odd = {**TOOL, "names": ["b"], "params": ["door=colour"]}
    tools, counts = compiled(tmp_path, few, odd, TOOL, taken=("OIL_HINGE",))
    assert [tool["names"] for tool in tools] == [["hingeOiling"]]
    assert counts == {"tools": 1, "dropped": 2, "names": 1}
    told = capsys.readouterr().err
    assert "a: of 'para' 2 can be used; allowed: 5 or more" in told
    assert "b: 'colour' is no kind of value" in told
