"""The models of this machine, by name.

pyslm keeps names, and few bytes: a name is a manifest, of the form and in the layout that Ollama's
registry has, whose layer says where the file lies (its annotation), which mostly is Hugging Face's
cache. Files that belong to nobody else are blobs beside it::

    <store>/manifests/<host>/<namespace>/<model>/<tag>
    <store>/blobs/sha256-<hex>

PYSLM_MODELS names another directory than the user's own for data.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from pyslm.errors import (
    DownloadError,
    InvalidRequestError,
    ModelFileError,
    ModelNameError,
    ModelNotDownloadedError,
    ModelNotFoundError,
)
from pyslm.hub import hf_cache, hf_download, ollama_models
from pyslm.hub.catalog import CatalogModel, ModelCatalog, Variant
from pyslm.hub.choice import Hardware, choose_variant
from pyslm.hub.names import HubName, TagName, is_path, parse_name
from pyslm.hub.ollama_models import MODEL_LAYER, ManifestEntry
from pyslm.hub.progress import PullProgress
from pyslm.hub.quants import canonical_quant, quality, quant_of_file

__all__ = ["ModelStore", "StoredModel", "resolve", "store_directory"]

_PATH = "io.pyslm.path"
_SOURCE = "io.pyslm.source"
_NAME = "io.pyslm.name"
Tell = Callable[[PullProgress], None]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class StoredModel:
    """A model on this machine."""

    name: str
    """By which it is asked for; "latest" is left out."""
    path: Path
    digest: str
    """SHA-256 in hex; "" where nobody has reckoned it."""
    size_bytes: int
    modified: float
    """Seconds since 1970."""
    origin: Literal["pyslm", "ollama", "huggingface"]
    """Whose it is."""
    repository: str = ""
    """Of Hugging Face, where it came from there."""
    file: str = ""

    @property
    def quant(self) -> str | None:
        """As the file's name or the tag tells."""
        tag = self.name.rpartition(":")[2]
        return quant_of_file(self.file) or quant_of_file(f"-{tag}")


