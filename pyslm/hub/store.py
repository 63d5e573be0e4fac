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
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pyslm.errors import (
    DownloadError,
    InvalidRequestError,
    ModelNameError,
    ModelNotDownloadedError,
    ModelNotFoundError,
)
from pyslm.hub import hf_cache, hf_download
from pyslm.hub.catalog import CatalogModel, ModelCatalog
from pyslm.hub.embedded import embedded_model, embedded_path, is_embedded
from pyslm.hub.manifests import Manifests, ollama_directory, sha256_of
from pyslm.hub.names import EMBEDDED, HubName, TagName, is_path, parse_name
from pyslm.hub.pick import pick_cached, pick_remote
from pyslm.hub.progress import PullProgress
from pyslm.hub.stored import StoredModel, of_cache

__all__ = ["ModelStore", "StoredModel", "resolve", "store_directory"]

_log = logging.getLogger(__name__)

Tell = Callable[[PullProgress], None]


class ModelStore:
    """Lists, finds, pulls, copies and removes models. Its methods block; see `pull_events`."""

    def __init__(self, root: Path | None = None, catalog: ModelCatalog | None = None) -> None:
        """Reads nothing yet.

        Args:
            root: of pyslm's own names; None: `store_directory`.
        """
        self._own = Manifests(root or store_directory(), "pyslm")
        self._ollama = Manifests(ollama_directory(), "ollama")
        self._catalog = catalog

    @property
    def catalog(self) -> ModelCatalog:
        """The models known by name."""
        if self._catalog is None:
            self._catalog = ModelCatalog.load()
        return self._catalog

    # --- what there is ------------------------------------------------------------------------

    def list(self) -> list[StoredModel]:
        """All, the newest first; files that have a name of ours are not told again by theirs.
        The model that comes with the package is the last."""
        found = [*self._own, *self._ollama]
        named = {model.path.resolve() for model in found}
        taken = {model.name.lower() for model in found}
        for model in map(of_cache, hf_cache.cached_files()):
            if model.path.resolve() not in named and model.name.lower() not in taken:
                found.append(model)
        found.sort(key=lambda model: model.modified, reverse=True)
        embedded = embedded_model()
        if embedded is not None:
            found = [model for model in found if not is_embedded(model.name)] + [embedded]
        return found

    def find(self, name: str) -> StoredModel:
        """The model that a name means, if it is here. Paths are no names.

        Raises:
            ModelNameError: it is no name.
            ModelNotDownloadedError: it is known, but not here.
            ModelNotFoundError: it is not known.
        """
        parsed = parse_name(name)
        if isinstance(parsed, HubName):
            cached = pick_cached(parsed.repo, parsed.quant)
            if cached is None:
                raise _not_here(str(parsed), str(parsed))
            tag = parsed.tag_name(parsed.quant or cached.quant or "latest")
            return self._by_manifest(tag) or of_cache(cached)
        embedded = embedded_model() if is_embedded(str(parsed)) else None
        return embedded or self._by_manifest(parsed) or self._by_catalog(name, parsed)

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
        return self._own.read(name) or self._ollama.read(name)

    def _by_catalog(self, name: str, parsed: TagName) -> StoredModel:
        known = self.catalog.find(name.removesuffix(":latest"))
        if known is None:
            raise self._unknown(parsed)
        catalog_model, quant = known
        for twin in self._twins(catalog_model, quant):
            return twin
        cached = pick_cached(catalog_model.repository, quant, catalog_model)
        if cached is None:
            raise _not_here(name, f"hf.co/{catalog_model.repository}")
        return dataclasses.replace(of_cache(cached), name=str(parsed))

    def _twins(self, model: CatalogModel, quant: str | None) -> Iterator[StoredModel]:
        """The same under another of its names, of ours or Ollama's."""
        for stored in (*self._own, *self._ollama):
            known = self.catalog.find(stored.name)
            if known is not None and known[0] == model and quant in (None, known[1], stored.quant):
                yield stored

    # --- what changes it ----------------------------------------------------------------------

    def pull(
        self,
        name: str,
        tell: Tell = lambda progress: None,
        *,
        force: bool = False,
        token: str | None = None,
    ) -> StoredModel:
        """Downloads a model and keeps it under this name. Where the hub cannot be asked, or knows
        no such model, what is here already will do. What comes with the package is always here.

        Args:
            tell: hears how far it is; what it raises stops the download.
            force: fetch it though it is here.
            token: of Hugging Face; None: the user's own.

        Raises:
            ModelNameError: it is no name.
            ModelNotFoundError: neither the catalog nor the hub knows it.
            DownloadError: it did not come.
        """
        tell(PullProgress("resolving"))
        parsed = parse_name(name)
        if is_embedded(str(parsed)):
            return _told_as_here(self.find(name), tell)
        try:
            repo, quant, model = self._source(name, parsed)
            files = hf_download.list_files(repo, token)
        except (DownloadError, ModelNotFoundError) as error:
            here = None if force else self._here(name)
            if here is None:
                raise
            _log.warning("%s is here and stays as it is: %s", here.name, error)
            return _told_as_here(here, tell)
        remote = pick_remote(files, repo, quant, model)
        path = hf_download.fetch(remote, tell, token=token, force=force)
        if isinstance(parsed, HubName):
            parsed = parsed.tag_name(quant or remote.quant or "latest")
        source = f"{remote.repo}:{remote.file}"
        stored = self._own.write(parsed, remote.digest, remote.size_bytes, path, source)
        done = PullProgress(
            "success", remote.digest, remote.size_bytes, remote.size_bytes, model=stored
        )
        tell(done)
        return stored

    def _here(self, name: str) -> StoredModel | None:
        try:
            return self.find(name)
        except ModelNotFoundError:
            return None

    def copy(self, source: str, destination: str) -> StoredModel:
        """Gives a model a further name.

        Raises:
            ModelNameError, ModelNotFoundError: as `find`.
            InvalidRequestError: the further name is that of the package's model.
        """
        new = _own_name(destination)
        model = self.find(source)
        if model.origin == "package":  # the next version of the package may bring another
            return self.adopt(model.path, destination)
        digest = model.digest or sha256_of(model.path)
        about = f"{model.repository}:{model.file}" if model.repository else ""
        return self._own.write(new, digest, model.size_bytes, model.path, about)

    def adopt(self, path: str | os.PathLike[str], name: str) -> StoredModel:
        """Copies a GGUF file into the store, under a name.

        Raises:
            ModelNameError: it is no name.
            InvalidRequestError: the name is that of the package's model.
            ModelFileError, GGUFError: the file cannot be read, or is of another kind.
        """
        new = _own_name(name)
        blob = self._own.adopt(Path(path).expanduser())
        digest = blob.name.removeprefix("sha256-")
        return self._own.write(new, digest, blob.stat().st_size, None, "")

    def remove(self, name: str) -> StoredModel:
        """Takes a name away, and the file with it where no other name of ours has it.

        Raises:
            ModelNotFoundError: there is none.
            InvalidRequestError: it is Ollama's, to which we do no harm, or comes with the package.
        """
        model = self.find(name)
        if model.origin == "package":
            raise InvalidRequestError(
                f"{model.name} comes with pyslm and goes with it ({model.path}); it cannot be "
                "removed"
            )
        if model.origin == "ollama":
            raise InvalidRequestError(
                f"{model.name} belongs to Ollama ({model.path}); remove it with `ollama rm`"
            )
        if model.origin == "pyslm":
            parsed = parse_name(model.name)
            if isinstance(parsed, HubName):
                parsed = parsed.tag_name(parsed.quant or "latest")
            self._own.remove(parsed)
        if not (self._own.has(model.digest) or self._own.drop_blob(model)) and (
            model.path.is_relative_to(hf_cache.cache_directory())
        ):
            hf_cache.drop_file(model.path)
        return model

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
            raise self._unknown(parsed)
        return known[0].repository, known[1], known[0]

    def _unknown(self, name: TagName) -> ModelNotFoundError:
        similar = self.catalog.similar(str(name), () if embedded_path() is None else EMBEDDED)
        hint = f"did you mean {' or '.join(similar)}? Else g" if similar else "g"
        return ModelNotFoundError(
            f"there is no model {str(name)!r} here or in the catalog; {hint}ive a path, "
            "hf:owner/repo[:quant], or a name of `pyslm list --catalog`"
        )


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
    embedded = embedded_path() if is_embedded(name) else None
    if embedded is not None:  # without a look at the stores
        return embedded
    return (store or ModelStore()).find(name).path


def _own_name(text: str) -> TagName:
    name = parse_name(text)
    if isinstance(name, HubName):
        raise ModelNameError(f"{text!r} is Hugging Face's; name it as model[:tag]")
    if is_embedded(str(name)):
        raise InvalidRequestError(f"{text!r} is the model that comes with pyslm; give another name")
    return name


def _told_as_here(model: StoredModel, tell: Tell) -> StoredModel:
    size = model.size_bytes
    tell(PullProgress("success", model.digest, size, size, model=model))
    return model


def _not_here(name: str, source: str) -> ModelNotDownloadedError:
    return ModelNotDownloadedError(
        f"{name} is not on this machine; `pyslm pull {name}` downloads it from {source}"
    )
