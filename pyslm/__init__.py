"""pyslm: small language models and their agents, on the machine you already have."""

from __future__ import annotations

from pyslm.errors import PyslmError

__all__ = ["PyslmError", "__version__"]

__version__ = "0.1.0"
