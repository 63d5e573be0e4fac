"""Makes the names importable that the guide's code imports."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from pyslm.errors import AgentConfigError
from pyslm.extras import check_extra

__all__ = ["check", "install", "installed", "uninstall"]

_LAUNCHERS = Path(__file__).with_name("launchers")
_FRAMEWORK = ("Agent", "AgentMonitor", "AgentOrchestrator", "Config", "ResourceConfig", "Tool")


@dataclasses.dataclass(frozen=True, slots=True)
class _Before:
    """What was there, to be put back."""

    modules: dict[str, ModuleType | None]
    python_path: str | None


_before: _Before | None = None


def check() -> None:
    """Raises AgentConfigError where a package of the extra `guide` is missing."""
    check_extra("guide", "pyslm.guide", AgentConfigError)


def install() -> None:
    """Makes these importable in this process, in place of packages of the same name that are:

    - `microsoft_agent_framework`: Agent, AgentMonitor, AgentOrchestrator, Config, ResourceConfig,
      Tool;
    - `foundry_local`: FoundryLocalManager, ModelConfig;
    - `nvidia_ml_py3`: NVML, as far as it is there.

    Raises AgentConfigError where a package of the extra `guide` is missing.

    Processes that it starts find `python -m vllm.entrypoints.openai.api_server`, unless vLLM is
    installed. `uninstall` undoes all of it.
    """
    global _before
    if _before is not None:
        return
    check()
    modules = _modules()
    _before = _Before(
        {name: sys.modules.get(name) for name in modules}, os.environ.get("PYTHONPATH")
    )
    sys.modules.update(modules)
    if importlib.util.find_spec("vllm") is None:
        rest = os.environ.get("PYTHONPATH")
        parts = [str(_LAUNCHERS), *([rest] if rest else [])]
        os.environ["PYTHONPATH"] = os.pathsep.join(parts)


def uninstall() -> None:
    """Puts back what was there before `install`."""
    global _before
    if _before is None:
        return
    for name, module in _before.modules.items():
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module
    if _before.python_path is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = _before.python_path
    _before = None


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """`install` and, at the end, `uninstall`."""
    install()
    try:
        yield
    finally:
        uninstall()


def _modules() -> dict[str, ModuleType]:
    from pyslm import agents
    from pyslm.guide.foundry_manager import FoundryLocalManager, FoundryModelInfo
    from pyslm.guide.model_config import ModelConfig

    found = [
        _module("microsoft_agent_framework", {name: getattr(agents, name) for name in _FRAMEWORK}),
        _module(
            "foundry_local",
            {
                "FoundryLocalManager": FoundryLocalManager,
                "FoundryModelInfo": FoundryModelInfo,
                "ModelConfig": ModelConfig,
            },
        ),
        _nvml(),
    ]
    return {module.__name__: module for module in found}


def _module(name: str, values: dict[str, Any]) -> ModuleType:
    module = ModuleType(name, f"pyslm's: see pyslm.guide.install and {__name__}.")
    module.__dict__.update(values, __all__=sorted(values))
    module.__spec__ = importlib.util.spec_from_loader(name, loader=None)
    return module


def _nvml() -> ModuleType:
    """The package nvidia-ml-py is imported as pynvml, whatever the guide says."""
    with contextlib.suppress(ImportError):
        real = importlib.import_module("pynvml")
        return _module("nvidia_ml_py3", dict(vars(real)))

    def nvml_init() -> None:
        raise OSError("NVML is not here; pip install nvidia-ml-py, where there is a GPU of NVIDIA")

    return _module("nvidia_ml_py3", {"nvmlInit": nvml_init})
