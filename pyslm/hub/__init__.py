"""Names of models, and the files they stand for.

A name is a path, `hf:owner/repo[:quant]`, or a word that people know from Ollama or from the
catalog: `qwen2.5:0.5b-instruct-q4_K_M`, `phi-4-mini`. Nothing here uses the network unless it was
asked to `pull`; what is on the machine already, be it Ollama's or in Hugging Face's cache, is used
where it lies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyslm.lazy import lazy_names

if TYPE_CHECKING:
    from pyslm.hub.catalog import CatalogModel, ModelCatalog
    from pyslm.hub.choice import Choice, Hardware, choose_variant
    from pyslm.hub.names import HubName, TagName, parse_name
    from pyslm.hub.progress import PullProgress
    from pyslm.hub.pulling import pull_events
    from pyslm.hub.store import ModelStore, StoredModel, resolve

__all__ = [
    "CatalogModel",
    "Choice",
    "Hardware",
    "HubName",
    "ModelCatalog",
    "ModelStore",
    "PullProgress",
    "StoredModel",
    "TagName",
    "choose_variant",
    "parse_name",
    "pull_events",
    "resolve",
]

# Loaded on first use: whether there is a default model is asked at each start of the command.
_LAZY = {
    "CatalogModel": "pyslm.hub.catalog",
    "Choice": "pyslm.hub.choice",
    "Hardware": "pyslm.hub.choice",
    "HubName": "pyslm.hub.names",
    "ModelCatalog": "pyslm.hub.catalog",
    "ModelStore": "pyslm.hub.store",
    "PullProgress": "pyslm.hub.progress",
    "StoredModel": "pyslm.hub.store",
    "TagName": "pyslm.hub.names",
    "choose_variant": "pyslm.hub.choice",
    "parse_name": "pyslm.hub.names",
    "pull_events": "pyslm.hub.pulling",
    "resolve": "pyslm.hub.store",
}

__getattr__, __dir__ = lazy_names(__name__, _LAZY)
