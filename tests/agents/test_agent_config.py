"""`Config` takes every keyword of the guide, and tells the others."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from pyslm.agents import Config
from pyslm.errors import AgentConfigError, InvalidRequestError

GUIDE = {  # the union of the keywords in the guide's code blocks
    "name": "customer-service-agent",
    "model_provider": "foundry-local",
    "model_id": "phi-4-mini",
    "model_alias": "phi-4-mini",
    "endpoint": "http://localhost:8000/v1",
    "api_key": "none",
    "max_tokens": 512,
    "temperature": 0.1,
    "timeout": 30.0,
    "offline_mode": True,
    "role": "router",
    "specialized_for": "scheduling",
    "context": "You are a helpful retail assistant.",
    "privacy_mode": True,
    "compliance": ["HIPAA"],
}


def test_the_guides_keywords() -> None:
    config = Config(**GUIDE)  # type: ignore[arg-type]
    for name, value in GUIDE.items():
        expected = (value,) if name == "specialized_for" else value
        expected = tuple(value) if isinstance(value, list) else expected
        assert getattr(config, name) == expected


def test_every_keyword_can_be_left_out() -> None:
    config = Config()
    assert (config.max_tokens, config.temperature, config.timeout) == (512, 0.1, 30.0)
    for name, value in GUIDE.items():
        assert getattr(Config(**{name: value}), name)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("unknown", "near"),
    [("modelalias", "model_alias"), ("max_token", "max_tokens"), ("privacy", "privacy_mode"),
     ("temprature", "temperature"), ("complience", "compliance")],
)  # fmt: skip
def test_unknown_keywords_are_told_with_near_ones(unknown: str, near: str) -> None:
    with pytest.raises(AgentConfigError, match=rf"{unknown}.*did you mean.*{near}"):
        Config(**{unknown: 1})
    with pytest.raises(TypeError):  # as Python's own
        Config(**{unknown: 1})


def test_a_keyword_like_none_lists_those_allowed() -> None:
    with pytest.raises(AgentConfigError, match=r"zzz.*allowed: api_key, "):
        Config(zzz=1)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_tokens", 0), ("max_tokens", 1.5), ("max_tokens", True), ("temperature", -0.1),
        ("temperature", float("nan")), ("timeout", 0), ("timeout", "30"), ("name", ""),
        ("name", None), ("endpoint", "localhost:8000"), ("model_provider", "olama"),
        ("compliance", ["HIPPA"]), ("compliance", 5), ("offline_mode", "yes"), ("max_steps", 0),
        ("specialized_for", [1]), ("role", 3), ("model_alias", ""),
    ],
)  # fmt: skip
def test_values_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(AgentConfigError, match=field) as caught:
        Config(**{field: value})
    assert isinstance(caught.value, InvalidRequestError)


def test_a_misspelt_choice_is_told_the_near_one() -> None:
    with pytest.raises(AgentConfigError, match="did you mean 'ollama'"):
        Config(model_provider="olama")  # type: ignore[arg-type]


def test_role_and_context_are_the_system_message() -> None:
    assert Config(role="router", context="Be brief.").system_message == (
        "Your role: router.\n\nBe brief."
    )
    assert Config().system_message == ""


def test_compliance_implies_privacy() -> None:
    assert Config(compliance="hipaa").privacy_mode
    assert Config(compliance="hipaa").compliance == ("HIPAA",)


def test_keys_are_not_shown() -> None:
    assert "secret" not in repr(Config(api_key="secret"))


def test_immutable_and_replaced_with_checks() -> None:
    config = Config(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.name = "b"  # type: ignore[misc]
    assert config.replace(name="b").name == "b"
    with pytest.raises(AgentConfigError):
        config.replace(max_tokens=0)
