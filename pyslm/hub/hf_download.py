"""Downloads from Hugging Face: listed and authorized by huggingface_hub, resumed and verified here.

huggingface_hub itself starts anew after each interruption, and checks sizes only.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Self

from pyslm.errors import DownloadError, ModelNotFoundError
from pyslm.hub import hf_cache
from pyslm.hub.progress import PullProgress
from pyslm.hub.quants import is_split, quant_of_file

__all__ = ["RemoteFile", "fetch", "list_files"]

Tell = Callable[[PullProgress], None]

_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9A-Za-z]{1,64}")
_CHUNK = 1 << 20
_TELL_BYTES = 4 << 20
_FREE_BYTES = 256 << 20
"""What a download leaves free on the disk."""


@dataclasses.dataclass(frozen=True, slots=True)
class RemoteFile:
    """A GGUF file of a repository."""

    repo: str
    commit: str
    file: str
    size_bytes: int
    digest: str
    """SHA-256, in hex."""

    @property
    def quant(self) -> str | None:
        """As its name tells."""
        return quant_of_file(self.file)

    @property
    def is_split(self) -> bool:
        """One of several files that make a model."""
        return is_split(self.file)


def list_files(repo: str, token: str | None = None) -> list[RemoteFile]:
    """The models that a repository has, as it is now.

    Raises:
        ModelNotFoundError: no such repository, or none that we may see.
        DownloadError: it cannot be asked, or answers nonsense.
    """
    from huggingface_hub import HfApi

    with _told_well(repo):
        _check_online(repo)
        api = HfApi(endpoint=_endpoint(), token=token)
        info = api.model_info(repo, files_metadata=True, timeout=30)
        commit = info.sha or ""
        found = [
            RemoteFile(repo, commit, s.rfilename, s.size or s.lfs.size, s.lfs.sha256)
            for s in info.siblings or ()
            if s.lfs is not None and s.rfilename.lower().endswith(".gguf")
        ]
    for remote in found:
        if not (_is_sound(remote.file) and _COMMIT.fullmatch(commit)):
            raise DownloadError(f"{repo} names a file {remote.file!r}, which is refused")
        if not _SHA256.fullmatch(remote.digest) or remote.size_bytes <= 0:
            raise DownloadError(f"{repo} gives no SHA-256 and size of {remote.file}")
    return [f for f in found if not f.file.rsplit("/", 1)[-1].lower().startswith("mmproj")]


def fetch(remote: RemoteFile, tell: Tell, *, token: str | None = None, force: bool = False) -> Path:
    """Brings a file into the cache; gives its path there. What is there already is not fetched.

    Args:
        force: fetch it all the same.

    Raises:
        DownloadError: it did not come, or not as it should. Whole parts stay for the next time.
    """
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    blob = hf_cache.blob_path(remote.repo, remote.digest)
    partial = hf_cache.partial_path(remote.repo, remote.digest)
    with _told_well(remote.repo):
        partial.parent.mkdir(parents=True, exist_ok=True)
        with WeakFileLock(str(partial.with_suffix(".lock"))):
            if force:
                partial.unlink(missing_ok=True)
            elif blob.is_file() and blob.stat().st_size == remote.size_bytes:
                return hf_cache.link(remote.repo, remote.commit, remote.file, blob)
            _check_online(remote.repo)
            _download(remote, partial, tell, token)
            _verify(remote, partial, tell)
            tell(_progress("writing", remote, remote.size_bytes))
            return hf_cache.place(partial, remote.repo, remote.commit, remote.file, remote.digest)


def _download(remote: RemoteFile, partial: Path, tell: Tell, token: str | None) -> None:
    from huggingface_hub import hf_hub_url
    from huggingface_hub.file_download import http_get
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    with partial.open("ab") as file:
        have = file.tell()
        if have > remote.size_bytes:
            file.truncate(have := 0)
        _check_room(partial.parent, remote.size_bytes - have)
        tell(_progress("downloading", remote, have))
        url = hf_hub_url(remote.repo, remote.file, revision=remote.commit, endpoint=_endpoint())
    if have == remote.size_bytes:
        return
    with partial.open("r+b") as file:
        file.seek(have)
        http_get(
            url,
            _Counted(file, remote, tell),  # type: ignore[arg-type]
            resume_size=have,
            headers=build_hf_headers(token=token) | {"Accept-Encoding": "identity"},
            expected_size=remote.size_bytes,
            tqdm_class=_NoBar,
        )
        file.flush()
        os.fsync(file.fileno())


def _verify(remote: RemoteFile, partial: Path, tell: Tell) -> None:
    tell(_progress("verifying", remote, remote.size_bytes))
    digest = hashlib.sha256()
    with partial.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    size = partial.stat().st_size
    if size == remote.size_bytes and digest.hexdigest() == remote.digest:
        return
    partial.unlink(missing_ok=True)  # there is no telling which bytes are wrong
    raise DownloadError(
        f"{remote.file} of {remote.repo} came with SHA-256 {digest.hexdigest()[:12]}... and "
        f"{size} bytes, not {remote.digest[:12]}... and {remote.size_bytes}; it was thrown away, "
        "try again"
    )


class _Counted:
    """A file that tells how much was written to it."""

    def __init__(self, file: IO[bytes], remote: RemoteFile, tell: Tell) -> None:
        self._file = file
        self._remote = remote
        self._tell = tell
        self._told = file.tell()

    def write(self, data: bytes) -> int:
        written = self._file.write(data)
        have = self._file.tell()
        if have > self._remote.size_bytes:
            raise DownloadError(f"{self._remote.repo} sends more of {self._remote.file} than it is")
        if have - self._told >= _TELL_BYTES or have == self._remote.size_bytes:
            self._told = have
            self._tell(_progress("downloading", self._remote, have))
        return written

    def __getattr__(self, name: str) -> Any:  # seek, tell, truncate, name
        return getattr(self._file, name)


def _progress(status: Any, remote: RemoteFile, done: int) -> PullProgress:
    return PullProgress(status, remote.digest, remote.size_bytes, done)


class _NoBar:
    """In place of a tqdm."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def update(self, _: float | None = 1) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing was opened."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _FREE_BYTES > free:
        raise DownloadError(
            f"{needed / 2**20:,.0f} MiB are to come and {free / 2**20:,.0f} MiB are free at "
            f"{folder}; make room, or name another place by HF_HOME"
        )