class ModelStore:
    """Lists, finds, pulls, copies and removes models. Its methods block; see `pull_events`."""

    def __init__(self, root: Path | None = None, catalog: ModelCatalog | None = None) -> None:
        """Reads nothing yet.

        Args:
            root: of pyslm's own names; None: `store_directory`.
        """
        self.root = root or store_directory()
        self._catalog = catalog

    @property
    def catalog(self) -> ModelCatalog:
        """The models known by name."""
        if self._catalog is None:
            self._catalog = ModelCatalog.load()
        return self._catalog

    # --- what there is ------------------------------------------------------------------------

    def list(self) -> list[StoredModel]:
        """All, the newest first; files that have a name of ours are not told again by theirs."""
        found = [*self._own(), *self._of_ollama()]
        named = {model.path.resolve() for model in found}
        taken = {model.name.lower() for model in found}
        for model in self._of_hugging_face():
            if model.path.resolve() not in named and model.name.lower() not in taken:
                found.append(model)
        return sorted(found, key=lambda model: model.modified, reverse=True)

    def find(self, name: str) -> StoredModel:
        """The model that a name means, if it is here. Paths are no names.

        Raises:
            ModelNameError: it is no name.
            ModelNotDownloadedError: it is known, but not here.
            ModelNotFoundError: it is not known.
        """
        parsed = parse_name(name)
        if isinstance(parsed, HubName):
            model = self._on_disk(parsed.repo, parsed.quant)
            if model is None:
                raise _not_here(str(parsed), str(parsed))
            tag = parsed.quant or model.quant or "latest"
            return self._by_manifest(parsed.tag_name(tag)) or model
        return self._by_manifest(parsed) or self._by_catalog(name, parsed)

    def describe(self, name: str) -> CatalogModel | None:
        """What the catalog says of a name; None where it says nothing."""
        known = self.catalog.find(name.removesuffix(":latest"))
        if known is not None:
            return known[0]
        try:
            parsed = parse_name(name)
        except ModelNameError:
            return None
        repo = parsed.repo.lower() if isinstance(parsed, HubName) else ""
        return next((m for m in self.catalog.models if m.repository.lower() == repo), None)

    def _by_manifest(self, name: TagName) -> StoredModel | None:
        for root, origin in ((self.root, "pyslm"), (ollama_models.models_directory(), "ollama")):
            path = root.joinpath("manifests", *name.parts)
            if origin == "ollama" and not path.is_file():  # its names keep their case
                path = root.joinpath("manifests", name.host, name.namespace, name.model, name.tag)
            entry = ollama_models.read_manifest(path, name)
            model = self._stored(entry, root) if entry is not None else None
            if model is not None:
                return model
        return None

    def _by_catalog(self, name: str, parsed: TagName) -> StoredModel:
        known = self.catalog.find(name.removesuffix(":latest"))
        if known is None:
            similar = self.catalog.similar(name)
            hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
            raise ModelNotFoundError(
                f"there is no model {str(parsed)!r} here or in the catalog{hint} Give a path, "
                "hf:owner/repo, or a name of `pyslm list --catalog`"
            )
        catalog_model, quant = known
        for twin in self._twins(catalog_model, quant):
            return twin
        model = self._on_disk(catalog_model.repository, quant, catalog_model)
        if model is None:
            raise _not_here(name, f"hf.co/{catalog_model.repository}")
        return dataclasses.replace(model, name=str(parsed))

    def _twins(self, model: CatalogModel, quant: str | None) -> Iterator[StoredModel]:
        """The same under another of its names, of ours or Ollama's."""
        for stored in (*self._own(), *self._of_ollama()):
            known = self.catalog.find(stored.name)
            if known is not None and known[0] == model and quant in (None, known[1], stored.quant):
                yield stored

    def _on_disk(
        self, repo: str, quant: str | None, model: CatalogModel | None = None
    ) -> StoredModel | None:
        """In Hugging Face's cache; without a quantization the one that suits this machine."""
        cached = [f for f in hf_cache.cached_files(repo) if _fits(f.file, quant)]
        if not cached:
            return None
        if len(cached) > 1:
            variants = [Variant(f.quant or "", f.size_bytes, True, f.file) for f in cached]
            parameters = model.parameters if model else 0
            try:
                best = choose_variant(variants, parameters, Hardware.here()).variant.file
            except ModelNotFoundError:
                best = cached[0].file
            cached = [f for f in cached if f.file == best]
        return _of_cache(cached[0])

    def _own(self) -> Iterator[StoredModel]:
        for entry in ollama_models.manifests(self.root):
            model = self._stored(entry, self.root)
            if model is not None:
                yield model

    def _of_ollama(self) -> Iterator[StoredModel]:
        root = ollama_models.models_directory()
        for entry in ollama_models.manifests(root):
            model = self._stored(entry, root)
            if model is not None:
                yield model

    def _of_hugging_face(self) -> Iterator[StoredModel]:
        yield from map(_of_cache, hf_cache.cached_files())

    def _stored(self, entry: ManifestEntry, root: Path) -> StoredModel | None:
        """None where the bytes are gone, or others."""
        path = root / "blobs" / f"sha256-{entry.digest}"
        source = ""
        if root == self.root:
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
            origin="pyslm" if root == self.root else "ollama",
            repository=repo,
            file=file,
        )

    # --- what changes it ----------------------------------------------------------------------

    def pull(
        self,
        name: str,
        tell: Tell = lambda progress: None,
        *,
        force: bool = False,
        token: str | None = None,
    ) -> StoredModel:
        """Downloads a model and keeps it under this name.

        Args:
            tell: hears how far it is; what it raises stops the download.
            force: fetch it though it is here.
            token: of Hugging Face; None: the user's own.

        Raises:
            ModelNameError: it is no name.
            ModelNotFoundError: neither the catalog nor the hub knows it.
            DownloadError: it did not come.
        """
        from pyslm.hub import hf_download

        tell(PullProgress("resolving"))
        parsed = parse_name(name)
        repo, quant, model = self._source(name, parsed)
        files = hf_download.list_files(repo, token)
        remote = _pick(files, repo, quant, model)
        path = hf_download.fetch(remote, tell, token=token, force=force)
        if isinstance(parsed, HubName):
            parsed = parsed.tag_name(quant or remote.quant or "latest")
        source = f"{remote.repo}:{remote.file}"
        stored = self._write(parsed, remote.digest, remote.size_bytes, path, source)
        done = PullProgress(
            "success", remote.digest, remote.size_bytes, remote.size_bytes, model=stored
        )
        tell(done)
        return stored

    def copy(self, source: str, destination: str) -> StoredModel:
        """Gives a model a further name.

        Raises:
            ModelNameError, ModelNotFoundError: as `find`.
        """
        new = _own_name(destination)
        model = self.find(source)
        digest = model.digest or _sha256(model.path)
        about = f"{model.repository}:{model.file}" if model.repository else ""
        return self._write(new, digest, model.size_bytes, model.path, about)

    def adopt(self, path: str | os.PathLike[str], name: str) -> StoredModel:
        """Copies a GGUF file into the store, under a name.

        Raises:
            ModelNameError: it is no name.
            ModelFileError, GGUFError: the file cannot be read, or is of another kind.
        """
        new = _own_name(name)
        digest, blob = self._adopt(Path(path).expanduser())
        return self._write(new, digest, blob.stat().st_size, None, "")

    def remove(self, name: str) -> StoredModel:
        """Takes a name away, and the file with it where no other name of ours has it.

        Raises:
            ModelNotFoundError: there is none.
            InvalidRequestError: it is Ollama's, to which we do no harm.
        """
        model = self.find(name)
        if model.origin == "ollama":
            raise InvalidRequestError(
                f"{model.name} belongs to Ollama ({model.path}); remove it with `ollama rm`"
            )
        if model.origin == "pyslm":
            parsed = parse_name(model.name)
            if isinstance(parsed, HubName):
                parsed = parsed.tag_name(parsed.quant or "latest")
            self.root.joinpath("manifests", *parsed.parts).unlink(missing_ok=True)
        if not any(other.digest == model.digest for other in self._own()):
            self._drop(model)
        return model

    def _drop(self, model: StoredModel) -> None:
        if model.path.is_relative_to(self.root / "blobs"):
            model.path.unlink(missing_ok=True)
        elif model.path.is_relative_to(hf_cache.cache_directory()):
            hf_cache.drop_file(model.path)

    def _source(
        self, name: str, parsed: TagName | HubName
    ) -> tuple[str, str | None, CatalogModel | None]:
        if isinstance(parsed, HubName):
            return parsed.repo, parsed.quant, self.describe(name)
        known = self.catalog.find(name.removesuffix(":latest"))
        if known is None:
            stored = self._by_manifest(parsed)  # pulled once, under a name that was copied
            if stored is not None and stored.repository:
                return stored.repository, stored.file.rsplit("/", 1)[-1], None
            similar = self.catalog.similar(name)
            hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
            raise ModelNotFoundError(
                f"the catalog has no model {str(parsed)!r}{hint} hf:owner/repo names one of "
                "Hugging Face's; `pyslm list --catalog` shows those known by name"
            )
        return known[0].repository, known[1], known[0]

    def _adopt(self, source: Path) -> tuple[str, Path]:
        from pyslm.model_info import check_model_path

        digest = _sha256(check_model_path(source))
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
        return digest, blob

    def _write(
        self, name: TagName, digest: str, size: int, path: Path | None, source: str
    ) -> StoredModel:
        """The manifest, at once."""
        notes = {_NAME: str(name)}
        notes |= {_PATH: str(path.absolute())} if path else {}
        notes |= {_SOURCE: source} if source else {}
        layer = {"mediaType": MODEL_LAYER, "digest": f"sha256:{digest}", "size": size}
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
        stored = self._by_manifest(name)
        if stored is None:
            raise ModelFileError(f"{path} went away while it was given the name {name}; try again")
        return stored


