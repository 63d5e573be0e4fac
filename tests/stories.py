"""stories260K (llama2.c), and copies of it with other metadata."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reference.rewrite import rewrite
from reference.scripted import write_scripted

PROMPT = "Once upon a time"
STORY = ", there was a little girl named Lily. She loved to play outside in the park."
LONG_CONTEXT = 100_000

# Turns begin with the role; the model's own tokens end them.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}Once upon a time{% endif %}"
)


def stories(shared: Path) -> Path:
    """The model as it is: F32, a context of 512."""
    return shared / "models" / "stories260K.gguf"


def long_stories(shared: Path, folder: Path) -> Path:
    """One that says it can go on for a long time, for tests that interrupt it."""
    return _changed(shared, folder / "long.gguf", {"llama.context_length": LONG_CONTEXT})


def chat_stories(shared: Path, folder: Path) -> Path:
    """One with a chat template."""
    return _changed(shared, folder / "chat.gguf", {"tokenizer.chat_template": CHAT_TEMPLATE})


def _changed(shared: Path, target: Path, metadata: dict[str, Any]) -> Path:
    return rewrite(stories(shared), target, metadata=metadata)


def calling_model(
    shared: Path,
    target: Path,
    call: Sequence[str],
    answer: Sequence[str],
    template: str = "Qwen-Qwen2.5-7B-Instruct",
) -> Path:
    """One that says `call`, and `answer` once it is told a result; both in pieces, see
    `write_scripted`."""
    source = (shared / "templates" / f"{template}.jinja").read_text()
    source += "{% if messages[-1].role == 'tool' %}<|answer|>{% else %}<|call|>{% endif %}"
    cues = {"<|call|>": call, "<|answer|>": answer}
    return write_scripted(stories(shared), target, cues, source)
