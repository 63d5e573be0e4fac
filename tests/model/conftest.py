from __future__ import annotations

from reference.tiny_models import tiny_models

__all__ = ["tiny_models"]
