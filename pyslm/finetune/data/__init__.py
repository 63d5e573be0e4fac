"""The data that `pyslm-nano` learns from: composed, seeded, without end."""

from pyslm.finetune.data.scenes import Scenes, scenes
from pyslm.finetune.data.spec import Branch, Scene

__all__ = ["Branch", "Scene", "Scenes", "scenes"]
