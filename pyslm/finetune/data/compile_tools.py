"""Takes new tools into the training: a file as those of `tools/` are, written by whomever.

    python -m pyslm.finetune.data.compile_tools NEW.toml NAME

writes tools/NAME.toml, without what a held-out set has as well (nobody need know what that is),
without names that are taken and requests that do not fit their tool, and tells how many went.
CONTRIBUTING.md says what a good tool is.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyslm.errors import InvalidRequestError
from pyslm.finetune.data.domains import DomainParam
from pyslm.finetune.data.files import load_toml
from pyslm.finetune.data.names import content_words
from pyslm.finetune.data.template import Template
from pyslm.finetune.evaluation.cases import SETS, held_out_source, held_out_values
from pyslm.new_file import replacing

__all__ = ["compile_tools"]

_FOLDER = Path(__file__).parent / "tools"
_WITH_SAMPLES = ("like", "list")
_LEAST = {"names": 1, "about": 1, "stem": 3, "para": 5}
_PLACE = re.compile(r"\{\w+\}")


def compile_tools(source: Path, out: Path, taken: Iterable[str]) -> Counter[str]:
    """Writes the tools of `source` that can be used to `out`.

    Args:
        taken: names that other tools have.

    Returns:
        "tools" that were written, and what was left out: "dropped" tools, and "names", "about",
        "stem", "para" and "values" of others.

    Raises:
        OSError, tomllib.TOMLDecodeError: `source` cannot be read.
    """
    entries = tomllib.loads(source.read_text(encoding="utf-8"))["tool"]
    names, held_out, counts = {name.lower() for name in taken}, _HeldOut(), Counter[str]()
    kept = []
    for entry in entries:
        left_out = Counter[str]()
        try:
            tool = _fitting(entry, names, held_out, left_out)
        except InvalidRequestError as error:
            print(f"{', '.join(entry['names'][:1])}: {error}", file=sys.stderr)
            counts["dropped"] += 1
            continue
        kept.append(tool)
        names |= {name.lower() for name in tool["names"]}
        counts.update(left_out)
    counts["tools"] = len(kept)
    with replacing(out) as partial:
        partial.write_text("\n\n".join(map(_toml, kept)) + "\n", encoding="utf-8")
    return counts


class _HeldOut:
    """What no file of the training may hold."""

    def __init__(self) -> None:
        tools = [(tool, source) for source in map(held_out_source, SETS) for tool in source["tool"]]
        self._texts = {join.lower() for _, source in tools for join in source["joins"]}
        for tool, _ in tools:
            said = (*tool["stem"], *tool["para"], *tool["lack"])
            texts = (tool["name"], tool["about"], tool["act"], *said)
            self._texts |= {text.lower() for text in texts}
        values = {value for tool, _ in tools for value in held_out_values(tool)}
        self._values = re.compile("|".join(rf'["| ]{re.escape(value)}["| ]' for value in values))

    def has(self, text: str) -> bool:
        return text.lower() in self._texts or self._values.search(f'"{text}"') is not None


def _fitting(
    entry: Mapping[str, Any], taken: set[str], held_out: _HeldOut, left_out: Counter[str]
) -> dict[str, list[str]]:
    params = [_param(text, held_out, left_out) for text in entry["params"]]
    known = {param.key: param for param in params}
    fits: dict[str, Callable[[str], bool]] = {
        "names": lambda text: text.lower() not in taken,
        "about": bool,
        "stem": lambda text: _is_request(text, known),
        "para": lambda text: _is_request(text, known) and _says_something(text),
    }
    tool = {}
    for part, least in _LEAST.items():
        tool[part] = [text for text in entry[part] if fits[part](text) and not held_out.has(text)]
        left_out[part] += len(entry[part]) - len(tool[part])
        if len(tool[part]) < least:
            raise InvalidRequestError(
                f"of {part!r} {len(tool[part])} can be used; allowed: {least} or more"
            )
    tool["params"] = [_written(param) for param in params]
    tool["gives"] = list(entry["gives"])
    return {part: tool[part] for part in ("names", "about", "params", "stem", "para", "gives")}


def _param(text: str, held_out: _HeldOut, left_out: Counter[str]) -> DomainParam:
    param = DomainParam.read(text)
    if param.kind not in {*load_toml("kinds.toml"), "bool", "enum", "choice", *_WITH_SAMPLES}:
        raise InvalidRequestError(
            f"{param.kind!r} is no kind of value; `domains` says which there are"
        )
    if held_out.has(param.about):
        param = replace(param, about="")
        left_out["about"] += 1
    if param.kind not in _WITH_SAMPLES:
        return param
    values = [value for value in param.values if not held_out.has(value)]
    if param.kind == "list":  # what joins its items cannot stand in one
        values = [value for value in values if "," not in value and " and " not in value]
    left_out["values"] += len(param.values) - len(values)
    if len(values) < 3:
        raise InvalidRequestError(
            f"{param.key!r} has {len(values)} values that can be used; allowed: 3 or more"
        )
    return replace(param, values=tuple(values))


def _is_request(text: str, params: Mapping[str, DomainParam]) -> bool:
    """Whether its places and what it implies are arguments of the tool."""
    try:
        template = Template.read(text)
    except InvalidRequestError:
        return False
    implied = dict(template.implied)
    if not (template.slots | implied.keys()) <= params.keys() or template.slots & implied.keys():
        return False
    if any(params[slot].kind == "bool" for slot in template.slots):
        return False
    allowed = {"bool": ("true", "false")}
    return all(
        value in (params[slot].values if params[slot].kind == "enum" else allowed["bool"])
        for slot, value in implied.items()
        if params[slot].kind in ("enum", "bool")
    )


def _says_something(text: str) -> bool:
    """One without a word of its own would fit any tool with such arguments."""
    return bool(content_words(_PLACE.sub(" ", text.partition(" | ")[0]).lower()))


def _written(param: DomainParam) -> str:
    values = f":{'|'.join(param.values)}" if param.values else ""
    about = f" - {param.about}" if param.about else ""
    return f"{param.key}={param.kind}{values}{'' if param.required else '?'}{about}"


def _toml(tool: Mapping[str, list[str]]) -> str:
    lines = (
        f"{part} = [{', '.join(json.dumps(text, ensure_ascii=False) for text in texts)}]"
        for part, texts in tool.items()
    )
    return "\n".join(["[[tool]]", *lines])


def main(source: Path, name: str) -> None:
    out = _FOLDER / f"{name}.toml"
    taken = [
        told
        for path in _FOLDER.glob("*.toml")
        if path != out
        for entry in tomllib.loads(path.read_text(encoding="utf-8")).get("tool", ())
        for told in entry["names"]
    ]
    print(", ".join(f"{part}: {n}" for part, n in compile_tools(source, out, taken).items()))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m pyslm.finetune.data.compile_tools NEW.toml NAME")
    main(Path(sys.argv[1]), sys.argv[2])
