"""stories260K (llama2.c), and copies of it with other metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reference.rewrite import rewrite

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
