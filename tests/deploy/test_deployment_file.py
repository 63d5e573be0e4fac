"""Deployment files: what they may say, and how it is told what they may not. Contract: E21-E23."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("yaml", reason="needs the extra 'deploy'")

from pyslm.cli import invoke
from pyslm.deploy import (
    Coordination,
    DistributedEdge,
    SingleDevice,
    load_deployment,
    plan_of,
)
from pyslm.errors import DeploymentError

SOUND = """\
deployment:
  type: single-device
  models:
    - alias: tiny
  agents:
    - name: office
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "office.yaml"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYSLM_TOOLS_DIR", "PYSLM_STATE_DIR", "PYSLM_AGENTS"):
        monkeypatch.setenv(name, str(tmp_path / name))


def test_the_guides_single_device(shared: Path) -> None:
    """E21, E23."""
    found = load_deployment(shared / "contract" / "samples" / "27.yaml")
    assert isinstance(found, SingleDevice)
    assert found.hardware == "edge-device"
    assert [(m.alias, m.primary, m.secondary, m.tasks) for m in found.models] == [
        ("phi-4-mini", True, False, ("conversation", "reasoning")),
        ("qwen2.5-0.5b", False, True, ("routing", "classification")),
    ]
    assert found.router == found.models[1]
    (agent,) = found.agents
    assert (agent.name, agent.model) == ("primary-agent", "phi-4-mini")
    tools = plan_of(found).agents["primary-agent"]
    assert {tool.partition("_")[0] for tool in tools} == {"database", "calendar", "email"}


def test_the_guides_distributed_edge(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """E22."""
    path = shared / "contract" / "samples" / "28.yaml"
    found = load_deployment(path)
    assert isinstance(found, DistributedEdge)
    assert [(n.id, n.agents, n.models) for n in found.nodes] == [
        ("edge-1", ("customer-service", "scheduling"), ("phi-4-mini",)),
        ("edge-2", ("technical-support", "documentation"), ("qwen2.5-coder-0.5b",)),
    ]
    assert found.coordination == Coordination(load_balancing=True, failover="automatic")
    assert invoke(["deploy", str(path), "--check", "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert (report["type"], report["ready"]) == ("distributed-edge", False)
    missing = "\n".join(report["missing"])
    for part in ("registry of the nodes", "load_balancing", "automatic failover",
                 "technical-support"):  # fmt: skip
        assert part in missing
    assert invoke(["deploy", str(path)]) == 2
    assert "automatic failover" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "line", "told"),
    [
        ("deployment:", "deploymnt:", 1, "did you mean deployment"),
        ("type: single-device", "type: single-devise", 2, "did you mean single-device"),
        ("type: single-device", "typ: single-device", 2, "did you mean type"),
        ("models:", "model:", 3, "did you mean models"),
        ("- alias: tiny", "- alais: tiny", 4, "did you mean alias"),
        ("- alias: tiny", "- alias: 3", 4, "a text"),
        ("- alias: tiny", "- alias: ''", 4, "is empty"),
        ("- alias: tiny", "- alias: 'a b'", 4, "letters, digits"),
        ("- alias: tiny", "- alias: tiny\n      primary: 1", 5, "true or false"),
        ("- alias: tiny", "- alias: tiny\n      alias: tiny", 5, "alias twice"),
        ("- alias: tiny", "- alias: tiny\n    - alias: tiny", 5, "two models"),
        ("- alias: tiny", "- {alias: a, primary: true}\n    - {alias: b, primary: true}", 5,
         "two models are primary"),
        ("- alias: tiny", "- {alias: a, primary: true, secondary: true}", 4, "one of them"),
        ("- alias: tiny", "[]", 3, "a list"),
        ("- name: office", "- nme: office", 6, "did you mean name"),
        ("- name: office", "- name: office\n      model: tinny", 7, "did you mean tiny"),
        ("- name: office", "- name: office\n      tolls: [calendar]", 7, "did you mean tools"),
        ("- name: office", "- name: office\n      tools: [calender]", 6, "did you mean calendar"),
        ("- name: office", "- name: office\n      tools: calendar", 7, "a list"),
        ("- name: office", "- name: office\n      tools: [{database: {pth: x}}]", 6,
         "did you mean path"),
        ("- name: office", "- name: office\n      tools: [{database: {}, email: {}}]", 7, "2 keys"),
        ("- name: office", "- name: office\n      tools: [none.py]", 6, "none.py"),
        ("- name: office", "- name: office\n      max_tokens: many", 6, "max_tokens"),
        ("- name: office", "- name: office\n      endpoint: http://x", 7, "no 'endpoint'"),
        ("- name: office", "- name: auto", 6, "no auto"),
        ("- name: office", "- name: a/b", 6, "no /"),
        ("- name: office", "- name: office\n    - name: office", 7, "two agents"),
        ("- name: office", "- name: office\n      policy: {rolls: {}}", 6, "did you mean roles"),
        ("- name: office", "- name: office\n      policy: 3", 6, "policy"),
        ("- name: office", "- name: office\n      resources: {max: 1}", 6, "max"),
        ("- alias: tiny", "- &x {alias: tiny}\n    - *x", 5, "an alias"),
        ("- alias: tiny", "- alias: !!python/object/apply:os.system [id]", 4, "a text"),
        ("- alias: tiny", "- alias: !secret tiny", 4, "the tag"),
        ("- alias: tiny", "- alias: [tiny", 5, "expected"),
        ("- alias: tiny", "- alias: " + "[" * 50, 4, "levels"),
        ("- alias: tiny", "- alias: \t\n\t- x", 4, "cannot start any token"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_line(
    tmp_path: Path, old: str, new: str, line: int, told: str
) -> None:
    path = written(tmp_path, SOUND.replace(old, new))
    with pytest.raises(DeploymentError) as caught:
        plan_of(load_deployment(path))
    assert str(caught.value).startswith(f"{path}:{line}: "), str(caught.value)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"", "is empty"), (b"\xff\xfe\x00", "UTF-8"), (b"- 1", "keys with values"),
     (b"x" * (2 << 20), "bytes"), (b"a: 1\n---\nb: 2", "document"), (b"a: \x01", "is no YAML")],
)  # fmt: skip
def test_what_is_no_deployment(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "office.yaml"
    path.write_bytes(content)
    with pytest.raises(DeploymentError, match=told):
        load_deployment(path)
    with pytest.raises(DeploymentError, match="cannot be read"):
        load_deployment(tmp_path / "none.yaml")


def test_settings_of_tools(tmp_path: Path) -> None:
    """Shared by the deployment, and an agent's own before them."""
    text = SOUND + (
        "      tools: [database, {database: {max_rows: 5}}, tools.py]\n"
        "  tools:\n    database: {max_rows: 9, writable: true}\n"
    )
    found = load_deployment(written(tmp_path, text))
    assert isinstance(found, SingleDevice)
    assert found.agents[0].settings["tools"] == [
        {"database": {"max_rows": 9, "writable": True}},
        {"database": {"max_rows": 5, "writable": True}},
        "tools.py",
    ]


def test_a_model_that_agents_cannot_use(shared: Path, tmp_path: Path) -> None:
    model = shared / "models" / "stories260K.gguf"
    text = SOUND.replace("alias: tiny", f"alias: tiny\n      path: {model}")
    (problem,) = plan_of(load_deployment(written(tmp_path, text))).missing
    assert "line 4" in problem
    assert "no chat template" in problem
    gone = SOUND.replace("alias: tiny", "alias: tiny\n      path: none.gguf")
    (problem,) = plan_of(load_deployment(written(tmp_path, gone))).missing
    assert "none.gguf" in problem
