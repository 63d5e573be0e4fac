"""The key that programs of this user show to a service of this user."""

from __future__ import annotations

import os
import secrets

from pyslm import service

__all__ = ["local_api_key"]


def local_api_key() -> str:
    """PYSLM_API_KEY, else one of the user's own, made once. A service that asks for no key takes
    any."""
    given = os.environ.get("PYSLM_API_KEY")
    if given:
        return given
    path = service.state_path().with_name("local_api_key")
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip() or "local"
    with os.fdopen(handle, "w") as file:
        key = f"pyslm-local-{secrets.token_urlsafe(24)}"
        file.write(key)
    return key
