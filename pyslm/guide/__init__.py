"""The guide's managers, monitors and services, made to work on this machine.

The guide to agents on small models writes its examples against packages that do not exist as it
shows them. Here is what they define and use, on top of `pyslm.agents`, the service in the
background and `pyslm serve`: with the same names and the same shapes of results, and with real
numbers. Needs the packages of the extra `guide`.

`install()` makes the guide's own imports work::

    import pyslm.guide

    pyslm.guide.install()
    from foundry_local import FoundryLocalManager
    from microsoft_agent_framework import Agent, Config
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyslm.guide.imports import check, install, installed, uninstall
from pyslm.lazy import lazy_names

if TYPE_CHECKING:
    from pyslm.agents import PerformanceMetrics
    from pyslm.guide.foundry_manager import FoundryLocalManager, FoundryModelInfo
    from pyslm.guide.foundry_monitoring import FoundryMonitoringService
    from pyslm.guide.foundry_resources import FoundryResourceManager
    from pyslm.guide.model_config import ModelConfig
    from pyslm.guide.multi_agent import MultiAgentProductionSystem
    from pyslm.guide.ollama_manager import OllamaManager, OllamaMultiModelManager
    from pyslm.guide.ollama_models import OllamaModelManager
    from pyslm.guide.ollama_monitoring import OllamaMonitoringService
    from pyslm.guide.ollama_service import OllamaProductionService
    from pyslm.guide.production_agent import ProductionAgentService
    from pyslm.guide.records import LocalRecords
    from pyslm.guide.vllm_config import AgentRequest, VLLMServerConfig
    from pyslm.guide.vllm_manager import VLLMManager
    from pyslm.guide.vllm_monitoring import VLLMAdvancedMonitoring
    from pyslm.guide.vllm_service import VLLMProductionService
    from pyslm.guide.vllm_templates import DeploymentScenario, VLLMConfigTemplates
    from pyslm.guide.vllm_throughput import VLLMHighThroughputManager

__all__ = [
    "AgentRequest",
    "DeploymentScenario",
    "FoundryLocalManager",
    "FoundryModelInfo",
    "FoundryMonitoringService",
    "FoundryResourceManager",
    "LocalRecords",
    "ModelConfig",
    "MultiAgentProductionSystem",
    "OllamaManager",
    "OllamaModelManager",
    "OllamaMonitoringService",
    "OllamaMultiModelManager",
    "OllamaProductionService",
    "PerformanceMetrics",
    "ProductionAgentService",
    "VLLMAdvancedMonitoring",
    "VLLMConfigTemplates",
    "VLLMHighThroughputManager",
    "VLLMManager",
    "VLLMProductionService",
    "VLLMServerConfig",
    "install",
    "installed",
    "uninstall",
]

# Loaded on first use: a server that is started needs none of them.
_LAZY = {
    "PerformanceMetrics": "pyslm.agents",
    "FoundryLocalManager": "pyslm.guide.foundry_manager",
    "FoundryModelInfo": "pyslm.guide.foundry_manager",
    "FoundryMonitoringService": "pyslm.guide.foundry_monitoring",
    "FoundryResourceManager": "pyslm.guide.foundry_resources",
    "ModelConfig": "pyslm.guide.model_config",
    "MultiAgentProductionSystem": "pyslm.guide.multi_agent",
    "OllamaManager": "pyslm.guide.ollama_manager",
    "OllamaMultiModelManager": "pyslm.guide.ollama_manager",
    "OllamaModelManager": "pyslm.guide.ollama_models",
    "OllamaMonitoringService": "pyslm.guide.ollama_monitoring",
    "OllamaProductionService": "pyslm.guide.ollama_service",
    "ProductionAgentService": "pyslm.guide.production_agent",
    "LocalRecords": "pyslm.guide.records",
    "AgentRequest": "pyslm.guide.vllm_config",
    "VLLMServerConfig": "pyslm.guide.vllm_config",
    "VLLMManager": "pyslm.guide.vllm_manager",
    "VLLMAdvancedMonitoring": "pyslm.guide.vllm_monitoring",
    "VLLMProductionService": "pyslm.guide.vllm_service",
    "DeploymentScenario": "pyslm.guide.vllm_templates",
    "VLLMConfigTemplates": "pyslm.guide.vllm_templates",
    "VLLMHighThroughputManager": "pyslm.guide.vllm_throughput",
}

__getattr__, __dir__ = lazy_names(__name__, _LAZY, check)