def store_directory() -> Path:
    """PYSLM_MODELS, else the user's own."""
    chosen = os.environ.get("PYSLM_MODELS")
    if chosen:
        return Path(chosen).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("pyslm")) / "models"


def resolve(name: str | os.PathLike[str], store: ModelStore | None = None) -> Path:
    """The file that a name or path stands for. Uses no network.

    Raises:
        ModelNotDownloadedError: known, but not here; the message says how to get it.
        ModelNotFoundError, ModelNameError: not known, or no name.
    """
    if not isinstance(name, str):
        return Path(name)
    if is_path(name):
        return Path(name).expanduser()
    return (store or ModelStore()).find(name).path


def _own_name(text: str) -> TagName:
    name = parse_name(text)
    if isinstance(name, HubName):
        raise ModelNameError(f"{text!r} is Hugging Face's; name it as model[:tag]")
    return name


def _as_written(entry: ManifestEntry) -> str:
    """The path of a manifest is in lower case; the name may not have been."""
    written = entry.annotations.get(_NAME, "")
    return written if written.lower() == str(entry.name).lower() else str(entry.name)


def _of_cache(cached: hf_cache.CachedFile) -> StoredModel:
    label = cached.quant or cached.file.rsplit("/", 1)[-1]
    return StoredModel(
        name=f"hf.co/{cached.repo}:{label}",
        path=cached.path,
        digest=cached.digest,
        size_bytes=cached.size_bytes,
        modified=cached.modified,
        origin="huggingface",
        repository=cached.repo,
        file=cached.file,
    )


