"""SmolLM3: as Hermes. Some of its templates leave the tools to whoever writes the system message.

Source: https://huggingface.co/HuggingFaceTB/SmolLM3-3B
"""

from __future__ import annotations

from collections.abc import Sequence

from pyslm.chat.tool_formats.hermes import Hermes
from pyslm.chat.tool_formats.registry import register
from pyslm.chat.tool_formats.values import json_text
from pyslm.chat.tools import Tool


@register
class SmolLm3(Hermes):
    name = "smollm3"

    def detect(self, template: str) -> int:
        return 20 if "SmolLM" in template else 0

    def system_text(self, tools: Sequence[Tool]) -> str:
        """The words of the model's own template."""
        listed = "\n".join(json_text(tool.described()) for tool in tools)
        return (
            "### Tools\n\nYou may call one or more functions to assist with the user query.\n"
            "You are provided with function signatures within <tools></tools> XML tags:\n\n"
            f"<tools>\n{listed}\n</tools>\n\n"
            "For each function call, return a json object with function name and arguments within "
            "<tool_call></tool_call> XML tags:\n<tool_call>\n"
            '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>'
        )
