"""How models are named.

Two kinds, both of plain ASCII, so that no two names look alike and none leaves its directory::

    [host/][namespace/]model[:tag]     as Ollama writes them; a path of manifests
    hf:owner/repo[:quant]              a repository of Hugging Face; also hf.co/owner/repo[:quant]
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from pyslm.errors import ModelNameError

__all__ = ["EMBEDDED", "HubName", "TagName", "is_path", "is_sentence", "parse_name"]

HOST = "registry.ollama.ai"
NAMESPACE = "library"
HUB_HOST = "hf.co"
EMBEDDED = ("nano", "pyslm-nano")
"""What the model that comes with the package is called: see `pyslm.hub.embedded`."""

_MAX_CHARS = 350
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}")
_HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}(:\d{1,5})?")
_HUB_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")
_HUB_PREFIXES = ("hf:", "hf.co/", "huggingface.co/")
_ALLOWED = "allowed: a path, hf:owner/repo[:quant], or [namespace/]model[:tag] in plain letters"


@dataclasses.dataclass(frozen=True, slots=True)
class TagName:
    """A name of Ollama's kind."""

    host: str
    namespace: str
    model: str
    tag: str

    def __str__(self) -> str:
        """As short as it may be written; the tag "latest" is left out."""
        parts = [self.model if self.tag == "latest" else f"{self.model}:{self.tag}"]
        if self.namespace != NAMESPACE or self.host != HOST:
            parts.insert(0, self.namespace)
        if self.host != HOST:
            parts.insert(0, self.host)
        return "/".join(parts)

    @property
    def full(self) -> str:
        """With the tag."""
        return f"{self}:latest" if self.tag == "latest" else str(self)

    @property
    def parts(self) -> tuple[str, str, str, str]:
        """The components of the manifest's path, in lower case: some file systems know no other."""
        host = self.host.replace(":", "+")  # ":" is no part of a file name everywhere
        return host.lower(), self.namespace.lower(), self.model.lower(), self.tag.lower()


@dataclasses.dataclass(frozen=True, slots=True)
class HubName:
    """A repository of Hugging Face, and which of its files."""

    repo: str
    quant: str | None = None
    """A quantization as "Q4_K_M", or a file name; None: chosen for this machine."""

    def __str__(self) -> str:
        return f"{HUB_HOST}/{self.repo}" + (f":{self.quant}" if self.quant else "")

    def tag_name(self, quant: str) -> TagName:
        """Where the store keeps it."""
        owner, _, repo = self.repo.partition("/")
        return TagName(HUB_HOST, owner, repo[:80], quant)


def parse_name(text: str) -> TagName | HubName:
    """What a name says.

    Raises:
        ModelNameError: it is none.
    """
    if not text or len(text) > _MAX_CHARS or not text.isascii():
        raise _refused(text)
    for prefix in _HUB_PREFIXES:
        if text.lower().startswith(prefix):
            return _hub_name(text, text[len(prefix) :])
    return _tag_name(text)


def is_path(text: str) -> bool:
    """Whether a text is meant for a file rather than a name."""
    if text.startswith((".", "/", "~", "\\")) or (
        text.lower().endswith(".gguf") and ":" not in text
    ):
        return True
    try:
        path = Path(text)
        # A folder of that name is that of a training, which is no model.
        return path.is_file() if text.lower() in EMBEDDED else path.exists()
    except (OSError, ValueError):  # too long, or with a NUL
        return False


def is_sentence(text: str) -> bool:
    """Whether a text can be no name, not even a mistyped one, and no path either: it has several
    words, or signs that no name has. "-" stands for a text that comes from a pipe."""
    if not text.strip() or is_path(text):
        return False
    return len(text.split()) > 1 or not text.isascii() or text[-1] in "?!" or text == "-"


def _hub_name(text: str, rest: str) -> HubName:
    repo, colon, quant = rest.partition(":")
    owner, slash, name = repo.partition("/")
    parts = (owner, name)
    sound = slash and all(_HUB_PART.fullmatch(part) and ".." not in part for part in parts)
    if not sound or "--" in repo or (colon and not _PART.fullmatch(quant)):
        raise _refused(text)
    return HubName(repo, quant or None)


def _tag_name(text: str) -> TagName:
    *before, last = text.split("/")
    model, colon, tag = last.partition(":")
    host = before.pop(0) if len(before) == 2 else HOST
    namespace = before.pop() if before else NAMESPACE
    names = (namespace, model, tag or "latest")
    sound = not before and _HOST.fullmatch(host) and ".." not in host
    if not sound or (colon and not tag) or not all(_PART.fullmatch(name) for name in names):
        raise _refused(text)
    return TagName(host, *names)


def _refused(text: str) -> ModelNameError:
    shown = ascii(text if len(text) <= 80 else f"{text[:77]}...")
    hint = f" (or name the folder: .{os.sep}...)" if os.sep in text else ""
    return ModelNameError(f"{shown} is not the name of a model; {_ALLOWED}{hint}")
