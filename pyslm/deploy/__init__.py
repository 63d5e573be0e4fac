"""Deployments: a YAML file that names models and agents, and a server that runs them.

::

    FILE ─> yaml_file ─> parse ─> spec ─┬─> plan: what is there, what is missing   (`--check`)
                                        └─> host: `pyslm serve` with the models, and the agents

`spec` holds what a file says; `start` serves `host` with the routes of `routes`, so that all that
finds a server (`pyslm ps`, `pyslm service`, clients of OpenAI) finds a deployment. Needs the
packages of the extra `deploy`.
"""

from __future__ import annotations

from pyslm.errors import DeploymentError
from pyslm.extras import check_extra

check_extra("deploy", "pyslm.deploy", DeploymentError)

from pyslm.deploy.parse import load_deployment  # noqa: E402 (after the check)
from pyslm.deploy.plan import Plan, plan_of  # noqa: E402
from pyslm.deploy.spec import (  # noqa: E402
    AgentSpec,
    Coordination,
    Deployment,
    DistributedEdge,
    ModelSpec,
    NodeSpec,
    SingleDevice,
)
from pyslm.deploy.start import deploy  # noqa: E402

__all__ = [
    "AgentSpec",
    "Coordination",
    "Deployment",
    "DistributedEdge",
    "ModelSpec",
    "NodeSpec",
    "Plan",
    "SingleDevice",
    "deploy",
    "load_deployment",
    "plan_of",
]
