"""Entries of an audit log (see `audit`): their hashes, signatures and heads."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pyslm.errors import AuditError

__all__ = ["hash_of", "head_path", "is_signed", "parsed", "read_head", "sign", "verifies"]


def head_path(path: Path) -> Path:
    """Where the head of a log lies."""
    return path.with_name(f"{path.name}.head")


def read_head(path: Path) -> dict[str, Any] | None:
    """The head of a log; None: there is none; empty: it is damaged."""
    try:
        return parsed(head_path(path).read_bytes()) or {}
    except FileNotFoundError:
        return None
    except OSError as error:
        raise AuditError(f"the head of {path} cannot be read: {error.strerror}") from None


def parsed(line: bytes) -> dict[str, Any] | None:
    """A JSON object, or None."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def hash_of(entry: Mapping[str, Any]) -> str:
    """SHA-256 of an entry without what was made of it."""
    bare = {key: value for key, value in entry.items() if key not in ("hash", "sig")}
    if "prev" not in entry:  # of a head, whose hash is part of it
        bare = {key: value for key, value in entry.items() if key != "sig"}
    text = json.dumps(bare, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def sign(key: Ed25519PrivateKey, digest: str) -> str:
    """In base64."""
    return base64.b64encode(key.sign(digest.encode())).decode()


def is_signed(entry: Mapping[str, Any], key: Ed25519PublicKey) -> bool:
    """Whether the hash that an entry states is signed."""
    return verifies(key, str(entry.get("sig")), str(entry.get("hash")))


def verifies(key: Ed25519PublicKey, signature: str, digest: str) -> bool:
    """Whether a signature is of this key."""
    try:
        key.verify(base64.b64decode(signature), digest.encode())
    except (InvalidSignature, ValueError):
        return False
    return True
