"""Stores in Ollama's layout: its own, which is only read, and pyslm's.

::

    <root>/manifests/<host>/<namespace>/<model>/<tag>    JSON; one layer is the model
    <root>/blobs/sha256-<hex>

(https://github.com/ollama/ollama, server/modelpath.go.) In pyslm's a layer may say, by an
annotation, that its bytes lie elsewhere: mostly in Hugging Face's cache.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pyslm.errors import ModelFileError, ModelNameError
from pyslm.hub.names import HUB_HOST, TagName, parse_name
from pyslm.hub.stored import StoredModel

__all__ = ["Manifests", "ollama_directory"]

_MODEL_LAYER = "application/vnd.ollama.image.model"
_PATH = "io.pyslm.path"
_SOURCE = "io.pyslm.source"
_NAME = "io.pyslm.name"
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MAX_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True, slots=True)
class _Entry:
    """A manifest, and the model's layer in it."""

    name: TagName
    manifest: Path
    digest: str
    size_bytes: int
    annotations: dict[str, str]
    modified: float


class Manifests:
    """The names of one store."""

    def __init__(self, root: Path, origin: Literal["pyslm", "ollama"]) -> None:
        self.root = root
        self.origin: Literal["pyslm", "ollama"] = origin

    def __iter__(self) -> Iterator[StoredModel]:
        """All models; what is damaged is passed over."""
        with contextlib.suppress(OSError):
            for path in sorted(self.root.glob("manifests/*/*/*/*")):
                parts = path.relative_to(self.root / "manifests").parts
                with contextlib.suppress(ModelNameError):
                    model = self._model(path, _name(parts))
                    if model is not None:
                        yield model

    def read(self, name: TagName) -> StoredModel | None:
        """The model of a name; None where there is none that is whole."""
        exact = (name.host, name.namespace, name.model, name.tag)
        for parts in (name.parts, exact):  # Ollama's names keep their case
            model = self._model(self.root.joinpath("manifests", *parts), name)
            if model is not None:
                return model
        return None

    def has(self, digest: str) -> bool:
        """Whether a name stands for these bytes."""
        return any(model.digest == digest for model in self)

    def remove(self, name: TagName) -> None:
        """Takes a name away; the bytes stay."""
        self.root.joinpath("manifests", *name.parts).unlink(missing_ok=True)

    def drop_blob(self, model: StoredModel) -> bool:
        """Removes the bytes, if they are among our blobs; says whether."""
        is_ours = model.path.is_relative_to(self.root / "blobs")
        if is_ours:
            model.path.unlink(missing_ok=True)
        return is_ours

    def adopt(self, source: Path) -> Path:
        """Copies a GGUF file among the blobs.

        Raises:
            ModelFileError, GGUFError: it cannot be read or copied, or is of another kind.
        """
        from pyslm.model_info import check_model_path

        digest = sha256_of(check_model_path(source))
        blob = self.root / "blobs" / f"sha256-{digest}"
        if not blob.is_file():
            blob.parent.mkdir(parents=True, exist_ok=True)
            fresh = blob.with_name(f".{secrets.token_hex(8)}")
            try:
                shutil.copyfile(source, fresh)
                os.replace(fresh, blob)
            except OSError as error:
                raise ModelFileError(f"{source} cannot be copied to {blob}: {error}") from None
            finally:
                fresh.unlink(missing_ok=True)
        return blob

    def write(
        self, name: TagName, digest: str, size: int, path: Path | None, source: str
    ) -> StoredModel:
        """Gives a file a name, at once.

        Args:
            path: where the bytes lie; None: among the blobs.
            source: repository and file, as "owner/repo:file".
        """
        notes = {_NAME: str(name)}
        notes |= {_PATH: str(path.absolute())} if path else {}
        notes |= {_SOURCE: source} if source else {}
        layer = {"mediaType": _MODEL_LAYER, "digest": f"sha256:{digest}", "size": size}
        document = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "layers": [layer | {"annotations": notes}],
        }
        manifest = self.root.joinpath("manifests", *name.parts)
        try:
            manifest.parent.mkdir(parents=True, exist_ok=True)
            fresh = self.root / f".{secrets.token_hex(8)}"
            try:
                fresh.write_text(json.dumps(document), encoding="utf-8")
                os.replace(fresh, manifest)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as error:
            raise ModelFileError(f"{manifest} cannot be written: {error.strerror}") from None
        stored = self.read(name)
        if stored is None:
            raise ModelFileError(f"{path} went away while it was given the name {name}; try again")
        return stored

    def _model(self, path: Path, name: TagName) -> StoredModel | None:
        entry = _read(path, name)
        return self._stored(entry) if entry is not None else None

    def _stored(self, entry: _Entry) -> StoredModel | None:
        """None where the bytes are gone, or others."""
        path = self.root / "blobs" / f"sha256-{entry.digest}"
        source = ""
        if self.origin == "pyslm":
            source = entry.annotations.get(_SOURCE, "")
            if not path.is_file() and entry.annotations.get(_PATH):
                path = Path(entry.annotations[_PATH])
        try:
            size = path.stat().st_size
        except OSError:
            return None
        if size != entry.size_bytes:
            return None
        repo, _, file = source.partition(":")
        return StoredModel(
            name=_as_written(entry),
            path=path,
            digest=entry.digest,
            size_bytes=size,
            modified=entry.modified,
            origin=self.origin,
            repository=repo,
            file=file,
        )


def _name(parts: tuple[str, ...]) -> TagName:
    if parts[0] == HUB_HOST:  # there a name of Hugging Face's
        return TagName(*parts)
    name = parse_name("{}/{}/{}:{}".format(parts[0].replace("+", ":"), *parts[1:]))
    assert isinstance(name, TagName)
    return name


def ollama_directory() -> Path:
    """OLLAMA_MODELS, else the user's own."""
    chosen = os.environ.get("OLLAMA_MODELS")
    return Path(chosen or "~/.ollama/models").expanduser()


def sha256_of(path: Path) -> str:
    """Of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, name: TagName) -> _Entry | None:
    """The model of a manifest; None where there is none that is sound."""
    try:
        status = path.stat()
        if not path.is_file() or status.st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_bytes())
        layer = next(each for each in document["layers"] if each["mediaType"] == _MODEL_LAYER)
        digest = _DIGEST.fullmatch(layer["digest"])
        if digest is None:
            return None
        notes: Any = layer.get("annotations") or {}
        annotations = {str(key): str(value) for key, value in notes.items()}
        size = int(layer["size"])
        return _Entry(name, path, digest[1], size, annotations, status.st_mtime)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, StopIteration):
        return None


def _as_written(entry: _Entry) -> str:
    """The path of a manifest is in lower case; the name may not have been."""
    written = entry.annotations.get(_NAME, "")
    return written if written.lower() == str(entry.name).lower() else str(entry.name)
