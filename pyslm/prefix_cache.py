"""Computed prompts in a file, so that a long system prompt costs nothing after a restart.

The file holds keys and values, which are of use only to the very same computation::

    magic (8 bytes) | length of the key (4) | key (JSON) | blocks (csrc/engine/prefix_stream.h)
    | BLAKE2b of all before (32)

The key names the model's files and contents, the build and its instruction set, the type of keys
and values, the layout of the cache and the context length (long ropes depend on it). A file that
differs in any of them is refused with the reason. It belongs to the user and nobody else may read
it, since prompts can be recovered from it; requests with a `cache_salt` are not saved at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from pyslm.errors import PrefixCacheError
from pyslm.new_file import replacing

if TYPE_CHECKING:
    from pyslm import _native

__all__ = ["load_prefixes", "save_prefixes"]

MAGIC = b"PYSLMKV1"
_DIGEST_BYTES = 32
_MAX_KEY_BYTES = 1 << 20
_ADVICE = "save it anew with LLM.save_prefix_cache()"


def save_prefixes(path: Path, engine: _native.Engine, model: Path, info: dict[str, Any]) -> None:
    """Writes the engine's cached prefixes; takes the place of an older file in one step.

    Args:
        info: `_native.Model.info` of the model that the engine runs.

    Raises:
        ModelFileError: the file cannot be written.
    """
    key = {**_settings(info), "files": _identities(model), "digest": _digest_of(_files(model))}
    header = json.dumps(key).encode()
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    with replacing(path) as partial:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)
        with open(os.open(partial, flags, 0o600), "wb") as file:

            def write(piece: bytes) -> None:
                file.write(piece)
                digest.update(piece)

            write(MAGIC + struct.pack("<I", len(header)) + header)
            engine.save_prefixes(write)
            file.write(digest.digest())


def load_prefixes(path: Path, engine: _native.Engine, model: Path, info: dict[str, Any]) -> int:
    """Fills free blocks of the engine from a file; returns how many.

    After an error the engine may hold damaged prefixes and must not be used.

    Raises:
        PrefixCacheError: no such file, damaged, not the user's own, or of another computation.
    """
    with _open_own(path) as file:
        size = os.fstat(file.fileno()).st_size
        source = _Source(path, file, size - _DIGEST_BYTES)
        if size < len(MAGIC) + 4 + _DIGEST_BYTES or source.read(len(MAGIC)) != MAGIC:
            raise PrefixCacheError(f"{path} is no prefix cache of this version; {_ADVICE}")
        (length,) = struct.unpack("<I", source.read(4))
        if length > _MAX_KEY_BYTES:
            raise PrefixCacheError(f"{path} is damaged: its key takes {length} bytes; {_ADVICE}")
        _check_key(path, source.read(length), model, info)
        num_blocks = engine.load_prefixes(source.read)
        if source.left or file.read(_DIGEST_BYTES) != source.digest.digest():
            raise PrefixCacheError(f"{path} is damaged: its checksum does not match; {_ADVICE}")
    return num_blocks


class _Source:
    """Reads from a file up to its checksum, and computes it."""

    def __init__(self, path: Path, file: BinaryIO, num_bytes: int) -> None:
        self.digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self.left = num_bytes
        self._path, self._file = path, file

    def read(self, num_bytes: int) -> bytes:
        if num_bytes > self.left:
            raise PrefixCacheError(
                f"{self._path} is damaged: it ends where {num_bytes} more bytes are needed; "
                f"{_ADVICE}"
            )
        piece = self._file.read(num_bytes)
        self.left -= len(piece)
        self.digest.update(piece)
        return piece


def _open_own(path: Path) -> BinaryIO:
    """The file, unless others could have written it or may read it."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise PrefixCacheError(f"cannot open {path}: {error.strerror or error}") from error
    status = os.fstat(descriptor)
    wrong = None
    if not stat.S_ISREG(status.st_mode):
        wrong = "it is not a regular file"
    elif hasattr(os, "geteuid") and status.st_uid != os.geteuid():
        wrong = f"it belongs to user {status.st_uid}, not to {os.geteuid()}"
    elif os.name == "posix" and status.st_mode & 0o077:
        wrong = f"its mode is {stat.S_IMODE(status.st_mode):o}; allowed: 600"
    if wrong:
        os.close(descriptor)
        raise PrefixCacheError(f"{path} is refused: {wrong}")
    return os.fdopen(descriptor, "rb")


def _check_key(path: Path, header: bytes, model: Path, info: dict[str, Any]) -> None:
    expected = _settings(info)
    try:
        key = json.loads(header)
        settings = {name: key[name] for name in expected}
        files, digest = key["files"], key["digest"]
    except (ValueError, KeyError, TypeError) as error:
        raise PrefixCacheError(f"{path} is damaged: its key cannot be read; {_ADVICE}") from error
    for name, ours in expected.items():
        if settings[name] != ours:
            raise PrefixCacheError(
                f"{path} was saved with {name} {settings[name]!r}, and here it is {ours!r}; "
                f"{_ADVICE}"
            )
    # The same contents elsewhere will do, but finding out takes a pass over them.
    if files != _identities(model) and digest != _digest_of(_files(model)):
        raise PrefixCacheError(f"{path} was saved for another model than {model}; {_ADVICE}")


def _settings(info: dict[str, Any]) -> dict[str, Any]:
    from pyslm import _native

    return {
        "build": _digest_of([Path(_native.__file__)]),
        "isa": info["isa"],
        "kv_type": info["kv_type"],
        "context_length": info["context_length"],
        "windows": [group["window"] for group in info["cache_groups"]],
        "block_tokens": [group["block_tokens"] for group in info["cache_groups"]],
    }


def _files(model: Path) -> list[Path]:
    from pyslm import _native

    return [Path(name) for name in _native.GGUFReader(model).files]


def _identities(model: Path) -> list[list[int]]:
    statuses = [os.stat(file) for file in _files(model)]
    return [[s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns] for s in statuses]


def _digest_of(files: Iterable[Path]) -> str:
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for file in files:
        with file.open("rb") as stream:
            while piece := stream.read(1 << 20):
                digest.update(piece)
    return digest.hexdigest()
