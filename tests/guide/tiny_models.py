"""Every model that the guide names, served by one small model that says what it is told."""

from __future__ import annotations

from pathlib import Path

from reference.scripted import write_scripted
from stories import stories

NAMES = {  # name -> aliases and tags by which the guide asks for it
    "phi4-mini:3.8b": ("phi-4-mini",),
    "phi4:14b": ("phi-4",),
    "qwen2.5:0.5b": ("qwen2.5-0.5b", "qwen2.5-0.5b-instruct"),
    "qwen2.5-coder:0.5b": ("qwen2.5-coder-0.5b",),
    "phi3.5:3.8b": ("phi-3.5-mini-instruct",),
    "llama3.2:3b": ("llama-3.2-3b-instruct",),
    "codellama:7b": ("codellama-7b",),
    "codegemma:7b": ("codegemma-7b",),
    "tinyllama:1.1b": ("tinyllama-1.1b",),
    "qwen2.5:1.5b": ("qwen2.5-1.5b-instruct",),
}
_TAGS = ("-instruct", "-mini-instruct", "-code", "-chat")
HELLO = ["I can ", "help ", "with that."]
DONE = ["Here is ", "what I ", "found."]
HELLO_TEXT, DONE_TEXT = "".join(HELLO), "".join(DONE)
CUSTOMER_ID = "12345"


def _call(opening: str, name: str, arguments: str) -> list[str]:
    """No two pieces may be alike, so that the white space differs."""
    rest = "\n" if opening[-1] == ">" else ""
    called = f'{rest}{{"name": "{name}", "arguments": '
    return [opening, called, f"{arguments}\n</tool_call>"]


CUES = {
    "<|hello|>": HELLO,
    "<|done|>": DONE,
    "<|technical|>": ["technical"],
    "<|customer|>": ["customer_service"],
    "<|time|>": _call("<tool_call>\n", "get_current_time", "{}}"),
    "<|lookup|>": _call("<tool_call>", "lookup_customer", f'{{"customer_id": "{CUSTOMER_ID}"}}}}'),
    "<|choice|>": ['{"choice": "tech', 'nical"}'],
}
_CHOOSE = (
    "{% set said = messages[-1].content %}"
    "{% if messages[-1].role == 'tool' %}<|done|>"
    "{% elif messages[0].content.startswith('Choose who') %}<|choice|>"
    "{% elif 'Classify' in said %}"
    "{% if 'crash' in said %}<|technical|>{% else %}<|customer|>{% endif %}"
    "{% elif tools and 'time' in said %}<|time|>"
    "{% elif tools and ('order' in said or 'account' in said) %}<|lookup|>"
    "{% else %}<|hello|>{% endif %}"
)


def scripted_model(shared: Path, folder: Path) -> bytes:
    """Of the file."""
    template = (shared / "templates" / "Qwen-Qwen2.5-7B-Instruct.jinja").read_text() + _CHOOSE
    path = folder / "scripted.gguf"
    write_scripted(stories(shared), path, CUES, template)
    return path.read_bytes()


def repository(name: str) -> str:
    """Of the hub."""
    return f"tiny/{name.replace(':', '-')}"


def files(name: str, data: bytes) -> dict[str, bytes]:
    """Of a repository: two quantizations by name."""
    stem = name.replace(":", "-")
    return {f"{stem}-{quant}.gguf": data for quant in ("Q4_K_M", "Q5_K_M")}


def catalog() -> str:
    """A user's own, in which the guide's models are the small one."""
    return "\n".join(_entry(name, aliases) for name, aliases in NAMES.items())


def _entry(name: str, aliases: tuple[str, ...]) -> str:
    size = name.partition(":")[2]
    return f"""
[[model]]
name = "{name}"
title = "{name}"
tags = {[size, *(size + tag for tag in _TAGS)]}
aliases = {list(aliases)}
repository = "{repository(name)}"
file = "{name.replace(":", "-")}-{{quant}}.gguf"
parameters = 260032
context = 4096
variants = ["Q4_K_M", "Q5_K_M"]
license = "mit"
publisher = "Karpathy"
tools = true
"""
