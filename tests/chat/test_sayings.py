"""What templates say of the fixed words of their models."""

from __future__ import annotations

import pytest

from pyslm.chat.sayings import Sayings, sayings_of
from pyslm.finetune.data.files import load_toml
from pyslm.finetune.dialect import chat_template


def test_nano_declares_the_words_of_its_data() -> None:
    frames = load_toml("frames.toml")
    asks = frames["ask_one"].replace("{n}", "{}")
    assert sayings_of(chat_template()) == Sayings(frames["no_tool"], asks)


@pytest.mark.parametrize(
    ("template", "sayings"),
    [
        ('{%- set refusal = "No." -%}{{ messages }}', Sayings("No.")),
        ("{% set question = 'Which {}?' %}", Sayings(None, "Which {}?")),
        ("{% set question = 'Which?' %}", Sayings()),  # has no place for a name
        ("{{ messages }}", Sayings()),
    ],
)
def test_others_declare_what_they_like(template: str, sayings: Sayings) -> None:
    assert sayings_of(template) == sayings