def _fits(file: str, wanted: str | None) -> bool:
    """Whether a file is the one meant by a quantization or by its own name."""
    if wanted is None or wanted.lower() == "latest":
        return True
    base = file.rsplit("/", 1)[-1].lower()
    return base == wanted.lower() or quant_of_file(file) == canonical_quant(wanted)


def _pick(
    files: list[hf_download.RemoteFile],
    repo: str,
    quant: str | None,
    model: CatalogModel | None,
) -> hf_download.RemoteFile:
    if not files:
        raise DownloadError(f"{repo} has no GGUF file; pyslm runs no others")
    meant = [f for f in files if _fits(f.file, quant)]
    if model is not None and repo == model.repository:  # among several models, this one's
        own = [f for f in meant if f.quant and _is_of(f.file, model)]
        meant = own or meant
    whole = [f for f in meant if not f.is_split]
    if not whole:
        kinds = sorted({f.quant or f.file for f in files if not f.is_split}, key=quality)
        what = (
            f"{quant or 'each model'} of {repo} is split into several files"
            if meant
            else (f"{repo} has no {quant}")
        )
        raise DownloadError(f"{what}; in one file it has: {', '.join(kinds) or 'none'}")
    if len(whole) == 1:
        return whole[0]
    variants = [Variant(f.quant or "", f.size_bytes, True, f.file) for f in whole]
    choice = choose_variant(variants, model.parameters if model else 0, Hardware.here())
    return next(f for f in whole if f.file == choice.variant.file)


def _is_of(file: str, model: CatalogModel) -> bool:
    stem, _, rest = model.file.lower().partition("{quant}")
    base = file.rsplit("/", 1)[-1].lower()
    return base.startswith(stem) and base.endswith(rest)


def _not_here(name: str, source: str) -> ModelNotDownloadedError:
    return ModelNotDownloadedError(
        f"{name} is not on this machine; `pyslm pull {name}` downloads it from {source}"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