def _is_sound(file: str) -> bool:
    parts = file.split("/")
    return len(file) < 300 and all(
        re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+ -]*", part) and ".." not in part for part in parts
    )


def _endpoint() -> str:
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def _check_online(repo: str) -> None:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise DownloadError(f"{repo} cannot be asked: HF_HUB_OFFLINE is set; unset it to download")


@contextlib.contextmanager
def _told_well(repo: str) -> Iterator[None]:
    """Errors of the library and of the system, as ours."""
    from huggingface_hub import errors

    try:
        yield
    except errors.GatedRepoError:
        raise DownloadError(
            f"{repo} is gated: accept its terms at {_endpoint()}/{repo}, then set HF_TOKEN or run "
            "`hf auth login`"
        ) from None
    except errors.RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"{_endpoint()} has no repository {repo}, or it is private: check the name, or set "
            "HF_TOKEN"
        ) from None
    except (errors.EntryNotFoundError, errors.RevisionNotFoundError):
        raise ModelNotFoundError(f"{repo} no longer has this file; try again") from None
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else "no status"
        raise DownloadError(f"{repo}: the hub answered {status}; try again later") from None
    except OSError as error:
        if isinstance(error, (DownloadError, ModelNotFoundError)):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "the disk is full; make room and pull again: it goes on where it stopped"
        else:
            what = f"the download stopped ({_one_line(error)}); pull again: it goes on there"
        raise DownloadError(f"{repo}: {what}") from None
    except Exception as error:
        if not _is_of_network(error):
            raise
        raise DownloadError(
            f"{repo}: {_endpoint()} did not answer well ({_one_line(error)}); pull again: it goes "
            "on where it stopped"
        ) from None


def _is_of_network(error: Exception) -> bool:
    module = type(error).__module__.partition(".")[0]
    return module in ("httpx", "httpx2", "httpcore", "requests", "huggingface_hub")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
