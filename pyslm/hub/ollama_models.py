"""Ollama's own models, read where they lie; nothing is ever written there.

Layout (https://github.com/ollama/ollama, server/modelpath.go)::

    models/manifests/<host>/<namespace>/<model>/<tag>    JSON; one layer is the model
    models/blobs/sha256-<hex>
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pyslm.hub.names import TagName, parse_name

__all__ = ["MODEL_LAYER", "ManifestEntry", "manifests", "models_directory", "read_manifest"]

MODEL_LAYER = "application/vnd.ollama.image.model"
DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MAX_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A manifest, and the model's layer in it."""

    name: TagName
    manifest: Path
    digest: str
    size_bytes: int
    annotations: dict[str, str]
    modified: float


def models_directory() -> Path:
    """OLLAMA_MODELS, else the user's own."""
    chosen = os.environ.get("OLLAMA_MODELS")
    return Path(chosen or "~/.ollama/models").expanduser()


def manifests(root: Path) -> Iterator[ManifestEntry]:
    """All models of a store; what is damaged is passed over."""
    with contextlib.suppress(OSError):
        for path in sorted(root.glob("manifests/*/*/*/*")):
            parts = path.relative_to(root / "manifests").parts
            with contextlib.suppress(ValueError):
                name = parse_name("{}/{}/{}:{}".format(parts[0].replace("+", ":"), *parts[1:]))
                if parts[0] == "hf.co":  # there a name of Hugging Face's
                    name = TagName(*parts)
                assert isinstance(name, TagName)
                if (entry := read_manifest(path, name)) is not None:
                    yield entry


def read_manifest(path: Path, name: TagName) -> ManifestEntry | None:
    """The model of a manifest; None where there is none that is sound."""
    try:
        status = path.stat()
        if not path.is_file() or status.st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_bytes())
        layer = next(each for each in document["layers"] if each["mediaType"] == MODEL_LAYER)
        digest = DIGEST.fullmatch(layer["digest"])
        if digest is None:
            return None
        notes: Any = layer.get("annotations") or {}
        annotations = {str(key): str(value) for key, value in notes.items()}
        size = int(layer["size"])
        return ManifestEntry(name, path, digest[1], size, annotations, status.st_mtime)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None
