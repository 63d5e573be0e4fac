from __future__ import annotations

import pytest
from compare.peer import Peer
from reference.tiny_models import tiny_models

__all__ = ["peer", "tiny_models"]


@pytest.fixture(scope="session")
def peer() -> Peer:
    """llama.cpp in the interpreter that PYSLM_PEER_PYTHON names."""
    found = Peer.from_environment()
    if found is None:
        pytest.skip("PYSLM_PEER_PYTHON names no interpreter with llama-cpp-python")
    return found
