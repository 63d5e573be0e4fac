"""Hugging Face's cache: finding models in it, and putting one there.

The layout is huggingface_hub's (https://huggingface.co/docs/huggingface_hub/guides/manage-cache)::

    models--owner--repo/
      blobs/<sha256>                          the bytes, named by their hash
      snapshots/<commit>/<file>  ->  ../../blobs/<sha256>
      refs/main                               a commit
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from pyslm.hub.quants import is_split, quant_of_file

__all__ = ["CachedFile", "cache_directory", "cached_files", "drop_file", "partial_path", "place"]

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, slots=True)
class CachedFile:
    """A GGUF file of a snapshot."""

    repo: str
    commit: str
    file: str
    path: Path
    digest: str
    """SHA-256 in hex; "" where the cache does not tell."""
    size_bytes: int
    modified: float

    @property
    def quant(self) -> str | None:
        """As its name tells."""
        return quant_of_file(self.file)


def cache_directory() -> Path:
    """Where huggingface_hub keeps repositories, by the same variables."""
    for variable, below in (
        ("HF_HUB_CACHE", ""),
        ("HUGGINGFACE_HUB_CACHE", ""),
        ("HF_HOME", "hub"),
        ("XDG_CACHE_HOME", "huggingface/hub"),
    ):
        if os.environ.get(variable):
            return Path(os.environ[variable]).expanduser() / below
    return Path("~/.cache/huggingface/hub").expanduser()


def cached_files(repo: str | None = None) -> list[CachedFile]:
    """The whole models in the cache, of one repository or of all; parts of split ones and
    projectors of images are left out. Each file of a repository once, as its newest snapshot has
    it."""
    root = cache_directory()
    pattern = "models--*--*" if repo is None else f"models--{repo.replace('/', '--')}"
    found: list[CachedFile] = []
    with contextlib.suppress(OSError):
        for folder in sorted(root.glob(pattern)):
            name = folder.name.removeprefix("models--").replace("--", "/", 1)
            newest: dict[str, CachedFile] = {}
            for cached in _files(folder, name):
                known = newest.get(cached.file)
                if known is None or cached.modified > known.modified:
                    newest[cached.file] = cached
            found += newest.values()
    return found


def _files(folder: Path, repo: str) -> Iterator[CachedFile]:
    for path in sorted(folder.glob("snapshots/*/**/*.gguf")):
        if is_split(path.name) or path.name.lower().startswith("mmproj"):
            continue
        try:
            blob = path.resolve(strict=True)
            status = blob.stat()
        except OSError:  # a link to nothing
            continue
        commit, *parts = path.relative_to(folder / "snapshots").parts
        digest = blob.name if _SHA256.fullmatch(blob.name) else ""
        yield CachedFile(
            repo, commit, "/".join(parts), path, digest, status.st_size, status.st_mtime
        )


def partial_path(repo: str, digest: str) -> Path:
    """Where the bytes of a file grow until they are whole; a later pull goes on there."""
    return _folder(repo) / "blobs" / f"{digest}.pyslm.incomplete"


def place(partial: Path, repo: str, commit: str, file: str, digest: str) -> Path:
    """Makes a whole file visible, at once; gives its path in the snapshot."""
    blob = partial.with_name(digest)
    os.replace(partial, blob)
    return link(repo, commit, file, blob)


def link(repo: str, commit: str, file: str, blob: Path) -> Path:
    """Puts a blob into a snapshot."""
    folder = _folder(repo)
    path = folder / "snapshots" / commit / file
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{secrets.token_hex(4)}.link")
    try:
        os.symlink(os.path.relpath(blob, path.parent), fresh)
        os.replace(fresh, path)
    except OSError:  # no symbolic links here
        os.replace(blob, path)
    reference = folder / "refs" / "main"
    reference.parent.mkdir(parents=True, exist_ok=True)
    fresh = reference.with_name(f".{secrets.token_hex(4)}")
    fresh.write_text(commit, encoding="ascii")
    os.replace(fresh, reference)
    return path


def blob_path(repo: str, digest: str) -> Path:
    """Of a file by its hash; it need not exist."""
    return _folder(repo) / "blobs" / digest


def drop_file(path: Path) -> None:
    """Removes a file of a snapshot, and its bytes where no other snapshot has them."""
    blob = path.resolve()
    path.unlink(missing_ok=True)
    folder = next((p for p in path.parents if p.name.startswith("models--")), None)
    if folder is None or blob.parent != (folder / "blobs").resolve():
        return
    others = (p for p in folder.glob("snapshots/*/**/*") if p.is_symlink())
    if not any(other.resolve() == blob for other in others):
        blob.unlink(missing_ok=True)


def _folder(repo: str) -> Path:
    return cache_directory() / f"models--{repo.replace('/', '--')}"
